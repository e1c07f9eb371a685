# SPDX-License-Identifier: Apache-2.0
"""Snapshots: the whole state as one document, and the same state built from it."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.board import (
    LATER,
    Person,
    World,
    digest,
    member_json,
    policy_json,
    replay,
    seed,
    service_json,
    terms,
)

from accord.board import (
    AddMember,
    AssetRecord,
    BoardState,
    Choice,
    ExecutionStop,
    ForkHead,
    InstanceToken,
    Member,
    ProposalRecord,
    ProposalStatus,
    ResolveFork,
    ResumeExecution,
    StopRecord,
    TagRecord,
    Witness,
    WitnessPolicy,
)
from accord.encoding import Fields, canonical_json, parse_json
from accord.errors import AccordError, MalformedError, UnsupportedFormatError
from accord.identity import Keyset, SealKey
from accord.release import (
    AssetUse,
    Handover,
    Machine,
    Renewal,
    Reserved,
    RootShare,
    RootShares,
    RunOutcome,
    RunRecord,
    SecretUse,
    UseReservation,
    machine_to_json,
    read_machine,
    state_digest,
)

RULES: Any = {
    "policy.enact": {
        "approve": {"any": [{"all": ["affected_owners", "role:result-user"]}, "member:lab"]},
        "veto": ["role:data-owner"],
        "notice_s": 60,
        "voting_s": 40 * 24 * 3600,
    },
    "member.add": {"weighted": {"min": 2, "of": "role:data-owner"}},
}


def founded() -> World:
    world = World.founded(constitution=RULES)
    world.start()
    for name in ("ann/records", "bob/records", "lab/code"):
        world.offer(name, terms=terms(max_uses=1000))
    return world


def enact(world: World, *, title: str = "x", **changes: Any) -> None:
    proposal = world.propose(title=title, **changes)
    for member in ("ann", "bob", "lab", "clinic"):
        world.vote(member, proposal)
    world.time += timedelta(seconds=60)
    world.enact(proposal)


def enact_policy(world: World) -> None:
    head = world.machine.board.policy("train")
    changes = {"predecessor": head.digest} if head is not None else {}
    service = service_json(lease_s=60, environment={"X": "{{ accord.secret }}"})
    document = policy_json(
        secrets={"secret": {"kind": "ascii"}}, services={"train": service}, **changes
    )
    enact(world, title=f"version {len(world.log)}", document=document)


def release(world: World) -> Any:
    if world.machine.board.policy("train") is None:
        enact_policy(world)
    policy = world.machine.board.policies["train"][-1]
    until = world.time + timedelta(seconds=60)
    used = (SecretUse("secret", "policy:train", policy.digest),)
    return world.release(secrets=used, lease_until=until)


def renew(world: World) -> None:
    run = release(world)
    renewal = Renewal(
        world.board,
        run.run,
        seed(f"renewal {run.run}"),
        digest("e"),
        run.assurance,
        run.lease_until,
    )
    world.say("renewal", renewal.to_json(), world.service.signer)


def fail(world: World) -> None:
    world.finish(release(world), outputs=(), outcome=RunOutcome.FAILED)


def add_member(world: World) -> None:
    name = f"new{len(world.log)}"
    member = Member.from_fields(Fields(member_json(name, "reader"), "member"))
    enact(world, actions=(AddMember(member),))


def stop(world: World, scope: str = "asset:bob/records") -> Any:
    statement = ExecutionStop(world.board, "ann", scope, f"why {len(world.log)}", world.time)
    return world.say("execution-stop", statement.to_json(), "ann").digest


def resume(world: World) -> None:
    enact(world, actions=(ResumeExecution(stop(world, "board")),))


def issue_token(world: World) -> None:
    if world.machine.board.policy("train") is None:
        enact_policy(world)
    label = hashlib.sha256(str(len(world.log)).encode()).digest()
    token = InstanceToken(world.board, "lab", "train", "train", label, LATER)
    world.say("instance-token", token.to_json(), "lab")


def leave_open(world: World) -> None:
    name = f"p{len(world.log)}"
    proposal = world.propose(policy_json(name=name))
    world.vote("ann", proposal)
    world.vote("ann", proposal, Choice.ABSTAIN, sequence=2)


def veto(world: World) -> None:
    proposal = world.propose(policy_json(name=f"p{len(world.log)}"))
    world.vote("bob", proposal, Choice.REJECT)


def withdraw(world: World) -> None:
    world.withdraw("bob/records")


def rotate_offer(world: World) -> None:
    world.offer("ann/records", terms=terms(max_uses=10_000 + len(world.log)))


STEPS: tuple[Callable[[World], Any], ...] = (
    enact_policy,
    release,
    renew,
    fail,
    lambda world: world.finish(release(world)),
    add_member,
    stop,
    resume,
    issue_token,
    leave_open,
    veto,
    withdraw,
    rotate_offer,
)


def through_bytes(machine: Machine) -> Machine:
    data = canonical_json(machine_to_json(machine))
    return read_machine(parse_json(data, what="snapshot", limit=1 << 30))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=6), st.lists(st.sampled_from(STEPS), max_size=2))
def test_snapshot_is_the_state(
    before: list[Callable[[World], Any]], after: list[Callable[[World], Any]]
) -> None:
    """Whatever happened, and whatever happens next: read back, it is the same state."""
    world = founded()
    for step in before:
        step(world)
    copy = through_bytes(world.machine)
    assert copy == world.machine
    assert list(copy.board.open_proposals) == list(world.machine.board.open_proposals)
    assert state_digest(copy) == state_digest(world.machine)

    at = len(world.log)
    for step in after:
        step(world)
    for entry in world.log[at:]:
        copy.apply(entry)
    assert state_digest(copy) == state_digest(world.machine) == state_digest(replay(world.log))


@pytest.fixture(scope="module")
def full() -> World:
    """A state in which nothing is empty."""
    world = founded()
    for step in STEPS:
        step(world)
    world.machine.totp_steps["policy:train/factor"] = 7
    made = UseReservation(
        world.board, "train", digest("policy"), "train", 3, LATER, seed("boot"), digest("earlier")
    )
    first = AssetUse("ann/records", world.machine.board.assets["ann/records"].offered_by, 1)
    world.machine.reservations[made.key] = Reserved(made, digest("made"), 7, (first,), 2)
    key = next(iter(world.machine.board.members.values())).identity
    share = RootShare(key.seal_key, b"sealed", digest("words"))
    world.machine.root_shares = RootShares(
        world.board, 2, 1, 2, key.verify_key, MappingProxyType({"ann": share})
    )
    world.machine.former_keys.append(key.verify_key)
    world.machine.handover = Handover(
        world.board,
        seed("question"),
        seed("boot"),
        Keyset(key.verify_key, SealKey(seed("seal"))),
        digest("evidence"),
        7,
        world.machine.board.charter.service,
        "https://next.example",
        digest("asked"),
    )
    live = TagRecord("train", "state", "vol-" + "0" * 32, "run-" + "0" * 32)
    world.machine.board.tags[live.name] = live
    witness = Witness("north-1", "north", key.verify_key, "https://north.example")
    world.machine.board.witnessed.append((3, WitnessPolicy((witness,), 1, 0)))
    fork = ResolveFork(ForkHead(5, seed("survivor")), ForkHead(4, seed("abandoned")))
    world.machine.board.resolved.append((6, fork))
    return world


def test_nothing_is_left_out(full: World) -> None:
    """A part of the state that is not in the snapshot would be lost without anybody noticing."""
    for part in (full.machine, full.machine.board):
        for item in fields(part):
            assert getattr(part, item.name), item.name
    statuses = {record.status for record in full.machine.board.proposals.values()}

    assert {ProposalStatus.OPEN, ProposalStatus.ENACTED, ProposalStatus.VETOED} <= statuses
    assert through_bytes(full.machine) == full.machine
    known: dict[type, int] = {
        Machine: 11,
        BoardState: 16,
        ProposalRecord: 8,
        AssetRecord: 7,
        StopRecord: 4,
        RunRecord: 4,
    }
    assert known == {cls: len(fields(cls)) for cls in known}


def test_votes_go_on_where_they_were(full: World) -> None:
    """Rules and who they mean survive: what is missing is missing still."""
    world, copy = full, through_bytes(full.machine)
    for id_, record in world.machine.board.open_proposals.items():
        assert record.missing() == copy.board.open_proposals[id_].missing()
        assert record.affected_owners == copy.board.open_proposals[id_].affected_owners


def test_digest_differs_where_the_state_does(full: World) -> None:
    """One more use is another state."""
    other = through_bytes(full.machine)
    offer = next(iter(other.uses))
    other.uses[offer] += 1

    assert state_digest(other) != state_digest(full.machine)


def test_state_without_its_log_is_not_written() -> None:
    """Statements are numbered without a gap, or somebody forgot some."""
    machine = deepcopy(World.ready().machine)
    machine.board.recorded[digest("later")] = 99

    with pytest.raises(RuntimeError, match="without some of its log"):
        machine_to_json(machine)


def test_foreign_document_is_no_snapshot() -> None:
    """Another format, another version, anything."""
    body: Any = machine_to_json(World.ready().machine)
    documents: Any = (None, [], {}, body | {"schema": "accord.state.v2"}, body | {"extra": 1})
    for value in documents:
        with pytest.raises((MalformedError, UnsupportedFormatError)):
            read_machine(value)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [path] * bool(path) + [p for key, item in items for p in _places(item, (*path, key))]


def test_damaged_snapshot_is_refused_or_another_state(full: World) -> None:
    """Any field taken away: one of our errors, or a state with another digest; never a crash."""
    body: Any = json.loads(canonical_json(machine_to_json(full.machine)))
    before = state_digest(full.machine)
    places = _places(body)
    for path in places[:: max(1, len(places) // 400)]:
        damaged = deepcopy(body)
        holder = damaged
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
        try:
            found = read_machine(damaged)
        except AccordError:
            continue
        else:  # Where a default was taken away, nothing is lost.
            with contextlib.suppress(RuntimeError):
                assert (state_digest(found) == before) is (found == full.machine), path


@pytest.mark.parametrize("what", ["electorates", "proposals", "policies", "open"])
def test_snapshot_that_refers_to_what_it_has_not_is_refused(full: World, what: str) -> None:
    """Cross-references are checked, so that nothing falls over later."""
    body: Any = json.loads(canonical_json(machine_to_json(full.machine)))
    if what == "policies":
        body["board"]["policies"][0]["versions"] = [digest("unknown")]
    elif what == "open":
        body["board"]["open"] = [digest("unknown")]
    else:
        body["board"][what] = []

    with pytest.raises(MalformedError, match="is missing"):
        read_machine(body)


@pytest.mark.parametrize("versions", [[], "another's"])
def test_versions_of_a_policy_are_its_own(full: World, versions: Any) -> None:
    """At least one, and none of another policy."""
    body: Any = json.loads(canonical_json(machine_to_json(full.machine)))
    listed = body["board"]["policies"]
    listed[0]["versions"] = [] if versions == [] else listed[0]["versions"]
    listed[0]["name"] = "train" if versions == [] else "other"

    with pytest.raises(MalformedError, match="they are not of"):
        read_machine(body)


def test_proposal_without_a_requirement_is_refused(full: World) -> None:
    """It would be satisfied by nobody at all."""
    body: Any = json.loads(canonical_json(machine_to_json(full.machine)))
    body["board"]["proposals"][0]["requirements"] = []

    with pytest.raises(MalformedError, match="there is none"):
        read_machine(body)


def test_snapshot_keeps_no_secret(full: World) -> None:
    """Keys of members are public, values are not in a state at all."""
    data = canonical_json(machine_to_json(full.machine))

    for person in ("ann", "service", "shield"):
        assert Person.of(person).signer.verify_key.raw != seed(f"sign {person}")
        assert seed(f"sign {person}").hex().encode() not in data
