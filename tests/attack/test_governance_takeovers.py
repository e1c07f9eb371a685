# SPDX-License-Identifier: Apache-2.0
"""A majority, or somebody who speaks for it, against the members it would rather not ask.

Every attack is refused with its reason, and leaves the state as it was.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import (
    MEMBERS,
    NOW,
    World,
    digest,
    member_json,
    policy_json,
    service_json,
)

from accord.board import (
    Action,
    AddMember,
    Ballot,
    Choice,
    Constitution,
    EnactPolicy,
    ExecutionStop,
    Member,
    ProposalStatus,
    RemoveMember,
    ReplaceConstitution,
    ResumeExecution,
    UpdateMember,
)
from accord.encoding import Digest, Fields
from accord.errors import (
    ApprovalsMissingError,
    ConstitutionError,
    DuplicateStatementError,
    ExecutionStoppedError,
    GenesisError,
    NamespaceError,
    NotAMemberError,
    OwnerChangedError,
    ProposalClosedError,
    SignatureInvalidError,
    StaleStatementError,
)
from accord.policy import Policy

MAJORITY = {"at_least": {"n": 3, "of": "role:founder"}}
RULES: dict[str, Any] = {action.value: MAJORITY for action in Action}
POLICY = {"all": ["affected_owners", "role:result-user"]}


@pytest.fixture
def world() -> World:
    """Three of four founders can change everything but whose data is whose."""
    members = [member_json(name, role, "founder") for name, role in MEMBERS.items()]
    return World.ready(constitution=RULES | {"policy.enact": POLICY}, members=members)


def member(name: str, *roles: str, key: str | None = None) -> Member:
    return Member.from_fields(Fields(member_json(name, *roles, key=key), "member"))


def decide(
    world: World, *actions: Any, voters: tuple[str, ...] = ("bob", "lab", "clinic")
) -> Digest:
    proposal = world.propose(actions=actions, title=f"number {len(world.log)}")
    for name in voters:
        world.vote(name, proposal)
    world.enact(proposal)
    return proposal


def test_owner_whose_name_is_taken_over_has_not_consented(world: World) -> None:
    """The others give ann's name to a key of bob: ann's data is then nobody's to release."""
    world.enact_policy()
    world.release()
    decide(world, UpdateMember(member("ann", "data-owner", "founder", key="puppet")))

    with world.refuses(OwnerChangedError, "ann/records"):
        world.release()
    current = world.machine.board.policy("train")
    assert current is not None
    proposal = world.propose(policy_json(predecessor=current.digest, purpose="sales"))
    for name in ("lab", "clinic"):
        world.vote(name, proposal)
    world.vote("ann", proposal, by="puppet")
    world.enact(proposal)
    with world.refuses(OwnerChangedError, "ann/records"):
        world.release()


def test_owner_who_is_removed_and_added_anew_has_not_consented(world: World) -> None:
    """A member of the same name, and even of the old role, inherits no offer."""
    world.enact_policy()
    decide(world, RemoveMember("ann"))
    with world.refuses(OwnerChangedError, "ann/records"):
        world.release()
    decide(world, AddMember(member("ann", "data-owner", "founder", key="puppet")))
    with world.refuses(OwnerChangedError, "ann/records"):
        world.release()


def test_ballot_of_a_removed_member_counts_for_nothing(world: World) -> None:
    """Neither one that was cast before, nor one that is cast after."""
    open_ = world.propose()
    for name in ("ann", "lab"):
        world.vote(name, open_)
    decide(world, RemoveMember("ann"))

    with world.refuses(ProposalClosedError, "stale"):
        world.vote("clinic", open_)
    with world.refuses(ProposalClosedError, "stale"):
        world.enact(open_)
    inputs = [{"asset": "lab/code", "tag": digest("lab/code"), "at": "/in/code"}]
    document = policy_json(services={"train": service_json(inputs=inputs)})
    proposal = world.propose(document, title="without ann")
    with world.refuses(SignatureInvalidError):
        world.vote("ann", proposal)
    with world.refuses(SignatureInvalidError):
        world.record(
            world.sign(
                "ballot", Ballot(world.board, proposal, "bob", Choice.APPROVE, 1).to_json(), "ann"
            )
        )


