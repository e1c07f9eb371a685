# SPDX-License-Identifier: Apache-2.0
"""Killed again and again, at any moment and at every write: nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.crash_load import Acknowledged, Follower, Load, enact_small_policy, released
from tests.support.crash_points import DIED
from tests.support.crash_process import Nursery
from tests.support.live import Hardware, claim, found_board

from accord.client import TrustSession

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("ACCORD_CRASH_KILLS", "25"))
"""`make crash` kills 200 times."""

MAX_OPEN_S = 10.0


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_over_many_kills(hardware: Hardware, tmp_path: Path) -> None:
    """Every statement and every grant is in the log after the next start, at its old place."""
    chance = random.Random(13)  # noqa: S311 - moments, not secrets
    acknowledged = Acknowledged()
    with Nursery(hardware.trust_host, tmp_path / "service") as nursery:
        url = nursery.start()
        claim(url, hardware, tmp_path / "owner")
        board = found_board(tmp_path / "board", hardware, url)
        enact_small_policy(board)
        follower = Follower(board)
        for _ in range(KILLS):
            with Load(board, url, acknowledged) as load:
                load.busy.wait(MAX_OPEN_S)
                time.sleep(chance.uniform(0.0, 0.15))
                nursery.kill()
            url = nursery.start()
            with TrustSession.attest(url, board.genesis) as session:
                follower.read_on(session)

            assert acknowledged.statements.items() <= follower.places.items()
            assert acknowledged.runs <= follower.runs
            assert acknowledged.errors == []
        board.url = url
        with board.member("ann").connect() as session:
            released(board, session)
            _, machine, _ = board.member("ann").read(session)
        assert acknowledged.runs <= set(machine.runs)
    # A loaded machine may start some lives too late for a release; a good part had work.
    assert min(len(acknowledged.statements), len(acknowledged.runs)) > KILLS // 4
    slowest = max(nursery.opened)
    print(  # noqa: T201 - shown by pytest -s
        f"{KILLS} kills, {follower.head.size} entries, opened again in "
        f"{statistics.median(nursery.opened):.3f} s (median), {slowest:.3f} s (slowest)"
    )
    assert slowest < MAX_OPEN_S


@pytest.mark.timeout(300)
def test_a_service_that_ends_at_any_write_opens_again_with_all_it_acknowledged(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Before and after every single write of a start, a deposit and two releases."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crash_points", hardware.root, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)

    assert {0} == {result["checked"] for result in results}, done.stderr
    for after in (False, True):
        ways = [result for result in results if result["after"] == after]
        assert [DIED] * (len(ways) - 1) + [0] == [result["ended"] for result in ways]
        assert {0, 1, 2, 3} == {result["told"] for result in ways}
        assert len(ways) > 20
