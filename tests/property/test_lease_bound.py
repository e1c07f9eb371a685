# SPDX-License-Identifier: Apache-2.0
"""The bound of lease mode, over the real state machine: held, exact, and lost by two mutations."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.leases import (
    SERVICES,
    TTL_S,
    Adversary,
    CountsLate,
    NeverVoids,
    Process,
)

from accord.release import Machine

WHICH = st.integers(0, 7)
SERVICE = st.sampled_from(SERVICES)

MAX_PROCESSES = 5


class LeasedBoard(RuleBasedStateMachine):
    """Reserve, confirm, release, roll back, start again beside what still runs, wait."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Adversary()
        self.least = len(self.board.seen)

    def process(self, which: int) -> Process:
        """Any that runs, and more often the latest."""
        processes = self.board.processes
        return processes[-1] if which > len(processes) else processes[which % len(processes)]

    @rule(which=WHICH, service=SERVICE)
    def reserve(self, which: int, service: str) -> None:
        self.board.reserve(self.process(which), service)

    @rule(which=WHICH)
    def confirm(self, which: int) -> None:
        self.board.confirm(self.process(which))

    @rule(which=WHICH, service=SERVICE, times=st.integers(1, 4))
    def release(self, which: int, service: str, times: int) -> None:
        for _ in range(times):
            self.board.release(self.process(which), service)

    @rule(which=WHICH, service=SERVICE)
    def reserve_and_release(self, which: int, service: str) -> None:
        process = self.process(which)
        self.board.reserve(process, service)
        self.board.confirm(process)
        self.board.release(process, service)

    @rule(which=WHICH, service=SERVICE)
    def release_strictly(self, which: int, service: str) -> None:
        self.board.release_strictly(self.process(which), service)

    @rule(which=WHICH, lost=st.integers(0, 3))
    def boot(self, which: int, lost: int) -> None:
        """From a disk that has what witnesses know, or a little more, or less."""
        if len(self.board.processes) < MAX_PROCESSES:
            process = self.process(which)
            self.board.boot(process, max(len(process.world.log) - lost, self.least))

    @rule(which=WHICH)
    def boot_from_the_confirmed_prefix(self, which: int) -> None:
        process = self.process(which)
        if len(self.board.processes) < MAX_PROCESSES and process.confirmed:
            self.board.boot(process, process.confirmed)
            self.board.confirm(self.board.processes[-1])

    @rule(seconds=st.sampled_from([1, TTL_S - 1, TTL_S]))
    def wait(self, seconds: int) -> None:
        self.board.wait(seconds)

    @invariant()
    def bound_holds(self) -> None:
        self.board.check()


LeasedBoard.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLeasedBoard = LeasedBoard.TestCase


# --- stories ---------------------------------------------------------------------------------


def lose_everything(machine: type[Machine], *, count: int, uses: int, lives: int) -> Adversary:
    """In each life: reserve, have it cosigned, release all of it, go back to the cosigned log."""
    board = Adversary(machine, count=count, uses=uses)
    for _ in range(lives):
        process = board.processes[-1]
        board.reserve(process, "train")
        board.confirm(process)
        for _ in range(count + 1):
            board.release(process, "train")
        board.boot(process, process.confirmed)
        board.confirm(board.processes[-1])
        board.check()
    return board


@pytest.mark.parametrize(("count", "uses"), [(1, 1), (3, 3), (3, 5), (4, 9)])
def test_worst_case_is_exactly_the_reserved(count: int, uses: int) -> None:
    """So many are lost per life as were reserved, all together as many as owners allow."""
    board = lose_everything(Machine, count=count, uses=uses, lives=1)
    assert len(board.lost()) == count == len(board.left)

    lives = -(-uses // count) + 1
    board = lose_everything(Machine, count=count, uses=uses, lives=lives)
    assert len(board.lost()) == uses == len(board.left)


def test_old_process_uses_up_what_it_reserved_and_no_more() -> None:
    """It runs on beside the new one, until its reservation ends."""
    board = Adversary(count=2, uses=5)
    old = board.processes[0]
    board.reserve(old, "train")
    board.confirm(old)
    board.boot(old, old.confirmed)
    new = board.processes[-1]
    board.confirm(new)
    for _ in range(3):
        board.release(old, "train")
        board.release_strictly(new, "train")
        board.confirm(new)
    board.check()

    assert len(board.lost()) == 2
    assert len(board.left) == 5


def test_old_process_ends_with_its_reservation() -> None:
    """Nobody cosigns another one for it."""
    board = Adversary(count=3, uses=5)
    old = board.processes[0]
    board.reserve(old, "train")
    board.confirm(old)
    board.boot(old, old.confirmed)
    board.confirm(board.processes[-1])
    board.wait(TTL_S - 1)
    board.release(old, "train")
    board.wait(1)
    board.release(old, "train")
    board.reserve(old, "train")
    board.confirm(old)
    board.release(old, "train")
    board.check()

    assert len(board.left) == len(board.lost()) == 1


def test_graceful_renewal_costs_nothing() -> None:
    """What the earlier reservation had left comes back: all uses can be used."""
    board = Adversary(count=3, uses=5)
    (process,) = board.processes
    for _ in range(7):
        board.reserve(process, "train")
        board.confirm(process)
        board.release(process, "train")
        board.check()

    assert len(board.left) == 5
    assert board.lost() == []


# --- every order of few steps ----------------------------------------------------------------

Step = Callable[[Adversary], None]


def _renew(board: Adversary) -> None:
    board.reserve(board.processes[-1], "train")
    board.confirm(board.processes[-1])


def _boot(board: Adversary) -> None:
    process = board.processes[-1]
    board.boot(process, process.confirmed or len(process.world.log))
    board.confirm(board.processes[-1])


STEPS: dict[str, Step] = {
    "reserve": _renew,
    "other": lambda board: board.reserve(board.processes[-1], "score"),
    "release": lambda board: board.release(board.processes[-1], "train"),
    "old": lambda board: board.release(board.processes[0], "train"),
    "strict": lambda board: board.release_strictly(board.processes[-1], "train"),
    "boot": _boot,
}


def _orders(depth: int) -> Iterator[tuple[str, ...]]:
    if depth == 0:
        yield ()
        return
    for before in _orders(depth - 1):
        for step in STEPS:
            yield (*before, step)


def holds(machine: type[Machine], order: tuple[str, ...]) -> bool:
    """Whether the bound holds after each of these steps."""
    board = Adversary(machine, count=1, uses=2)
    try:
        for step in order:
            STEPS[step](board)
            board.check()
    except AssertionError:
        return False
    return True


def test_every_order_of_few_steps_holds() -> None:
    """Exhaustively, with a second process as soon as there is one."""
    orders = [("reserve", *rest) for rest in _orders(3)]

    assert [order for order in orders if not holds(Machine, order)] == []


VOIDS_NOT = ("reserve", "release", "boot", "release")
COUNTS_NOT = ("reserve", "release", "boot", "reserve", "release", "boot", "reserve", "release")


@pytest.mark.parametrize(("mutation", "order"), [(NeverVoids, VOIDS_NOT), (CountsLate, COUNTS_NOT)])
def test_mutations_lose_the_bound(mutation: type[Machine], order: tuple[str, ...]) -> None:
    """Without either half of the design more leaves than owners allow, or than was reserved."""
    assert holds(Machine, order)
    assert not holds(mutation, order)
