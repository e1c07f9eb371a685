# SPDX-License-Identifier: Apache-2.0
"""Attacks on leases: old disks, clones that run on, services that reserve what they may not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.live import Hardware
from tests.support.witness import FakeWitness, four_witnesses
from tests.support.witnessed import Witnessed, copied

from accord.errors import (
    AccordError,
    AppraisalError,
    InstanceTokenError,
    LogForkError,
    NotCosignedError,
    ReservationError,
    UsesExhaustedError,
)
from accord.ledger import AddCheckpoint
from accord.release import machine_to_json, read_machine
from accord.service._releases import Timings
from accord.service._reservations import may_leave

COUNT = 3
LEASE = {"mode": "lease", "max_uses": COUNT, "ttl_s": 60}
TOKEN: dict[str, Any] = {
    "secrets": {"token": {"kind": "asset", "asset": "ann/token"}},
    "train": {"environment": {"TOKEN": "{{ accord.token }}"}},
}


@pytest.fixture
def witnesses() -> Iterator[list[FakeWitness]]:
    with four_witnesses() as found:
        yield found


@pytest.fixture
def founded(
    hardware: Hardware, tmp_path: Path, witnesses: list[FakeWitness]
) -> Iterator[Callable[..., Witnessed]]:
    """Founds a board whose services end with the test, with a secret of ann's under a lease."""
    with contextlib.ExitStack() as stack:

        def found(*, max_uses: int = 5, **changes: Any) -> Witnessed:
            served = Witnessed(hardware, tmp_path, witnesses=witnesses)
            stack.callback(served.close)
            served.deposit("token", b"a value of ann's", max_uses=max_uses)
            served.ready(**{**TOKEN, "freshness": LEASE, **changes})
            return served

        yield found


@pytest.fixture
def board(founded: Callable[..., Witnessed]) -> Witnessed:
    return founded()


def send_away(witnesses: list[FakeWitness]) -> None:
    for witness in witnesses:
        witness.away = True


def until_refused(board: Witnessed) -> tuple[int, type[AccordError]]:
    """How many releases leave, and what the next one is refused for."""
    left = 0
    while True:
        try:
            board.release()
        except AccordError as exc:
            return left, type(exc)
        left += 1


def numbers(board: Witnessed) -> list[int]:
    return [body["uses"][0]["number"] for body in board.statements("release")]


def test_holders_of_a_reservation_need_no_witness(board: Witnessed) -> None:
    """One is asked for, cosigned; then releases leave although no witness answers."""
    board.release()
    send_away(board.witnesses)
    board.release()
    board.release()

    (reservation,) = board.statements("use-reservation")
    assert reservation["count"] == COUNT
    assert numbers(board) == [1, 2, 3]
    with pytest.raises(NotCosignedError):
        board.release()


def test_rolled_back_disk_loses_what_was_reserved_and_no_more(board: Witnessed) -> None:
    """The operator keeps the disk from right after the reservation, and hides what followed."""
    board.release()
    disk = copied(board.store)
    send_away(board.witnesses)
    board.release()
    board.release()
    for witness in board.witnesses:
        witness.away = False
    restored = board.cloned(disk)

    assert (5 - COUNT, UsesExhaustedError) == until_refused(restored)
    assert len(restored.statements("release")) == 1 + 5 - COUNT


def test_clone_that_runs_on_has_only_its_reservation(board: Witnessed) -> None:
    """Both run: the older one ends with what it reserved before the newer one started."""
    board.release()
    clone = board.cloned()
    clone.release()
    left, refusal = until_refused(board)

    assert left == COUNT - 1
    assert refusal in {LogForkError, NotCosignedError}
    clone.release()
    with pytest.raises(UsesExhaustedError):
        clone.release()


def test_reservation_does_not_outlive_its_time(board: Witnessed) -> None:
    """Without witnesses nobody goes on for longer than was agreed."""
    board.release()
    send_away(board.witnesses)
    board.ahead += timedelta(seconds=LEASE["ttl_s"])  # type: ignore[arg-type]
    with pytest.raises(NotCosignedError):
        board.release()
    assert len(board.statements("release")) == 1


