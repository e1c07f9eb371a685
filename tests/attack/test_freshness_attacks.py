# SPDX-License-Identifier: Apache-2.0
"""Attacks on freshness: old disks, clones, and witnesses that lie or do not answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.live import Hardware
from tests.support.moving import Replaying, replaying
from tests.support.witness import FakeWitness, Seen, four_witnesses
from tests.support.witnessed import Witnessed, copied

from accord.board import ForkHead, ResolveFork
from accord.errors import LogForkError, NotCosignedError
from accord.identity import KeySigner
from accord.ledger import Checkpoint, sign_checkpoint, verify_checkpoint
from accord.release import log_origin
from accord.witness import WatchedLog


@pytest.fixture
def witnesses() -> Iterator[list[FakeWitness]]:
    with four_witnesses() as found:
        yield found


@pytest.fixture
def founded(
    hardware: Hardware, tmp_path: Path, witnesses: list[FakeWitness]
) -> Iterator[Callable[..., Witnessed]]:
    """Founds a board whose services end with the test."""
    with contextlib.ExitStack() as stack:

        def found(**more: Any) -> Witnessed:
            served = Witnessed(hardware, tmp_path, witnesses=witnesses, **more)
            stack.callback(served.close)
            served.ready()
            return served

        yield found


@pytest.fixture
def board(founded: Callable[..., Witnessed]) -> Witnessed:
    return founded()


def test_a_rolled_back_disk_cannot_open(board: Witnessed) -> None:
    """The operator starts the service on yesterday's disk: it releases nothing, and says why."""
    yesterday = copied(board.store)
    board.release()
    restored = board.cloned(yesterday)
    with pytest.raises(LogForkError):
        restored.release()
    assert restored.host.freshness == "halted-fork"
    assert restored.statements("release") == []


def test_of_two_clones_one_loses_and_shows_both_heads(board: Witnessed) -> None:
    """A copy that runs beside the service never gets a quorum; both heads are kept."""
    board.release()
    clone = board.cloned()
    board.release()  # The original was first.
    with pytest.raises(LogForkError):
        clone.release()
    fork = clone.host.cosigning.fork
    assert fork is not None
    heads = [
        verify_checkpoint(
            note,
            origin=log_origin(board.board),
            name=log_origin(board.board),
            key=board.service.keyset.verify_key,
        )
        for note in (fork.own, fork.other)
    ]
    assert heads[1].root == board.host.head.root(heads[1].size)
    assert heads[0].root == clone.host.head.root(heads[0].size)
    assert heads[0].root != board.host.head.root(heads[0].size)
    board.release()  # The winner goes on.


def test_a_lying_witness_makes_no_quorum(board: Witnessed) -> None:
    """One of four cosigns both branches: the clone still has two at most."""
    board.witnesses[0].lies = True
    board.release()
    clone = board.cloned()
    board.release()
    with pytest.raises((LogForkError, NotCosignedError)):
        clone.release()
    assert len(clone.statements("release")) == 1  # The one from before it was cloned.


def test_a_witness_cannot_use_the_cosignature_of_another(board: Witnessed) -> None:
    """Two witnesses hand in what others signed: that counts once."""
    first = board.witnesses[0]
    for thief in board.witnesses[2:]:
        thief.instead = lambda request: (200, first.line(request.note))
    with pytest.raises(NotCosignedError):
        board.release()
    assert {peer.state for peer in board.host.cosigning.peers} == {
        "cosigned",
        "sent no cosignature of its own over this checkpoint",
    }


def test_a_cosignature_over_another_note_is_none(board: Witnessed) -> None:
    """Witnesses sign something else with the right key: nothing is released."""

    def other(witness: FakeWitness) -> None:
        note = b"example.org/log\n1\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 x AAAAAA==\n"
        witness.instead = lambda _request: (200, witness.line(note))

    for witness in board.witnesses[1:]:
        other(witness)
    with pytest.raises(NotCosignedError):
        board.release()


def test_an_old_cosignature_is_none(board: Witnessed) -> None:
    """Witnesses repeat what they signed before: the note has grown since."""
    board.release()

    def repeat(witness: FakeWitness) -> None:
        [seen] = witness.logs.values()
        line = witness.line(seen.note)
        witness.instead = lambda _request: (200, line)

    for witness in board.witnesses[1:]:
        repeat(witness)
    with pytest.raises(NotCosignedError):
        board.release()


def test_nothing_is_released_while_sealed(
    founded: Callable[..., Witnessed], witnesses: list[FakeWitness]
) -> None:
    """Before witnesses know the log nothing leaves, and no use is counted."""
    board = founded(introduced=False)
    assert board.host.freshness == "sealed"
    with pytest.raises(NotCosignedError):
        board.release()
    assert board.statements("release") == []
    assert board.host.freshness == "waiting-witness"
    board.introduce(*witnesses[:3])
    board.release()
    assert board.host.freshness == "degraded"


