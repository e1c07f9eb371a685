# SPDX-License-Identifier: Apache-2.0
"""A witness that replays: it cosigns what a board's rules allow, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.board import CONSTITUTION, MEMBERS, Person, World, digest
from tests.support.witnessing import SomeLog, make_witness

from accord.board import ForkHead, ResolveFork
from accord.encoding import Envelope
from accord.errors import (
    AccordError,
    CheckpointNotSignedError,
    LogNotWitnessedError,
    ReplayRefusedError,
    ReplayUnavailableError,
    UnreachableError,
    WitnessedSizeError,
)
from accord.ledger import AddCheckpoint, Entry, Ledger, sign_checkpoint
from accord.policy import AttestationVariant
from accord.release import log_origin
from accord.witness import Head, WatchedLog, Witness, WitnessKey
from accord.witness.replay import Replay


@dataclass
class Stub:
    """A trust service that shows whatever the test wants shown."""

    world: World
    log: list[bytes] = field(default_factory=list)
    shown: list[bytes] | None = None
    """What it shows instead of the log that it signs."""

    failure: AccordError | None = None
    closed: bool = False
    asked: list[tuple[int, int | None]] = field(default_factory=list)
    signer: Person = field(default_factory=lambda: Person.of("service"))

    def __post_init__(self) -> None:
        self.log = [entry.to_bytes() for entry in self.world.log]

    @property
    def watched(self) -> WatchedLog:
        board = self.world.board
        key = Person.of("service").signer.verify_key
        origin = log_origin(board)
        return WatchedLog(origin, origin, key, board, "https://stub.example")

    def entries(
        self, start: int, size: int | None, _accepted: Sequence[AttestationVariant] = ()
    ) -> Iterator[bytes]:
        self.asked.append((start, size))
        for data in (self.log if self.shown is None else self.shown)[start:size]:
            if self.failure is not None:
                raise self.failure
            yield data

    def close(self) -> None:
        self.closed = True

    def record(self, envelope: Envelope) -> None:
        """Adds an entry that no rule was asked about."""
        entry = Entry(len(self.log), self.world.time, envelope)
        self.log.append(entry.to_bytes())

    def follow(self) -> None:
        """Records what the board's own machine took since."""
        self.log += [entry.to_bytes() for entry in self.world.log[len(self.log) :]]

    def head(self, size: int) -> ForkHead:
        ledger = Ledger()
        for data in self.log:
            ledger.rehash(data)
        return ForkHead(size, ledger.root(size))

    def request(self, old: int, size: int | None = None, *, generation: int = 0) -> bytes:
        ledger = Ledger()
        for data in self.log:
            ledger.rehash(data)
        origin = log_origin(self.world.board, generation)
        checkpoint = ledger.checkpoint(origin, size)
        note = sign_checkpoint(checkpoint, name=checkpoint.origin, signer=self.signer.signer)
        return AddCheckpoint(old, ledger.consistency_proof(old, size), note).to_bytes()


@pytest.fixture
def stub() -> Stub:
    """A board with a policy in force."""
    return Stub(World.enacted())


@pytest.fixture
def witness(tmp_path: Path, stub: Stub) -> Iterator[Witness]:
    """A replaying witness of that board."""
    made = make_witness(tmp_path / "w", stub.watched, examiner=Replay(lambda _: stub))
    yield made
    made.close()


def cosigned(witness: Witness, stub: Stub) -> int:
    """How far it cosigned the log."""
    return witness.store.log(stub.watched.origin).size


def test_valid_entries_are_read_once_and_cosigned(witness: Witness, stub: Stub) -> None:
    """The next checkpoint asks for the new entries alone."""
    first = len(stub.log)
    witness.add_checkpoint(stub.request(0))
    stub.world.release()
    stub.follow()
    witness.add_checkpoint(stub.request(first))
    witness.close()
    assert ([(0, first), (first, first + 1)], True) == (stub.asked, stub.closed)