def test_reservation_nobody_cosigned_gives_nothing(board: Witnessed) -> None:
    """It is counted and waits; once witnesses are back it is the one that is used."""
    for _ in range(COUNT):
        board.release()
    send_away(board.witnesses)
    for _ in range(2):
        with pytest.raises(NotCosignedError):
            board.release()
    assert len(board.statements("release")) == COUNT
    for witness in board.witnesses:
        witness.away = False
    board.release()
    assert [body["count"] for body in board.statements("use-reservation")] == [COUNT, 5 - COUNT]


def test_reservation_that_waits_is_waited_for(board: Witnessed) -> None:
    """Nobody reserves a second time for what is only not cosigned yet."""
    reservations = board.service._releases._reservations
    board.release()
    send_away(board.witnesses)
    for _ in range(COUNT - 1):
        board.release()
    with pytest.raises(NotCosignedError):
        board.release()
    for witness in board.witnesses:
        witness.away = False
    reserved = asyncio.run(reservations.take(board.host, "job", "train"))

    assert reserved.left == 5 - COUNT
    assert len(board.statements("use-reservation")) == 2


def test_restart_voids_what_was_reserved(board: Witnessed) -> None:
    """The next start reserves anew, from what owners have left."""
    board.release()
    again = board.cloned()
    again.release()

    reserved = again.statements("use-reservation")
    assert [body["count"] for body in reserved] == [COUNT, 5 - COUNT]
    assert len({body["boot"] for body in reserved}) == 2


def test_requester_whom_the_policy_does_not_name_reserves_nothing(board: Witnessed) -> None:
    """Or strangers could use up what owners allow, a restart at a time."""
    stranger = board.shield(mrtd=bytes(48))
    with pytest.raises(AppraisalError):
        board.release(stranger)
    assert board.statements("use-reservation") == []


def test_starts_that_are_good_for_one_only_wait(founded: Callable[..., Witnessed]) -> None:
    """A rollback would bring the token back: nothing is reserved for them."""
    board = founded(train={**TOKEN["train"], "singleton": True})
    with pytest.raises(InstanceTokenError):
        board.release()
    assert board.statements("use-reservation") == []


def test_many_at_once_share_reservations(founded: Callable[..., Witnessed]) -> None:
    """Each release takes one use; nobody is given the same one twice."""
    board = founded(max_uses=10)
    requests = [board.request(board.shield()) for _ in range(8)]

    async def all_at_once() -> None:
        await asyncio.gather(
            *(board.service.release(board.host, item, Timings()) for item in requests)
        )

    asyncio.run(all_at_once())
    assert sorted(numbers(board)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(board.statements("use-reservation")) == 3


def test_witnesses_slower_than_the_lease_give_nothing(board: Witnessed) -> None:
    """Every reservation has ended when it is cosigned: the service gives up, and says why."""

    def late(witness: FakeWitness) -> None:
        def answer(request: AddCheckpoint) -> tuple[int, bytes]:
            board.ahead += timedelta(seconds=LEASE["ttl_s"])  # type: ignore[arg-type]
            witness.instead = None
            reply = witness.add(request.to_bytes())
            witness.instead = answer
            return reply

        witness.instead = answer

    board.release()
    for _ in range(COUNT - 1):
        board.release()
    for witness in board.witnesses:
        late(witness)
    with pytest.raises(ReservationError, match="before the witnesses have cosigned it"):
        board.release()
    assert len(board.statements("release")) == COUNT


def test_release_that_was_long_on_its_way_to_the_disk_waits(board: Witnessed) -> None:
    """Its reservation has ended by then: it leaves as every other one, once cosigned."""
    board.release()
    reserved = board.host.machine.reservations["job", "train"]
    index = board.host.head.size - 1
    board.ahead += timedelta(seconds=LEASE["ttl_s"])  # type: ignore[arg-type]
    asyncio.run(may_leave(board.host, index, reserved))
    assert board.host.cosigning.size > index


def test_snapshot_does_not_bring_a_reservation_back(board: Witnessed) -> None:
    """Saved states know what was reserved; a start voids it all the same."""
    board.release()
    machine = board.host.machine
    copy = read_machine(machine_to_json(machine))
    assert copy.reservations == machine.reservations
    clone = board.cloned()
    assert clone.host.machine.reservations == {}