def test_nothing_leaves_while_witnesses_are_down(board: Witnessed) -> None:
    """Two of four are away: no release, no lease; they come back, and it goes on."""
    board.release()
    assert board.host.freshness in {"open", "degraded"}
    for witness in board.witnesses[:2]:
        witness.away = True
    with pytest.raises(NotCosignedError):
        board.release()
    counted = len(board.statements("release"))
    with pytest.raises(NotCosignedError):
        board.release()
    assert len(board.statements("release")) == counted  # The second one was not even staged.
    for witness in board.witnesses[:2]:
        witness.away = False
    board.release()


def test_no_answer_leaves_before_the_quorum(board: Witnessed) -> None:
    """Two witnesses take their time: the grant comes after the third cosignature."""
    board.release()
    for witness in board.witnesses[:2]:
        witness.delay_s = 0.3
    for witness in board.witnesses:
        witness.answered_at.clear()
    start = time.monotonic()
    board.release()
    granted = time.monotonic()
    assert granted - start >= 0.3
    assert sorted(t for w in board.witnesses for t in w.answered_at)[2] <= granted


def test_a_split_stalls_until_members_resolve_it(
    board: Witnessed, witnesses: list[FakeWitness]
) -> None:
    """Two witnesses each saw one branch: neither has a quorum, both say so, members decide."""
    board.release()
    clone = board.cloned()
    for witness in witnesses[2:]:
        witness.away = True
    with pytest.raises(NotCosignedError):
        board.release()
    for witness in witnesses:
        witness.away = not witness.away
    with pytest.raises(NotCosignedError):
        clone.release()
    for witness in witnesses:
        witness.away = False
    for side in (board, clone):
        with pytest.raises(LogForkError):
            side.release()
        assert side.host.freshness == "halted-fork"
    fork = board.host.cosigning.fork
    assert fork is not None
    heads = [
        ForkHead(size, root)
        for size, root in (
            (fork.own_size, board.host.head.root(fork.own_size)),
            (fork.other_size, clone.host.head.root(fork.other_size)),
        )
    ]
    board.propose(ResolveFork(*heads))
    assert board.host.machine.board.generation() == 1
    board.release()
    assert board.host.freshness in {"open", "degraded"}
    clone.propose(ResolveFork(*heads))  # The operator hands the same votes to the loser.
    with pytest.raises(LogForkError):
        clone.release()


@pytest.mark.parametrize("status", [409, 422])
def test_a_head_that_a_witness_made_up_halts_nothing(
    board: Witnessed, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One of four shows a second history under its own key: it proves nothing, and is named."""
    board.release()
    liar, origin = board.witnesses[0], log_origin(board.board)
    thief = KeySigner(Ed25519PrivateKey.generate())
    head = Checkpoint(origin, 10_000, bytes(32))
    note = sign_checkpoint(head, name=origin, signer=thief)
    liar.logs[origin] = Seen(head.size, head.root, note)
    liar.instead = lambda _request: (status, f"{head.size}\n".encode())
    for _ in range(20):  # The others are a quorum: a round need not wait for the liar.
        board.release()
        if board.host.freshness == "degraded":
            break
    assert (board.host.cosigning.fork, board.host.freshness) == (None, "degraded")
    said = [line.getMessage() for line in caplog.records if line.name == "accord.service"]
    assert any("witness w0 shows no other checkpoint of this log" in line for line in said)


def _retired(witness: Replaying) -> list[WatchedLog]:
    return [log for log in witness.witness.store.logs() if log.retired]


def test_the_abandoned_name_of_a_log_finds_no_witness(hardware: Hardware, tmp_path: Path) -> None:
    """After the vote the operator starts the disk from before it: real witnesses retired it."""
    with replaying(tmp_path, 4) as witnesses, contextlib.ExitStack() as stack:
        board = Witnessed(hardware, tmp_path / "b", witnesses=witnesses)  # type: ignore[arg-type]
        stack.callback(board.close)
        for witness in witnesses:
            witness.watch(board)  # type: ignore[arg-type]
        board.ready()
        board.release()
        before = copied(board.store)
        other = board.cloned()  # A second service, whose start nobody cosigned.
        heads = [ForkHead(b.host.head.size, b.host.head.root()) for b in (board, other)]
        board.propose(ResolveFork(*heads))
        board.release()
        assert board.host.machine.board.generation() == 1
        deadline = time.monotonic() + 30
        while not all(map(_retired, witnesses)) and time.monotonic() < deadline:
            time.sleep(0.05)  # The last of them was not needed for the quorum.
        seen = list(map(_retired, witnesses))
        for witness in witnesses:  # They hear of no service but the old one.
            witness.stores[:] = [before]
        old = board.cloned(before)
        released = len(old.statements("release"))
        for _ in range(2):
            with pytest.raises((LogForkError, NotCosignedError)):
                old.release()
        assert released == len(old.statements("release"))
        assert seen == list(map(_retired, witnesses))
        assert [len(logs) for logs in seen] == [1] * 4
