# SPDX-License-Identifier: Apache-2.0
"""Rounds of cosignatures: who is needed, how long they take, what a restart knows of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.live import Hardware
from tests.support.postgres import Postgres
from tests.support.witness import FakeWitness, four_witnesses, policy_of
from tests.support.witnessed import Witnessed, copied

from accord.board import ReplaceWitnesses
from accord.client import MemberHome
from accord.client._cosigned import Cosigned
from accord.errors import LogForkError, NotCosignedError, StoreUnavailableError
from accord.ledger import cosignatures
from accord.service._cosigned import checkpoint_setting, fork_setting
from accord.service._postgres_store import PostgresStore

Founding = Callable[..., Witnessed]


@pytest.fixture
def witnesses() -> Iterator[list[FakeWitness]]:
    with four_witnesses() as found:
        yield found


@pytest.fixture
def founded(hardware: Hardware, tmp_path: Path, witnesses: list[FakeWitness]) -> Iterator[Founding]:
    """Founds a board whose services end with the test."""
    with contextlib.ExitStack() as stack:

        def found(**more: Any) -> Witnessed:
            served = Witnessed(hardware, tmp_path, witnesses=witnesses, **more)
            stack.callback(served.close)
            served.ready()
            return served

        yield found


def test_new_witnesses_need_the_old_quorum_and_their_own(
    founded: Founding, witnesses: list[FakeWitness]
) -> None:
    """A change of witnesses is seen by both sets; after that the old ones are not asked."""
    board = founded()
    board.release()
    with four_witnesses("v") as others:
        board.introduce(*others)
        board.propose(ReplaceWitnesses(policy_of(others)))
        for witness in witnesses[:2]:
            witness.away = True
        with pytest.raises(NotCosignedError):
            board.release()
        witnesses[0].away = False
        for witness in others[:2]:
            witness.away = True
        with pytest.raises(NotCosignedError):
            board.release()
        others[0].away = False
        board.release()
        asked = [witness.asked for witness in witnesses]
        for witness in witnesses:
            witness.away = True
        board.release()
        assert [witness.asked for witness in witnesses] == asked


def test_a_member_who_was_away_reads_on_after_witnesses_were_replaced(
    founded: Founding, witnesses: list[FakeWitness]
) -> None:
    """Those that were replaced have signed the change, and nothing that came later."""
    board = founded()
    board.release()
    with four_witnesses("v") as others, board.over_http() as url:
        MemberHome.join(board.root / "ann", board.genesis, url)
        member = MemberHome.load(board.root / "ann")

        def seen() -> Cosigned | None:
            with member.connect() as session:
                ledger, machine, _ = member.read(session)
            return member.cosigned(ledger, machine)

        seen()
        before = seen()
        board.introduce(*others)
        board.propose(ReplaceWitnesses(policy_of(others)))
        board.release()
        board.release()
        after = seen()

    assert before is not None
    assert after is not None
    assert after.size > before.size
    assert {witness.name for witness in others}.issuperset(after.witnesses)


def test_a_restart_still_needs_the_witnesses_that_were_replaced(
    founded: Founding, witnesses: list[FakeWitness]
) -> None:
    """The change is durable, nobody has cosigned it, the service restarts: both are needed."""
    board = founded()
    board.release()
    with four_witnesses("v") as others:
        board.introduce(*others)
        board.propose(ReplaceWitnesses(policy_of(others)))
        for witness in witnesses:
            witness.away = True
        board.restart()
        with pytest.raises(NotCosignedError):
            board.release()
        for witness in witnesses:
            witness.away = False
        board.release()


def test_a_restart_is_sealed_until_witnesses_saw_it(
    founded: Founding, witnesses: list[FakeWitness]
) -> None:
    """The checkpoint that was kept says nothing about this life of the service."""
    board = founded()
    board.release()
    for witness in witnesses:
        witness.away = True
    board.restart()
    assert board.host.freshness == "sealed"
    with pytest.raises(NotCosignedError):
        board.release()
    for witness in witnesses:
        witness.away = False
    board.release()
    assert board.host.freshness in {"open", "degraded"}


def test_a_slow_witness_is_not_waited_for(founded: Founding, witnesses: list[FakeWitness]) -> None:
    """Three answer at once: the fourth one's delay is nobody's."""
    board = founded()
    board.release()
    slow, held = witnesses[3], threading.Event()
    slow.held, answered = held, len(slow.answered_at)
    for _ in range(3):
        board.release()
    assert len(slow.answered_at) == answered
    held.set()


def test_releases_share_a_round(founded: Founding, witnesses: list[FakeWitness]) -> None:
    """Ten releases at the same time take a few rounds, not ten."""
    board = founded()
    board.release()
    rounds = board.host.cosigning.rounds

    async def together() -> None:
        await asyncio.gather(*(board.host.confirmed(board.host.head.size - 1) for _ in range(10)))

    board.deposit("key", b"value")
    asyncio.run(together())
    assert board.host.cosigning.rounds - rounds <= 2


def test_the_kept_checkpoint_has_a_quorum(founded: Founding, witnesses: list[FakeWitness]) -> None:
    """What anybody can fetch is cosigned by three of four, and so is what the store keeps."""
    board = founded()
    board.release()
    note = asyncio.run(board.host.cosigned_note())
    assert note is not None
    signed = cosignatures(note, {item.name: item.signer.verify_key for item in witnesses})
    assert len(signed) >= 3
    board.service.close()
    assert board.store.setting(checkpoint_setting(board.board)) == note


def test_a_solo_board_asks_nobody(hardware: Hardware, tmp_path: Path) -> None:
    """Without witnesses nothing waits, and no round begins."""
    from tests.support.served import Served

    board = Served(hardware, tmp_path)
    board.enact(board.policy())
    board.release()
    assert board.host.freshness == "solo"
    assert board.host.cosigning.rounds == 0


def test_a_fork_is_known_after_a_restart(founded: Founding) -> None:
    """Both heads are on the disk of who lost: it stays halted, and shows them again."""
    board = founded()
    board.release()
    clone = board.cloned()
    board.release()
    with pytest.raises(LogForkError):
        clone.release()
    fork = clone.host.cosigning.fork
    clone.restart()
    with pytest.raises(LogForkError):
        clone.release()
    assert clone.host.cosigning.fork == fork
    clone.host.nudge()  # The clock asks nobody any more.
    assert clone.host.freshness == "halted-fork"


def test_a_disk_that_takes_nothing_does_not_hide_a_fork(
    founded: Founding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever operates the machine can fill its disk: the board stays halted all the same."""
    board = founded()
    board.release()
    clone = board.cloned()
    board.release()
    keep = clone.store.set_setting

    def full(name: str, value: bytes) -> None:
        if name == fork_setting(clone.board):
            raise StoreUnavailableError(path="settings", detail="no space is left")
        keep(name, value)

    monkeypatch.setattr(clone.store, "set_setting", full)
    with pytest.raises((LogForkError, StoreUnavailableError)):
        clone.release()
    for _ in range(2):
        with pytest.raises(LogForkError):
            clone.release()
    assert clone.host.freshness == "halted-fork"
    monkeypatch.undo()
    clone.restart()
    with pytest.raises(LogForkError):
        clone.release()


