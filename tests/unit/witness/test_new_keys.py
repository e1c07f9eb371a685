# SPDX-License-Identifier: Apache-2.0
"""A log that goes on under another key: followed where its entries, or an owner, say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.board import CONSTITUTION, MEMBERS, Person, World, digest, seed
from tests.support.witnessing import TIME, SomeLog, make_witness, signer_of
from tests.unit.witness.test_replay import Stub

from accord.board import ResolveFork
from accord.encoding import Envelope, Fields, parse_canonical_json
from accord.errors import (
    AccordError,
    CheckpointNotSignedError,
    LogConflictError,
    LogNotWitnessedError,
    LogRetiredError,
    NotContinuedError,
    ReplayRefusedError,
    ReplayUnavailableError,
    SplitViewError,
    UnreachableError,
    WitnessedSizeError,
)
from accord.identity import VerifyKey
from accord.ledger import EMPTY_ROOT, AddCheckpoint
from accord.policy import AttestationVariant
from accord.release import Recovery, RecoveryShare, RootShare, RootShares, log_origin
from accord.witness import WatchedLog, Witness, WitnessStore
from accord.witness.replay import Replay

RULES = {**CONSTITUTION, "log.fork.resolve": {"all": ["member:ann", "member:lab"]}}
NEW, ROOT = "new-machine", "root-secret"


def planned() -> World:
    """A board whose members hold shares of its root secret."""
    plan = {"threshold": 2, "epoch": 1}
    world = World.enacted(constitution=RULES, recovery=plan)
    held = {name: RootShare(Person.of(name).seal_key, b"sealed", digest(name)) for name in MEMBERS}
    key = Person.of(ROOT).signer.verify_key
    shares = RootShares(world.board, 1, 1, 2, key, MappingProxyType(held))
    world.say("root-shares", shares.to_json(), world.service.signer)
    return world


def recover(world: World, *, keyset_of: str = NEW, start: bool = True) -> None:
    """All members agree that the board goes on on another machine, from here."""
    head = Stub(world).head(len(world.log))
    keyset, boot = Person.of(keyset_of).keyset(seed("tls")), seed(f"boot {len(world.log)}")

    def agreed(name: str) -> Envelope:
        share = RecoveryShare(
            *(world.board, name, 1, boot, keyset.digest, head.size, head.root, digest(name))
        )
        return world.sign("recovery-share", share.to_json(), name)

    recovery = Recovery(
        *(world.board, 1, boot, keyset, digest("evidence"), head.size, head.root),
        tuple(agreed(name) for name in MEMBERS),
    )
    new = Person.of(keyset_of)
    world.say("recovery", recovery.to_json(), new.signer, Person.of(ROOT).signer)
    world.service = new
    if start:
        world.start(nonce=f"boot on {keyset_of}")


def on_another_machine(stub: Stub) -> Stub:
    """The same log, recovered; what the old machine has stays what it was."""
    world = deepcopy(stub.world)
    recover(world)
    return Stub(world, signer=Person.of(NEW))


class Shown:
    """The address that the witness was told: whoever answers there can be exchanged."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub

    def entries(
        self, start: int, size: int | None, _accepted: Sequence[AttestationVariant] = ()
    ) -> Iterator[bytes]:
        return self.stub.entries(start, size)

    def close(self) -> None:
        self.stub.close()


@pytest.fixture
def old() -> Stub:
    return Stub(planned())


