# SPDX-License-Identifier: Apache-2.0
"""Run records in little memory: what is put in comes out again."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import NOW, Hardware, seed
from tests.support.gate import Gate

from accord.identity import Keyset
from accord.release import Release
from accord.release._run import RunRecord
from accord.release._runs import Runs


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    hardware = Hardware.make(tmp_path_factory.mktemp("hardware"))
    return replace(Gate.of(hardware, lease_s=60).release(), result=None)


def another(release: Release, **changes: Any) -> Release:
    run = "run-" + os.urandom(16).hex()
    return replace(release, run=run, nonce=os.urandom(32), **changes)


def test_every_field_comes_out_again(release: Release) -> None:
    """Whatever a release may hold, also what few of them do."""
    keys = release.keyset
    found = [
        release,
        another(release, exporter=seed("connection"), lease_until=None),
        another(release, token_sha256=seed("token"), totp_step=7),
        another(release, tls_spki_sha256=seed("key")),
        another(release, keyset=Keyset(keys.verify_key, keys.seal_key, seed("tls"))),
        another(release, uses=tuple(replace(use, number=99) for use in release.uses)),
        another(release, service="other"),
    ]
    runs = Runs()
    for index, one in enumerate(found):
        runs[one.run] = RunRecord(one, index, lease_until=NOW + timedelta(seconds=index))
    expected = [
        RunRecord(one, index, lease_until=NOW + timedelta(seconds=index))
        for index, one in enumerate(found)
    ]
    assert expected == list(runs.values())
    assert [one.run for one in found] == list(runs)


def test_the_attestation_result_is_not_kept(release: Release) -> None:
    """It stays in the log."""
    runs = Runs()
    runs[release.run] = RunRecord(replace(release, result={"large": "document"}), 1)
    assert release == runs[release.run].release


def test_a_record_is_changed_by_putting_it_back(release: Release) -> None:
    """A record that was read is a copy; it keeps its place."""
    runs, other = Runs(), another(release)
    runs[release.run], runs[other.run] = RunRecord(release, 1), RunRecord(other, 2)
    runs[release.run].lease_until = NOW
    assert runs[release.run].lease_until is None
    runs[release.run] = replace(runs[release.run], lease_until=NOW)
    assert (NOW, [release.run, other.run]) == (runs[release.run].lease_until, list(runs))
    del runs[release.run]
    assert ([other.run], 1) == (list(runs), len(runs))


@pytest.mark.parametrize("change", [str.upper, lambda run: run.removeprefix("run-"), lambda _: "x"])
def test_a_run_has_one_spelling(release: Release, change: Callable[[str], str]) -> None:
    """What is no run's id, or another spelling of one, names nothing."""
    runs = Runs()
    runs[release.run] = RunRecord(release, 1)
    wrong = change(release.run)
    assert wrong not in runs
    assert runs.get(wrong) is None
    number: Any = 7
    assert number not in runs


def test_what_runs_have_in_common_is_kept_once(release: Release) -> None:
    """A release adds its keys, nonce and digests, and no second copy of the rest."""
    runs = Runs()
    for index in range(100):
        one = another(release)
        runs[one.run] = RunRecord(one, index)
    assert len(runs._shapes) == 1
    assert max(map(len, runs._rows.values())) < 300