def test_a_log_older_than_its_kept_checkpoint_is_a_fork(founded: Founding) -> None:
    """Of the disk only the log is rolled back: the kept checkpoint says so without witnesses."""
    board = founded()
    before = copied(board.store)
    board.release()
    asyncio.run(asyncio.sleep(0.1))
    kept = board.store.setting(checkpoint_setting(board.board))
    assert kept is not None
    before.set_setting(checkpoint_setting(board.board), kept)
    restored = board.cloned(before)
    with pytest.raises(LogForkError, match="own store"):
        restored.release()


def test_the_clock_has_idle_boards_cosigned(founded: Founding) -> None:
    """Nobody waits for anything: what members did is cosigned all the same."""
    board = founded()

    async def idle() -> None:
        async with board.service.running():
            for _ in range(200):
                await asyncio.sleep(0.02)
                if board.host.cosigning.size == board.host.durable_size:
                    return

    asyncio.run(idle())
    assert board.host.cosigning.size == board.host.durable_size
    assert board.host.freshness in {"open", "degraded"}


def test_witnesses_that_answer_nonsense_are_told_apart(
    founded: Founding, witnesses: list[FakeWitness]
) -> None:
    """Too much, not HTTP statuses of the standard, a conflict that is none: each has its words."""
    board = founded()
    board.release()
    witnesses[0].instead = lambda _request: (200, b"x" * (1 << 17))
    witnesses[1].instead = lambda _request: (409, b"many\n")
    witnesses[2].instead = lambda _request: (200, b"\xff")
    witnesses[3].instead = lambda _request: (403, b"")
    with pytest.raises(NotCosignedError):
        board.release()
    assert [peer.state for peer in board.host.cosigning.peers] == [
        "HTTPException",
        "was behind its own answer",
        "sent no cosignature of its own over this checkpoint",
        "refuses with HTTP status 403",
    ]


def test_of_two_services_on_one_database_the_writer_cosigns(
    hardware: Hardware, tmp_path: Path, witnesses: list[FakeWitness], postgres: Postgres
) -> None:
    """The reader shows what the writer got cosigned, and takes over without a fork."""
    dsn, key = postgres.database(), bytes(range(32))
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(contextlib.closing(cast("Any", PostgresStore(dsn, key))))
            for _ in range(2)
        )
        board = Witnessed(hardware, tmp_path, witnesses=witnesses, store=first)
        board.ready()
        board.release()
        reader = board.cloned(second)
        assert not reader.host.writes
        asked = sum(witness.asked for witness in witnesses)
        asyncio.run(reader.service.tick())
        assert sum(witness.asked for witness in witnesses) == asked
        board.service.close()
        assert asyncio.run(reader.host.cosigned_note()) is not None
        reader.release()
        assert reader.host.freshness in {"open", "degraded"}
        reader.service.close()