@pytest.fixture
def shown(old: Stub) -> Shown:
    return Shown(old)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    now = [1000.0]
    monkeypatch.setattr("accord.witness._replay.time.monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


@pytest.fixture
def witness(
    tmp_path: Path, old: Stub, shown: Shown, clock: Callable[[float], None]
) -> Iterator[Witness]:
    """A replaying witness that cosigned what the old machine had."""
    made = make_witness(tmp_path / "w", old.watched, examiner=Replay(lambda _: shown))
    made.add_checkpoint(old.request(0))
    clock(10)
    yield made
    made.close()


def kept(witness: Witness, stub: Stub, generation: int = 0) -> tuple[int, VerifyKey]:
    log = witness.store.log(log_origin(stub.world.board, generation))
    return log.size, log.key


def key_of(name: str) -> VerifyKey:
    return Person.of(name).signer.verify_key


def test_before_its_first_cosignature_the_key_is_the_one_that_its_owner_gave(
    tmp_path: Path, old: Stub
) -> None:
    """A log that says itself who may sign it is believed only where some of it is known."""
    new = on_another_machine(old)
    made = make_witness(tmp_path / "new", old.watched, examiner=Replay(lambda _: Shown(new)))
    with pytest.raises(CheckpointNotSignedError):
        made.add_checkpoint(new.request(0))
    assert kept(made, new) == (0, old.watched.key)
    made.close()


def test_a_recovered_log_is_followed_to_its_new_key(
    witness: Witness, old: Stub, shown: Shown
) -> None:
    """Key, size and root change at once; who signed before is remembered with it."""
    new = shown.stub = on_another_machine(old)
    witness.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of(NEW)) == kept(witness, new)
    [former] = witness.store.former_keys(new.watched.origin)
    assert (former.key, former.size, former.time, former.by_hand) == (
        *(key_of("service"), len(old.log), TIME, False),
    )
    new.world.release()
    new.follow()
    witness.add_checkpoint(new.request(len(new.log) - 1))
    assert (len(new.log), key_of(NEW)) == kept(witness, new)


def test_the_service_learns_where_the_witness_is(witness: Witness, old: Stub, shown: Shown) -> None:
    """A machine that never spoke to this witness is told the size, as any log is."""
    new = shown.stub = on_another_machine(old)
    with pytest.raises(WitnessedSizeError) as told:
        witness.add_checkpoint(new.request(0))
    witness.add_checkpoint(new.request(int(str(told.value.details["size"]))))


def test_a_witness_that_starts_again_follows_too(
    witness: Witness, old: Stub, shown: Shown, tmp_path: Path
) -> None:
    """What was replayed is in memory alone: it is replayed again, from the first entry."""
    new = shown.stub = on_another_machine(old)
    again = make_witness(tmp_path / "w", examiner=Replay(lambda _: shown))
    again.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of(NEW)) == kept(again, new)
    again.close()


def test_two_recoveries_are_followed_at_once(witness: Witness, old: Stub, shown: Shown) -> None:
    """It was away meanwhile."""
    new = on_another_machine(old)
    recover(new.world, keyset_of="third-machine")
    new.follow()
    new.signer, shown.stub = Person.of("third-machine"), new
    witness.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of("third-machine")) == kept(witness, new)


def test_the_old_key_cannot_sign_behind_the_recovery(
    witness: Witness, old: Stub, shown: Shown, clock: Callable[[float], None]
) -> None:
    """Neither the tree that goes on, nor one that the old machine made up itself."""
    new = shown.stub = on_another_machine(old)
    witness.add_checkpoint(new.request(len(old.log)))
    size, _ = kept(witness, new)
    clock(10)
    thief = Stub(new.world, signer=Person.of("service"))
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(thief.request(size))
    old.world.release()
    old.world.start(nonce="again")
    old.world.start(nonce="and again")
    old.follow()
    clock(10)
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(old.request(size))
    assert (size, key_of(NEW)) == kept(witness, new)


def test_the_stored_key_cannot_sign_a_tree_in_which_it_was_replaced(
    witness: Witness, old: Stub, shown: Shown
) -> None:
    """Whoever broke into the old machine signs what the new one wrote."""
    shown.stub = on_another_machine(old)
    thief = Stub(shown.stub.world, signer=Person.of("service"))
    with pytest.raises(ReplayRefusedError, match="does not name the key"):
        witness.add_checkpoint(thief.request(len(old.log)))
    assert (len(old.log), key_of("service")) == kept(witness, old)


