# SPDX-License-Identifier: Apache-2.0
"""An operator works on a witness: kills it, asks it twice at once, shows it two histories."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.witnessing import Answered, SomeLog, WitnessProcess, ask, make_witness

from accord.identity import VerifyKey
from accord.ledger import add_signatures, cosignatures
from accord.witness import WitnessKey, origin_digest

pytestmark = pytest.mark.e2e

KILLS = 12
FORK = 30


@pytest.fixture
def log() -> SomeLog:
    """The log that the operator shows to one half of the world."""
    return SomeLog().grow(FORK)


@pytest.fixture
def home(tmp_path: Path, log: SomeLog) -> Path:
    """A witness of that log, not started."""
    make_witness(tmp_path / "w", log.watched).store.close()
    return tmp_path / "w"


@pytest.fixture
def process(home: Path) -> Iterator[WitnessProcess]:
    """That witness as its owner runs it; the test may kill it."""
    started = WitnessProcess(home)
    yield started
    started.kill()


class Operator:
    """Grows two branches that part at `FORK`, and asks for cosignatures on both at once."""

    def __init__(self, key: VerifyKey) -> None:
        self._key = key
        self.branches = [SomeLog().grow(FORK), SomeLog().grow(FORK)]
        self.branches[1].branch = "other "
        for branch in self.branches:
            branch.grow(400)
        self.seen: list[tuple[int, int]] = []
        """Size and branch of every tree that the witness cosigned, in the order of answers."""

        self.url = ""
        self.stop = threading.Event()

    def ask(self, which: int, old: int, size: int) -> Answered | None:
        branch = self.branches[which]
        try:
            answered = ask(self.url, "POST", "/add-checkpoint", branch.request(old, size))
        except OSError:
            return None
        if answered.status == 200:
            note = add_signatures(branch.note(size), [answered.body.decode()])
            assert cosignatures(note, {"north": self._key})
            self.seen.append((size, which))
        return answered

    def press(self, which: int) -> None:
        """Asks for larger and larger trees of one branch, and for smaller ones, until stopped."""
        rng, old = random.Random(which), 0  # noqa: S311 - a schedule
        while not self.stop.is_set():
            size = min(old + rng.randint(0, 2), FORK + 400)
            answered = self.ask(which, old, size)
            if answered is not None and answered.status == 200:
                old = size
            elif answered is not None and answered.status == 409:
                latest = int(answered.body)
                old = latest if rng.random() < 0.8 else rng.randint(0, latest)


def test_a_witness_that_is_killed_never_contradicts_itself(
    process: WitnessProcess, home: Path, log: SomeLog
) -> None:
    """Killed under load again and again: one branch only, never a size below one it signed."""
    operator = Operator(WitnessKey.load(home).signer.verify_key)
    rng = random.Random(7)  # noqa: S311 - a schedule
    below: list[tuple[int, int]] = []
    for _ in range(KILLS):
        operator.url, highest = process.start().url, max((s for s, _ in operator.seen), default=0)
        shown = ask(operator.url, "GET", f"/logs/{origin_digest(log.origin)}/checkpoint")
        kept = int(shown.body.split(b"\n")[1]) if shown.status == 200 else 0
        if kept < highest:
            below.append((kept, highest))
        before = len(operator.seen)
        operator.stop.clear()
        threads = [threading.Thread(target=operator.press, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.05, 0.4))
        process.kill()
        operator.stop.set()
        for thread in threads:
            thread.join()
        below += [(size, highest) for size, _ in operator.seen[before:] if size < highest]
    assert below == []
    assert len(operator.seen) > KILLS
    assert len({which for size, which in operator.seen if size > FORK}) == 1


def test_two_branches_at_once_get_one_cosignature(process: WitnessProcess, home: Path) -> None:
    """Many ask for both branches in the same moment: one of them wins."""
    operator = Operator(WitnessKey.load(home).signer.verify_key)
    operator.url = process.start().url
    assert operator.ask(0, 0, FORK) is not None
    for _ in range(10):
        both = [
            threading.Thread(target=operator.ask, args=(which, FORK, FORK + 5)) for which in (0, 1)
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    assert len({which for size, which in operator.seen if size > FORK}) == 1


def test_a_state_from_a_backup_shows_why_it_must_not_come_back(
    process: WitnessProcess, home: Path, log: SomeLog
) -> None:
    """A witness cannot know that its disk was rolled back: both signatures prove it to others.

    That is why it comes back with a new key (docs/how-to/run-a-witness.md).
    """
    process.start()
    state = {path.name: path.read_bytes() for path in home.glob("witness.db*")}
    first = SomeLog().grow(5)
    assert ask(process.url, "POST", "/add-checkpoint", first.request(0)).status == 200
    process.kill()
    for path in home.glob("witness.db*"):
        path.unlink()
    for name, data in state.items():
        (home / name).write_bytes(data)
    process.start()
    other = SomeLog(branch="other ").grow(5)
    assert ask(process.url, "POST", "/add-checkpoint", other.request(0)).status == 200


def test_the_answer_that_was_lost_is_given_again(
    process: WitnessProcess, home: Path, log: SomeLog
) -> None:
    """Killed between writing and answering, the witness tells the log where it stands."""
    witness = make_witness(home)
    witness.add_checkpoint(log.request(0, 20))
    witness.store.close()
    process.start()
    lost = ask(process.url, "POST", "/add-checkpoint", log.request(0, 20))
    again = ask(process.url, "POST", "/add-checkpoint", log.request(int(lost.body), 20))
    assert [
        (lost.status, lost.body),
        (again.status, again.body[:10]),
    ] == [(409, b"20\n"), (200, b"\xe2\x80\x94 north ")]
