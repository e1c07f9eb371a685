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
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.crash_load import Acknowledged, Follower, Load, enact_small_policy, released
from tests.support.crash_points import DIED
from tests.support.crash_process import Child, Nursery
from tests.support.crash_witnesses import NAMES, Witnesses
from tests.support.live import Board, Hardware, claim, found_board
from tests.support.postgres import Postgres

from accord.client import TrustSession

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("ACCORD_CRASH_KILLS", "25"))
"""`make crash` kills 200 times."""

MAX_OPEN_S = 10.0
TIMEOUT_S = 300 + 5 * KILLS


@dataclass
class Loop:
    """A board under load whose service is killed and started, again and again."""

    nursery: Nursery
    board: Board
    witnesses: Witnesses | None = None
    kills: int = KILLS
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    first_answers: list[float] = field(default_factory=list)
    """Of each life, the seconds from when it was open to the first grant."""

    killed_witnesses: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(13))  # noqa: S311

    def run(self) -> None:
        enact_small_policy(self.board)
        follower, url = Follower(self.board), self.nursery.service.url
        for _ in range(self.kills):
            with Load(self.board, url, self.acknowledged) as load:
                start = time.monotonic()
                if load.busy.wait(MAX_OPEN_S):
                    self.first_answers.append(time.monotonic() - start)
                time.sleep(self.chance.uniform(0.0, 0.2))
                fallen = self._some_witnesses()
                self.nursery.kill()
            for witness in fallen:
                witness.start()
            url = self.nursery.start()
            with TrustSession.attest(url, self.board.genesis) as session:
                follower.read_on(session)
                self._nothing_is_lost(session, follower)
        self._goes_on(follower)
        self._report(follower)

    def _some_witnesses(self) -> list[Child]:
        """Kills some while they work: mostly too few to matter, sometimes a quorum, or all."""
        if self.witnesses is None:
            return []
        count = self.chance.choice([0, 1, 1, 2, 3])
        fallen = self.chance.sample(self.witnesses.children, count)
        for witness in fallen:
            witness.kill()
        self.killed_witnesses += count
        return fallen

    def _nothing_is_lost(self, session: TrustSession, follower: Follower) -> None:
        told = self.acknowledged
        assert told.statements.items() <= follower.places.items()
        assert told.runs <= follower.runs
        assert follower.used >= len(told.runs & self._training(follower))
        if told.committed:
            assert follower.tag in told.tags[told.committed - 1 :]
        if self.witnesses is not None:
            self.witnesses.check(session, follower.head)
        assert (told.errors, told.older) == ([], [])

    @staticmethod
    def _training(follower: Follower) -> set[str]:
        runs = follower.machine.runs.items()
        return {run for run, record in runs if record.release.service == "train"}

    def _goes_on(self, follower: Follower) -> None:
        """Members read all of it as ever, and the next use has the next number."""
        self.board.url = self.nursery.service.url
        member = self.board.member("ann")
        with member.connect() as session:
            run = released(self.board, session).run
            used = follower.used
            _, machine, _ = member.read(session)
        assert self.acknowledged.runs <= set(machine.runs)
        assert used < max(machine.uses.values())
        assert run in machine.runs
        told = self.acknowledged
        # A loaded machine may start some lives too late for a release; a good part had work.
        assert min(len(told.statements), len(told.runs), told.committed) > self.kills // 4

    def _report(self, follower: Follower) -> None:
        opened, answered = self.nursery.opened[1:], self.first_answers
        told = self.acknowledged
        print(  # noqa: T201 - shown by pytest -s
            f"{self.kills} kills (and {self.killed_witnesses} of witnesses), "
            f"{follower.head.size} entries; acknowledged: {len(told.statements)} statements, "
            f"{len(told.runs)} releases, {told.committed} tags; opened again in "
            f"{statistics.median(opened):.3f} s (median), {max(opened):.3f} s (slowest); "
            f"first grant after {statistics.median(answered):.3f} s more (median), "
            f"{max(answered):.3f} s (slowest)"
        )
        assert max(opened) < MAX_OPEN_S


@pytest.mark.timeout(TIMEOUT_S)
def test_nothing_acknowledged_is_lost_over_many_kills(hardware: Hardware, tmp_path: Path) -> None:
    """Every statement, grant and tag is in the log after the next start, at its old place."""
    with Nursery(hardware.trust_host, tmp_path / "service") as nursery:
        url = nursery.start()
        claim(url, hardware, tmp_path / "owner")
        Loop(nursery, found_board(tmp_path / "board", hardware, url)).run()


@pytest.mark.timeout(TIMEOUT_S)
def test_nothing_is_lost_where_witnesses_are_killed_too(hardware: Hardware, tmp_path: Path) -> None:
    """Nor does any witness forget: all they ever cosigned is a beginning of the one log."""
    with Nursery(hardware.trust_host, tmp_path / "service") as nursery:
        url = nursery.start()
        claim(url, hardware, tmp_path / "owner")
        witnesses = Witnesses.create(nursery, tmp_path / "witnesses")
        board = witnesses.found(tmp_path / "board", hardware, url)
        Loop(nursery, board, witnesses).run()
        assert set(NAMES) == witnesses.sizes.keys()


@pytest.mark.timeout(TIMEOUT_S)
def test_nothing_is_lost_in_a_database(
    hardware: Hardware, postgres: Postgres, tmp_path: Path
) -> None:
    """The same with PostgreSQL, which is told of a kill by a connection that breaks."""
    database = postgres.database()
    with Nursery(hardware.trust_host, tmp_path / "service", database) as nursery:
        url = nursery.start()
        claim(url, hardware, tmp_path / "owner")
        board = found_board(tmp_path / "board", hardware, url)
        Loop(nursery, board, kills=max(5, KILLS // 5)).run()


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