def test_a_key_that_no_recovery_names_is_refused(witness: Witness, old: Stub, shown: Shown) -> None:
    """A third key signs the recovered log, and its own service the old one."""
    new = shown.stub = on_another_machine(old)
    for stub in (Stub(new.world), Stub(old.world)):
        stub.signer = Person.of("thief")
        with pytest.raises(CheckpointNotSignedError):
            witness.add_checkpoint(stub.request(len(old.log)))
    assert (len(old.log), key_of("service")) == kept(witness, old)


def test_a_recovery_without_members_is_refused(witness: Witness, old: Stub, shown: Shown) -> None:
    """The operator's own entry says that the log goes on under the operator's key."""
    new = on_another_machine(old)
    entry = new.world.log[len(old.log)]
    shares = Recovery.from_fields(_fields(entry.envelope.payload))
    alone = replace(shares, shares=shares.shares[:1])
    old.record(old.world.sign("recovery", alone.to_json(), Person.of(NEW).signer, "ann"))
    old.signer, shown.stub = Person.of(NEW), old
    with pytest.raises(ReplayRefusedError):
        witness.add_checkpoint(old.request(len(old.log) - 1))
    assert kept(witness, old)[1] == key_of("service")


def _fields(payload: bytes) -> Fields:
    return Fields(parse_canonical_json(payload, what="recovery"), "recovery")


def test_a_recovery_of_an_older_log_is_no_continuation(
    witness: Witness, old: Stub, shown: Shown, clock: Callable[[float], None]
) -> None:
    """The key may be the log's own: what the witness cosigned is not left out for that."""
    behind = deepcopy(old)
    old.world.release()
    old.follow()
    witness.add_checkpoint(old.request(len(old.log) - 1))
    new = on_another_machine(behind)
    new.world.withdraw("bob/records")
    new.follow()
    shown.stub = new
    errors: list[type[AccordError]] = []
    for _ in range(2):  # The first look finds that it is another log, the second one reads it.
        with pytest.raises(AccordError) as caught:
            witness.add_checkpoint(new.request(len(old.log)))
        errors.append(caught.type)
        clock(10)
    assert errors == [ReplayRefusedError, NotContinuedError]
    assert (len(old.log), key_of("service")) == kept(witness, old)


def test_two_trees_of_one_size_prove_themselves_also_under_the_new_key(
    witness: Witness, old: Stub, shown: Shown, clock: Callable[[float], None]
) -> None:
    """What is kept is the checkpoint that the new key signed."""
    behind = deepcopy(old)
    for _ in range(2):
        old.world.release()
    old.follow()
    witness.add_checkpoint(old.request(len(old.log) - 2))
    new = shown.stub = on_another_machine(behind)
    assert len(new.log) == len(old.log)
    witness._examiner = Replay(lambda _: shown)  # As after a restart.
    with pytest.raises(SplitViewError):
        witness.add_checkpoint(new.request(len(old.log)))
    note = AddCheckpoint.from_bytes(new.request(0)).note
    assert note == witness.store.log(new.watched.origin).other


def test_forged_checkpoints_cost_one_look_in_a_while(
    witness: Witness, old: Stub, shown: Shown, clock: Callable[[float], None]
) -> None:
    """However many come, of whatever size: the service is asked for what it has, now and then."""
    thief = Stub(old.world, signer=Person.of("thief"))
    before = len(old.asked)
    for size in (len(old.log), 1, 2**62):
        note = AddCheckpoint.from_bytes(thief.request(0)).note
        text = note.replace(f"\n{len(old.log)}\n".encode(), f"\n{size}\n".encode(), 1)
        with pytest.raises(CheckpointNotSignedError):
            witness.add_checkpoint(AddCheckpoint(0, (), text).to_bytes())
    assert [(len(old.log), None)] == old.asked[before:]
    clock(10)
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(thief.request(0))
    assert len(old.asked) == before + 2


def test_forged_checkpoints_do_not_keep_a_recovery_out(
    witness: Witness, old: Stub, shown: Shown
) -> None:
    """The look that a forged one caused has found the new key: the true one needs no other."""
    new = shown.stub = on_another_machine(old)
    thief = Stub(old.world, signer=Person.of("thief"))
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(thief.request(0))
    new.world.release()
    new.follow()
    witness.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of(NEW)) == kept(witness, new)