def test_a_smaller_tree_than_was_replayed_is_looked_up(witness: Witness, stub: Stub) -> None:
    """Where an answer came late, the witness may have seen more than it is asked about."""
    stub.world.release()
    stub.follow()
    size = len(stub.log)
    witness.add_checkpoint(stub.request(0, 3))
    replay = witness._examiner
    assert replay is not None
    replay.examine(stub.watched, _head(stub, size))
    witness.add_checkpoint(stub.request(3, 5))
    assert [(0, 3), (3, size)] == stub.asked


def _head(stub: Stub, size: int) -> Head:
    return Head.claimed(AddCheckpoint.from_bytes(stub.request(0, size)).note)


def test_a_genesis_alone_is_cosigned(witness: Witness, stub: Stub) -> None:
    """Before the first start the log names no key: the one that was added stands."""
    witness.add_checkpoint(stub.request(0, 1))
    assert cosigned(witness, stub) == 1


def test_a_release_without_consent_is_not_cosigned(tmp_path: Path) -> None:
    """The service records a release of a policy that nobody approved."""
    stub = Stub(World.ready())
    stub.record(stub.world.sign("release", stub.world.release_of().to_json(), stub.signer.signer))
    witness = make_witness(tmp_path / "w", stub.watched, examiner=Replay(lambda _: stub))
    with pytest.raises(ReplayRefusedError) as caught:
        witness.add_checkpoint(stub.request(0))
    assert len(stub.log) - 1 == caught.value.details["index"]
    assert cosigned(witness, stub) == 0
    witness.add_checkpoint(stub.request(0, len(stub.log) - 1))
    witness.close()


def test_a_ballot_that_is_counted_twice_is_not_cosigned(witness: Witness, stub: Stub) -> None:
    """The service writes a member's one ballot down again."""
    ballot = next(
        entry.envelope for entry in stub.world.log if "ballot" in entry.envelope.payload_type
    )
    stub.record(ballot)
    with pytest.raises(ReplayRefusedError, match="does not replay at entry"):
        witness.add_checkpoint(stub.request(0))
    assert cosigned(witness, stub) == 0


def test_more_uses_than_were_granted_are_not_cosigned(witness: Witness, stub: Stub) -> None:
    """The service records a release whose uses are counted as an earlier one's."""
    before = stub.world.release_of()
    stub.world.release()
    stub.follow()
    again = replace(before, run="run-" + "0" * 32, nonce=bytes(32))
    stub.record(stub.world.sign("release", again.to_json(), stub.signer.signer))
    with pytest.raises(ReplayRefusedError):
        witness.add_checkpoint(stub.request(0))


def test_an_enactment_without_votes_is_not_cosigned(tmp_path: Path) -> None:
    """The service enacts what nobody voted for."""
    world = World.ready()
    proposal = world.propose()
    stub = Stub(world)
    body = {"board": world.board, "proposal": proposal, "schema": "accord.enactment.v1"}
    stub.record(world.sign("enactment", {**body, "public": []}, stub.signer.signer))
    witness = make_witness(tmp_path / "w", stub.watched, examiner=Replay(lambda _: stub))
    with pytest.raises(ReplayRefusedError):
        witness.add_checkpoint(stub.request(0))
    witness.close()


def test_entries_of_another_tree_are_not_believed(witness: Witness, stub: Stub) -> None:
    """The service shows a clean log and signs the tree of another one."""
    stub.shown = list(stub.log)
    body = stub.world.sign("withdrawal", {"board": digest("x")}, "ann")
    stub.log[-1] = Entry(len(stub.log) - 1, stub.world.time, body).to_bytes()
    with pytest.raises(ReplayRefusedError, match="not those of the checkpoint"):
        witness.add_checkpoint(stub.request(0))
    assert cosigned(witness, stub) == 0
    # What was shown is forgotten: the log that it really is can still be cosigned.
    stub.log = stub.shown
    witness.add_checkpoint(stub.request(0))