def test_ballot_of_an_old_key_counts_for_nothing(world: World) -> None:
    """A lost key is replaced; whoever found it cannot vote, and old ballots die with it."""
    proposal = world.propose()
    world.vote("clinic", proposal)
    decide(world, UpdateMember(member("clinic", "result-user", "founder", key="clinic-2")))
    again = world.propose(title="again")

    with world.refuses(SignatureInvalidError):
        world.vote("clinic", again)
    with world.refuses(ProposalClosedError, "stale"):
        world.vote("ann", proposal)


def test_members_are_not_stacked_in_one_step(world: World) -> None:
    """Sock puppets that a proposal adds do not vote on it, nor on what was open before."""
    other = world.propose(title="other")
    socks = tuple(AddMember(member(f"sock-{n}", "founder")) for n in range(3))
    rules = Constitution.from_fields(Fields(RULES | {"policy.enact": "role:founder"}, "x"))
    coup = world.propose(actions=(*socks, ReplaceConstitution(rules)), title="coup")
    world.vote("bob", coup)
    world.vote("lab", coup)

    with world.refuses(SignatureInvalidError):
        world.vote("sock-0", coup)
    with world.refuses(ApprovalsMissingError, "1 of ann, clinic"):
        world.enact(coup)
    world.vote("clinic", coup)
    world.enact(coup)
    with world.refuses(ProposalClosedError, "stale"):
        world.vote("sock-0", other)


def test_one_person_is_not_two_members(world: World) -> None:
    """The same key under a second name is refused, also by exchanging keys later."""
    with world.refuses(GenesisError, "the same key"):
        world.propose(actions=(AddMember(member("bob-2", "founder", key="bob")),))
    with world.refuses(GenesisError, "the same key"):
        world.propose(actions=(UpdateMember(member("lab", "founder", key="bob")),))


def test_constitution_cannot_be_made_a_trap(world: World) -> None:
    """A rule that nobody satisfies, or one that nobody can change, is not voted on."""
    stuck = {**RULES, "constitution.replace": "member:nobody"}
    with world.refuses(ConstitutionError, "nobody could satisfy"):
        rules = Constitution.from_fields(Fields(stuck, "x"))
        world.propose(actions=(ReplaceConstitution(rules),))
    silent = {k: v for k, v in RULES.items() if k != "constitution.replace"}
    with world.refuses(ConstitutionError, "never be changed again"):
        rules = Constitution.from_fields(Fields(silent, "x"))
        world.propose(actions=(ReplaceConstitution(rules),))


def test_policy_version_cannot_be_rolled_back_in_pieces(world: World) -> None:
    """An old version with a new predecessor is a new version, which its owners must want."""
    world.enact_policy()
    first = world.machine.board.policy("train")
    assert first is not None
    world.enact_policy(policy_json(predecessor=first.digest, purpose="newer"))
    current = world.machine.board.policy("train")
    assert current is not None

    with world.refuses(StaleStatementError, "policy train"):
        world.propose(policy_json(predecessor=first.digest, purpose="rollback"))
    again = world.propose(policy_json(predecessor=current.digest))
    with world.refuses(ApprovalsMissingError):
        world.enact(again)


