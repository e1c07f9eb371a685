# SPDX-License-Identifier: Apache-2.0
"""A stored verdict: everything it rests on, in one canonical document."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.collateral.vendors import NOW

from accord.collateral import Verdict
from accord.encoding import sha256
from accord.errors import EncodingError
from accord.evidence import Evidence
from accord.policy import Family

PLAIN = Verdict(Evidence(Family.SNP, b"report"), (sha256(b"root"),), NOW, None, None, {"a": 1})
FULL = Verdict(
    Evidence(Family.SNP, b"report", {"vcek": b"x"}),
    (sha256(b"root"),),
    NOW,
    bytes(64),
    sha256(b"policy"),
    None,
)


@pytest.mark.parametrize("verdict", [PLAIN, FULL], ids=["plain", "full"])
def test_a_verdict_comes_back_as_it_was_stored(verdict: Verdict) -> None:
    """Byte for byte."""
    again = Verdict.from_bytes(verdict.to_bytes())

    assert again == verdict
    assert again.to_bytes() == verdict.to_bytes()


@given(st.integers(0, len(FULL.to_bytes()) - 1), st.integers(1, 255))
def test_a_damaged_verdict_is_refused_or_another(at: int, change: int) -> None:
    """Nothing but errors of the catalogue."""
    data = bytearray(FULL.to_bytes())
    data[at] ^= change
    with contextlib.suppress(EncodingError):
        assert Verdict.from_bytes(bytes(data)) != FULL