def test_the_log_of_another_board_is_not_cosigned(tmp_path: Path, stub: Stub) -> None:
    """The genesis must be the one that the witness was told."""
    other = Stub(World.enacted(name="other"))
    watched, key = other.watched, other.watched.key
    pinned = WatchedLog(watched.origin, watched.name, key, stub.world.board, watched.service)
    witness = make_witness(tmp_path / "w", pinned, examiner=Replay(lambda _: other))
    with pytest.raises(ReplayRefusedError, match="it founds"):
        witness.add_checkpoint(other.request(0))
    witness.close()


def test_a_key_that_the_log_never_named_is_refused(tmp_path: Path, stub: Stub) -> None:
    """A checkpoint by the key that was added, of a log that another key writes."""
    stub.signer = Person.of("thief")
    key = stub.signer.signer.verify_key
    watched = stub.watched
    pinned = WatchedLog(watched.origin, watched.name, key, watched.board, watched.service)
    witness = make_witness(tmp_path / "w", pinned, examiner=Replay(lambda _: stub))
    with pytest.raises(ReplayRefusedError, match="does not name the key"):
        witness.add_checkpoint(stub.request(0))
    witness.close()


def test_what_cannot_be_read_is_not_cosigned(witness: Witness, stub: Stub) -> None:
    """No answer, or too few entries: nothing is cosigned, and the next request tries again."""
    stub.failure = UnreachableError(url="https://stub.example", detail="it is down")
    with pytest.raises(ReplayUnavailableError, match="it is down"):
        witness.add_checkpoint(stub.request(0))
    stub.failure, stub.shown = None, stub.log[:-1]
    with pytest.raises(ReplayUnavailableError, match="it shows"):
        witness.add_checkpoint(stub.request(0))
    stub.shown = None
    witness.add_checkpoint(stub.request(0))
    assert len(stub.log) == cosigned(witness, stub)


def test_entries_that_go_back_in_time_are_not_cosigned(witness: Witness, stub: Stub) -> None:
    """Order and time of the log are checked as its members check them."""
    stub.world.time -= timedelta(days=1)
    stub.record(stub.world.log[-1].envelope)
    with pytest.raises(ReplayRefusedError):
        witness.add_checkpoint(stub.request(0))


