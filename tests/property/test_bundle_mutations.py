# SPDX-License-Identifier: Apache-2.0
"""Whatever byte of a bundle is changed, and however, it is refused with a catalogue error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import FinishedDemo

from accord.bundle import verify_bundle
from accord.errors import BundleError, ExitCode

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def victim(demo: FinishedDemo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo's bundle that every example damages and repairs."""
    return Path(shutil.copytree(demo.bundle, tmp_path_factory.mktemp("victim") / "bundle"))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_is_noticed(victim: Path, data: st.DataObject) -> None:
    """Any byte of any file, exchanged for any other byte."""
    files = sorted(path for path in victim.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), label="file")
    original = path.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1), label="byte")
    value = data.draw(st.integers(1, 255), label="change")
    path.write_bytes(original[:at] + bytes([original[at] ^ value]) + original[at + 1 :])
    try:
        with pytest.raises(BundleError) as refused:
            verify_bundle(victim)
    finally:
        path.write_bytes(original)

    assert refused.value.exit_code == ExitCode.NOT_VERIFIED


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_replaced_file_is_noticed(victim: Path, data: st.DataObject) -> None:
    """Any file with other bytes, cut, grown or replaced by another file of the bundle."""
    files = sorted(path for path in victim.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), label="file")
    original = path.read_bytes()
    replacements = st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(original) - 1).map(lambda end: original[:end]),
        st.binary(min_size=1, max_size=20).map(lambda tail: original + tail),
        st.sampled_from(files).map(lambda other: other.read_bytes()),
    )
    path.write_bytes(data.draw(replacements.filter(lambda found: found != original), label="bytes"))
    try:
        with pytest.raises(BundleError):
            verify_bundle(victim)
    finally:
        path.write_bytes(original)