def test_namespace_of_another_policy_cannot_be_squatted(world: World) -> None:
    """A name below `train` needs what `train` in force asks for; before it exists, nobody may."""
    with world.refuses(NamespaceError, "there is no policy train"):
        world.propose(policy_json(name="train/fine", namespace=digest("guess")))
    access = {"create": "member:ann"}
    world.enact_policy(policy_json(access=access))
    parent = world.machine.board.policy("train")
    assert parent is not None
    document = policy_json(name="train/fine", namespace=parent.digest)
    proposal = world.propose(document)
    for name in ("bob", "lab", "clinic"):
        world.vote(name, proposal)
    with world.refuses(ApprovalsMissingError, "approval of ann"):
        world.enact(proposal)


def test_squatted_parent_in_the_same_proposal_gives_no_rights(world: World) -> None:
    """A new version of the parent cannot loosen `create` for a child of the same proposal."""
    world.enact_policy(policy_json(access={"create": "member:ann", "update": "member:bob"}))
    parent = world.machine.board.policy("train")
    assert parent is not None
    loose = Policy.from_json(
        policy_json(predecessor=parent.digest, access={"create": "member:lab"})
    )
    child = Policy.from_json(policy_json(name="train/fine", namespace=loose.digest))
    proposal = world.propose(actions=(EnactPolicy(loose), EnactPolicy(child)))
    sources = [item.source for item in world.machine.board.proposals[proposal].requirements]

    assert sources == [
        "constitution",
        "policy train, access.update",
        "constitution",
        "policy train, access.create",
    ]
    rules = world.machine.board.proposals[proposal].requirements
    assert rules[3].rule.to_json() == "member:ann"


def test_vote_after_expiry_and_double_vote_change_nothing(world: World) -> None:
    """Late is late, and a vote that is said again in another wrapping is one vote."""
    proposal = world.propose(expires=NOW + timedelta(minutes=5))
    world.vote("ann", proposal)
    ballot = world.log[-1].envelope
    with world.refuses(DuplicateStatementError):
        world.record(ballot)
    with world.refuses(StaleStatementError, "above 1"):
        world.vote("ann", proposal, Choice.REJECT)
    world.time = NOW + timedelta(minutes=5)
    with world.refuses(ProposalClosedError, "expired"):
        world.vote("lab", proposal)
    assert world.machine.board.proposals[proposal].approvals == {"ann"}


def test_veto_cannot_be_outvoted_or_proposed_again_under_the_same_votes(world: World) -> None:
    """A vetoed proposal is over; the same wish is another proposal, without its votes."""
    rule = {"approve": MAJORITY, "veto": ["member:ann"]}
    decide(
        world,
        ReplaceConstitution(Constitution.from_fields(Fields(RULES | {"policy.enact": rule}, "x"))),
    )
    proposal = world.propose()
    for name in ("bob", "lab"):
        world.vote(name, proposal)
    world.vote("ann", proposal, Choice.REJECT)
    with world.refuses(ProposalClosedError, "vetoed"):
        world.vote("clinic", proposal)
    again = world.propose(title="once more")

    assert world.machine.board.proposals[proposal].status is ProposalStatus.VETOED
    assert world.machine.board.proposals[again].approvals == frozenset()


def test_stop_holds_until_those_who_may_resume_agree(world: World) -> None:
    """Nobody resumes alone, in another's name, or by an old vote."""
    world.enact_policy()
    world.release()
    body = ExecutionStop(world.board, "ann", "policy:train", "leak", world.time)
    stop = world.say("execution-stop", body.to_json(), "ann").digest

    with world.refuses(ExecutionStoppedError, "leak"):
        world.release()
    resume = world.propose(actions=(ResumeExecution(stop),))
    world.vote("lab", resume)
    with world.refuses(ApprovalsMissingError):
        world.enact(resume)
    with world.refuses(NotAMemberError):
        world.vote("ann", resume, by="lab")
    world.vote("bob", resume)
    world.vote("clinic", resume)
    world.enact(resume)
    world.release()
    second = replace(body, time=world.time + timedelta(seconds=1))
    world.say("execution-stop", second.to_json(), "ann")
    with world.refuses(ExecutionStoppedError):
        world.release()