def test_one_request_at_a_time_replays(
    witness: Witness, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second request waits for a while, and then is asked to come again."""
    monkeypatch.setattr("accord.witness._replay.BUSY_S", 0.05)
    inside, go_on = threading.Event(), threading.Event()
    entries = stub.entries

    def slow(start: int, size: int | None, _accepted: object) -> Iterator[bytes]:
        inside.set()
        go_on.wait(10)
        return entries(start, size)

    monkeypatch.setattr(stub, "entries", slow)
    thread = threading.Thread(target=witness.add_checkpoint, args=(stub.request(0),))
    thread.start()
    inside.wait(10)
    with pytest.raises(ReplayUnavailableError, match="being replayed"):
        witness.add_checkpoint(stub.request(0))
    go_on.set()
    thread.join()
    assert len(stub.log) == cosigned(witness, stub)


def test_other_logs_are_not_examined(tmp_path: Path) -> None:
    """Only boards have rules that a witness knows."""

    def none(_: WatchedLog) -> Stub:
        raise LookupError

    log = SomeLog().grow(3)
    witness = make_witness(tmp_path / "w", log.watched, examiner=Replay(none))
    witness.add_checkpoint(log.request(0))
    assert WitnessKey.load(tmp_path / "w").name == "north"
    witness.close()


@dataclass
class Forked:
    """A service that ran twice: both went on from one log, and members chose one of them."""

    survivor: Stub
    abandoned: Stub
    common: int

    @classmethod
    def make(cls, **changes: ForkHead) -> Forked:
        rules = {**CONSTITUTION, "log.fork.resolve": {"all": ["member:ann", "member:lab"]}}
        world = World.enacted(constitution=rules)
        other = deepcopy(world)
        common = len(world.log)
        world.release()
        other.withdraw("bob/records")
        kept, gone = Stub(world), Stub(other)
        heads = {"survivor": kept.head(len(kept.log)), "abandoned": gone.head(len(gone.log))}
        fork = ResolveFork(**{**heads, **changes})
        proposal = world.propose(actions=(fork,))
        for member in MEMBERS:
            world.vote(member, proposal)
        world.enact(proposal)
        kept.follow()
        return cls(kept, gone, common)

    def witness(self, home: Path, shown: Stub | None = None) -> Witness:
        """It reads first what ``shown`` shows, and then the survivor."""
        self.sources = [shown or self.abandoned, self.survivor]
        return make_witness(
            home, self.survivor.watched, examiner=Replay(lambda _: self.sources.pop(0))
        )


def later(witness: Witness, forked: Forked) -> int:
    """How far the log was cosigned under its second name."""
    return witness.store.log(log_origin(forked.survivor.world.board, 1)).size


def test_a_witness_of_the_abandoned_history_follows_the_members(tmp_path: Path) -> None:
    """It held exactly the head that they abandoned, so it goes on under the log's new name."""
    forked = Forked.make()
    witness = forked.witness(tmp_path / "w")
    witness.add_checkpoint(forked.abandoned.request(0))
    witness.add_checkpoint(forked.survivor.request(0, generation=1))
    assert len(forked.survivor.log) == later(witness, forked)
    with pytest.raises(WitnessedSizeError):
        witness.add_checkpoint(forked.survivor.request(0, generation=1))
    witness.close()


@pytest.mark.parametrize("old", [0, 2])
def test_a_witness_of_the_surviving_history_follows_too(tmp_path: Path, old: int) -> None:
    """It cosigned some of it, or nothing yet."""
    forked = Forked.make()
    witness = forked.witness(tmp_path / "w", forked.survivor)
    if old:
        witness.add_checkpoint(forked.survivor.request(0, old))
    else:
        forked.sources.pop()
    witness.add_checkpoint(forked.survivor.request(0, generation=1))
    assert len(forked.survivor.log) == later(witness, forked)
    witness.close()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"abandoned": ForkHead(3, bytes(32))}, "leaves out more"),
        ({"survivor": ForkHead(3, bytes(32))}, "not the log that survives"),
        ({"survivor": ForkHead(9999, bytes(32))}, "not the log that survives"),
    ],
)
def test_what_members_did_not_abandon_is_not_left_out(
    tmp_path: Path, changes: dict[str, ForkHead], why: str
) -> None:
    """The decision must name the head that the witness holds, and the log that it is in."""
    forked = Forked.make(**changes)
    witness = forked.witness(tmp_path / "w")
    witness.add_checkpoint(forked.abandoned.request(0))
    with pytest.raises(ReplayRefusedError, match=why):
        witness.add_checkpoint(forked.survivor.request(0, generation=1))
    assert len(witness.store.logs()) == 1
    witness.close()


def test_the_name_of_the_log_follows_from_its_entries(tmp_path: Path) -> None:
    """No new name before members resolved a fork, and no old one after."""
    forked = Forked.make()
    witness = forked.witness(tmp_path / "w", forked.survivor)
    with pytest.raises(ReplayRefusedError, match="another name"):
        witness.add_checkpoint(forked.survivor.request(0))
    with pytest.raises(ReplayRefusedError, match="another name"):
        witness.add_checkpoint(forked.survivor.request(0, forked.common, generation=1))
    with pytest.raises(LogNotWitnessedError):
        witness.add_checkpoint(forked.survivor.request(0, generation=2))
    forked.survivor.signer = Person.of("thief")
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(forked.survivor.request(0, generation=1))
    witness.close()