def test_a_long_log_is_looked_at_in_pieces(
    witness: Witness,
    old: Stub,
    shown: Shown,
    clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each look goes on where the one before ended."""
    monkeypatch.setattr("accord.witness._replay.LOOK_ENTRIES", 1)
    old.world.release()
    new = shown.stub = on_another_machine(old)
    with pytest.raises(CheckpointNotSignedError):  # It saw the release, and no recovery.
        witness.add_checkpoint(new.request(len(old.log)))
    clock(10)
    witness.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of(NEW)) == kept(witness, new)


def test_what_cannot_be_read_is_tried_again(
    witness: Witness, old: Stub, shown: Shown, clock: Callable[[float], None]
) -> None:
    """The address that the witness knows does not answer: it says so."""
    new = shown.stub = on_another_machine(old)
    new.failure = UnreachableError(url="https://stub.example", detail="it is down")
    with pytest.raises(ReplayUnavailableError, match="it is down"):
        witness.add_checkpoint(new.request(len(old.log)))
    new.failure = None
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(new.request(len(old.log)))
    clock(10)
    witness.add_checkpoint(new.request(len(old.log)))


def test_another_address_is_used_at_once(
    tmp_path: Path, old: Stub, clock: Callable[[float], None]
) -> None:
    """`add` of a known board changes the address, and neither its tree nor its key."""
    new = on_another_machine(old)
    places = {"https://stub.example": old, "https://new.example": new}
    replay = Replay(lambda log: places[log.service])
    witness = make_witness(tmp_path / "w", old.watched, examiner=replay)
    witness.add_checkpoint(old.request(0))
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(new.request(len(old.log)))
    before = witness.store.log(old.watched.origin)
    moved = replace(old.watched, service="https://new.example", key=key_of(NEW))
    assert replace(before, service="https://new.example") == witness.store.add(moved)
    witness.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of(NEW)) == kept(witness, new)
    assert old.closed
    witness.close()


def test_without_replay_no_key_is_followed(tmp_path: Path, old: Stub) -> None:
    """Until whoever runs the witness says so: then its tree goes on."""
    witness = make_witness(tmp_path / "w", old.watched)
    witness.add_checkpoint(old.request(0))
    new = on_another_machine(old)
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(new.request(len(old.log)))
    before = witness.store.log(old.watched.origin)
    changed = witness.store.rekey(old.watched.origin, old.watched.origin, key_of(NEW))
    assert replace(before, key=key_of(NEW)) == changed
    witness.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of(NEW)) == kept(witness, new)
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(old.request(0))
    [former] = witness.store.former_keys(old.watched.origin)
    assert (former.key, former.size, former.by_hand) == (key_of("service"), len(old.log), True)
    witness.close()


def test_a_wrong_word_of_the_owner_does_not_stop_a_replaying_witness(
    witness: Witness, old: Stub, shown: Shown
) -> None:
    """What the log says is found out again, and counts."""
    new = shown.stub = on_another_machine(old)
    witness.store.rekey(old.watched.origin, old.watched.origin, key_of("thief"))
    witness.add_checkpoint(new.request(len(old.log)))
    assert (len(new.log), key_of(NEW)) == kept(witness, new)
    by_hand = [item.by_hand for item in witness.store.former_keys(old.watched.origin)]
    assert by_hand == [True, False]


def test_a_key_that_changed_meanwhile_is_not_overwritten(
    witness: Witness, old: Stub, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner names another key while the witness replays: the request is refused."""
    new = shown.stub = on_another_machine(old)
    examiner = witness._examiner
    assert examiner is not None
    examine = examiner.examine

    def slow(*arguments: object) -> VerifyKey:
        witness.store.rekey(old.watched.origin, old.watched.origin, key_of("other"))
        return examine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(examiner, "examine", slow)
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(new.request(len(old.log)))
    assert (len(old.log), key_of("other")) == kept(witness, old)


# --- names and keys that change together ----------------------------------------------------------


def resolved(old: Stub) -> tuple[Stub, Stub]:
    """A recovery from behind what witnesses saw: members chose it, and abandoned the rest."""
    behind = deepcopy(old)
    old.world.release()
    old.follow()
    new = on_another_machine(behind)
    fork = ResolveFork(survivor=new.head(len(new.log)), abandoned=old.head(len(old.log)))
    proposal = new.world.propose(actions=(fork,))
    for member in MEMBERS:
        new.world.vote(member, proposal)
    new.world.enact(proposal)
    new.follow()
    return old, new


def test_a_fork_that_a_recovery_made_is_followed_by_the_vote(
    witness: Witness, old: Stub, shown: Shown
) -> None:
    """Name and key change at once; the old machine finds no witness under the old name."""
    seen = len(old.log)
    abandoned, new = resolved(old)
    witness.add_checkpoint(abandoned.request(seen))
    shown.stub = new
    witness.add_checkpoint(new.request(0, generation=1))
    assert (len(new.log), key_of(NEW)) == kept(witness, new, 1)
    [former] = witness.store.former_keys(log_origin(new.world.board, 1))
    assert former.key == key_of("service")
    abandoned.world.release()
    abandoned.follow()
    with pytest.raises(NotContinuedError):
        witness.add_checkpoint(abandoned.request(len(abandoned.log) - 1))
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(new.request(0))


def test_a_stranger_does_not_rename_a_log(witness: Witness, old: Stub, shown: Shown) -> None:
    """A key that no entry names signs under the next name."""
    seen = len(old.log)
    abandoned, new = resolved(old)
    witness.add_checkpoint(abandoned.request(seen))
    shown.stub, new.signer = new, Person.of("thief")
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(new.request(0, generation=1))
    assert [log.retired for log in witness.store.logs()] == [False]


def test_a_retired_log_gets_no_other_key(witness: Witness, old: Stub, shown: Shown) -> None:
    """Nobody brings back what members abandoned, not by mistake either."""
    seen = len(old.log)
    abandoned, new = resolved(old)
    witness.add_checkpoint(abandoned.request(seen))
    shown.stub = new
    witness.add_checkpoint(new.request(0, generation=1))
    origin = old.watched.origin
    with pytest.raises(LogRetiredError):
        witness.store.rekey(origin, origin, key_of("service"))
    moved = replace(old.watched, service="https://new.example")
    assert witness.store.add(moved).retired
    services = {log.service for log in witness.store.logs()}
    assert services == {"https://new.example"}
    with pytest.raises(LogNotWitnessedError):
        witness.store.rekey("log.example/else", "x", key_of("service"))


# --- what is added by hand ------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WitnessStore]:
    found = WitnessStore(tmp_path)
    yield found
    found.close()


def test_a_later_name_added_by_hand_is_the_same_boards(store: WitnessStore, old: Stub) -> None:
    """With any key: the earlier name is retired, and a replaying witness replays it."""
    store.add(old.watched)
    origin = log_origin(old.world.board, 1)
    added = store.add(WatchedLog(origin, origin, key_of(NEW)))
    assert (added.board, added.service) == (old.world.board, old.watched.service)
    assert [log.retired for log in store.logs()] == [True, False]
    assert added == store.add(WatchedLog(origin, origin, key_of(NEW)))


def test_a_name_that_only_looks_later_retires_nothing(store: WitnessStore) -> None:
    """Somebody else's log may be called so."""
    store.add(SomeLog().watched)
    store.add(replace(SomeLog(f"{SomeLog().origin}/g1").watched, key=signer_of("x").verify_key))
    assert [log.retired for log in store.logs()] == [False, False]


@pytest.mark.parametrize(
    "change", [{"board": digest("another")}, {"name": "else"}, {"key": signer_of("x").verify_key}]
)
def test_a_known_log_is_not_taken_for_another(store: WitnessStore, change: dict[str, Any]) -> None:
    """Nothing of it is changed then."""
    before = store.add(SomeLog().watched)
    with pytest.raises(LogConflictError):
        store.add(replace(before, service="https://x.example", **change))
    assert [before] == store.logs()
    assert (before.size, before.root) == (0, EMPTY_ROOT)
