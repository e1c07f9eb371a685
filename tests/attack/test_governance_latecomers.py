# SPDX-License-Identifier: Apache-2.0
"""Between the proposal and the enactment, things change: nobody is passed over by that.

Nor does anybody use it to get more to say, to read, or to start than others agreed to.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import (
    CONSTITUTION,
    MEMBERS,
    OTHER_MRTD,
    Person,
    World,
    digest,
    member_json,
    policy_json,
    seed,
    service_json,
    terms,
    variant_json,
)

from accord.board import (
    Choice,
    Constitution,
    Enactment,
    ExecutionStop,
    InstanceToken,
    Member,
    ProposalStatus,
    RemoveMember,
    ReplaceConstitution,
    ReplaceService,
    ResumeExecution,
    UpdateMember,
    board_to_json,
    keys_digest,
    read_board,
)
from accord.encoding import Digest, Fields
from accord.errors import (
    ApprovalsMissingError,
    ConstitutionError,
    EnactmentInvalidError,
    ProposalClosedError,
    TokenError,
)
from accord.policy import AttestationVariant

TWO = {"at_least": {"n": 2, "of": "role:founder"}}


def founders() -> list[Any]:
    return [member_json(name, role, "founder") for name, role in MEMBERS.items()]


def member(name: str, *roles: str, **changes: Any) -> Member:
    return Member.from_fields(Fields(member_json(name, *roles, **changes), "member"))


def constitution(rules: dict[str, Any]) -> Constitution:
    return Constitution.from_fields(Fields(rules, "constitution"))


def status(world: World, proposal: Digest) -> ProposalStatus:
    board = world.machine.board
    return board.status(board.proposals[proposal], world.time)


def started(**rules: Any) -> World:
    """A board on which only lab has offered something."""
    written = {key.replace("_", "."): rule for key, rule in rules.items()}
    world = World.founded(constitution={**CONSTITUTION, **written}, members=founders())
    world.start()
    world.offer("lab/code")
    return world


# --- owners who come later -------------------------------------------------------------------


def test_owner_who_comes_after_the_proposal_is_asked() -> None:
    """Whoever holds the keys matters to every owner, also to those of tomorrow's entries."""
    world = started(service_replace="affected_owners")
    other = AttestationVariant.from_fields(Fields(variant_json(mrtd=OTHER_MRTD), "x"))
    proposal = world.propose(actions=(ReplaceService((other,)),))
    world.vote("lab", proposal)
    record = world.machine.board.proposals[proposal]
    assert world.machine.board.enactable(record, world.time)
    world.offer("ann/records")

    assert not world.machine.board.enactable(record, world.time)
    assert world.machine.board.missing(record) == ("ann",)
    with world.refuses(ApprovalsMissingError, "approval of ann"):
        world.enact(proposal)
    world.vote("ann", proposal)
    world.enact(proposal)
    assert record.affected_owners == {"ann", "lab"}


def test_owner_who_comes_during_the_notice_can_veto() -> None:
    """The notice begins again once they have agreed; their reject ends it."""
    rule = {"approve": "affected_owners", "veto": ["affected_owners"], "notice_s": 3600}
    world = started(constitution_replace=rule)
    coup = {"policy.enact": "member:lab", "constitution.replace": "member:lab"}
    actions = (ReplaceConstitution(constitution(coup)),)
    taken, vetoed = (world.propose(actions=actions, title=title) for title in "ab")
    for proposal in (taken, vetoed):
        world.vote("lab", proposal)
    world.offer("ann/records")
    world.vote("ann", vetoed, Choice.REJECT)
    world.time += timedelta(minutes=59)
    world.vote("ann", taken)
    world.time += timedelta(minutes=2)

    assert status(world, vetoed) is ProposalStatus.VETOED
    assert status(world, taken) is ProposalStatus.NOTICE
    with world.refuses(ProposalClosedError, "vetoed"):
        world.enact(vetoed)
    with world.refuses(ProposalClosedError, "notice"):
        world.enact(taken)


def test_reject_of_before_is_a_veto_once_its_member_may() -> None:
    """Whoever said no, and then becomes an owner, need not say it again."""
    rule = {"approve": {"any": [TWO, "affected_owners"]}, "veto": ["affected_owners"]}
    world = started(service_replace=rule)
    other = AttestationVariant.from_fields(Fields(variant_json(mrtd=OTHER_MRTD), "x"))
    proposal = world.propose(actions=(ReplaceService((other,)),))
    world.vote("ann", proposal, Choice.REJECT)
    world.vote("lab", proposal)
    assert status(world, proposal) is ProposalStatus.OPEN
    world.offer("ann/records")

    assert status(world, proposal) is ProposalStatus.VETOED
    with world.refuses(ProposalClosedError, "vetoed"):
        world.enact(proposal)


def test_reject_of_a_later_owner_makes_it_impossible() -> None:
    """Where every owner must agree and one has said no, nobody need wait."""
    world = started(service_replace="affected_owners")
    other = AttestationVariant.from_fields(Fields(variant_json(mrtd=OTHER_MRTD), "x"))
    proposal = world.propose(actions=(ReplaceService((other,)),))
    world.vote("ann", proposal, Choice.REJECT)
    world.offer("ann/records")

    assert status(world, proposal) is ProposalStatus.REJECTED
    with world.refuses(ProposalClosedError, "rejected"):
        world.vote("lab", proposal)


def test_lineage_is_of_the_version_that_the_policy_pins() -> None:
    """Something harmless under the same name does not hide whose data a model was made of."""
    world = World.ready(constitution={"policy.enact": {"all": ["lineage_owners"]}})
    tag = digest("model of ann's data")
    world.machine.board.lineage[tag] = frozenset({"ann", "lab"})
    world.offer("clinic/model", tag=digest("harmless"))
    inputs = [{"asset": "clinic/model", "tag": tag, "at": "/in/model"}]
    proposal = world.propose(policy_json(services={"train": service_json(inputs=inputs)}))
    world.vote("clinic", proposal)

    with world.refuses(ApprovalsMissingError, "approval of ann, lab"):
        world.enact(proposal)


# --- readers ---------------------------------------------------------------------------------


def test_owners_are_asked_whom_a_reader_name_means() -> None:
    """Who gets the reader's name, or its sealing key, would read what is computed from it."""
    world = World.ready(
        constitution={**CONSTITUTION, "member.update": "affected_owners"}, members=founders()
    )
    world.withdraw("bob/records")
    clinic = member("clinic", "result-user", "founder")
    seal_key = Person.of("mallory").seal_key
    taken = replace(clinic, identity=replace(clinic.identity, seal_key=seal_key))
    proposal = world.propose(actions=(UpdateMember(taken),))
    record = world.machine.board.proposals[proposal]

    assert record.affected_owners == {"ann", "lab", "clinic"}
    world.vote("clinic", proposal)
    with world.refuses(ApprovalsMissingError, "approval of ann, lab"):
        world.enact(proposal)


def test_offer_remembers_the_keys_of_its_readers() -> None:
    """Consent is for keys; a name that was nobody's then has none. Snapshots know as well."""
    world = World.ready()
    world.offer("ann/records", terms=terms(readers=("clinic", "zoe")))
    board = world.machine.board
    expected = {"clinic": keys_digest(Person.of("clinic").public)}
    other = replace(Person.of("clinic").public, seal_key=Person.of("mallory").seal_key)

    assert board.assets["ann/records"].reader_keys == expected
    assert keys_digest(other) != expected["clinic"]
    copy = read_board(Fields(board_to_json(board), "board"))
    assert copy.assets["ann/records"].reader_keys == expected


# --- members who want more to say ------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "weight"), [(("code-owner", "founder"), 1000), (("founder", "operator"), 1)]
)
def test_member_cannot_promote_itself(roles: tuple[str, ...], weight: int) -> None:
    """Agreeing to one's own new keys is not agreeing to one's own new power."""
    world = started(member_update="affected_owners", constitution_replace=TWO)
    promoted = member("lab", *roles, weight=weight)
    proposal = world.propose(actions=(UpdateMember(promoted),))
    world.vote("lab", proposal)
    sources = [item.source for item in world.machine.board.proposals[proposal].requirements]

    assert sources == ["constitution", "constitution, constitution.replace"]
    with world.refuses(ApprovalsMissingError, "1 of ann, bob, clinic"):
        world.enact(proposal)
    world.vote("ann", proposal)
    world.enact(proposal)


def test_power_needs_the_rule_for_members_where_there_is_no_other() -> None:
    """And without either, nothing but keys can be changed."""
    more = UpdateMember(member("lab", "code-owner", "founder", weight=9))
    world = started(member_update="affected_owners", member_add="member:ann")
    proposal = world.propose(actions=(more,))
    world.vote("lab", proposal)
    with world.refuses(ApprovalsMissingError, "approval of ann"):
        world.enact(proposal)
    world = started(member_update="affected_owners")
    with world.refuses(ConstitutionError, "more than keys"):
        world.propose(actions=(more,))
    keys = world.propose(
        actions=(UpdateMember(member("lab", "code-owner", "founder", key="lab-2")),)
    )
    world.vote("lab", keys)
    world.enact(keys)
    assert world.machine.board.members["lab"].identity.verify_key == (
        Person.of("lab-2").signer.verify_key
    )


# --- stops, tokens, enactments ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["left", "other key"])
def test_stop_of_somebody_who_left_is_lifted_as_policies_are_enacted(how: str) -> None:
    """Nobody can speak for them any more, least of all whoever has their name now."""
    update = UpdateMember(member("bob", "data-owner", "founder", key="puppet"))
    world = started(member_remove=TWO, member_update=TWO)
    body = ExecutionStop(world.board, "bob", "board", "ransom", world.time)
    stop = world.say("execution-stop", body.to_json(), "bob").digest
    change = world.propose(actions=(RemoveMember("bob") if how == "left" else update,))
    for name in ("ann", "lab"):
        world.vote(name, change)
    world.enact(change)
    resume = world.propose(actions=(ResumeExecution(stop),))
    if how != "left":
        world.vote("bob", resume, by="puppet")
    sources = [item.source for item in world.machine.board.proposals[resume].requirements]

    assert sources == ["constitution, policy.enact"]
    with world.refuses(ApprovalsMissingError, "clinic"):
        world.enact(resume)
    for name in ("lab", "clinic"):
        world.vote(name, resume)
    world.enact(resume)
    assert world.machine.board.live_stops() == ()


def test_used_instance_token_is_not_issued_again() -> None:
    """Neither by its member nor by another; a snapshot remembers."""
    world = World.enacted(policy_json(services={"train": service_json(singleton=True)}))
    token = InstanceToken(
        world.board, "ann", "train", "train", seed("token"), world.time + timedelta(days=1)
    )
    world.say("instance-token", token.to_json(), "ann")
    world.release(token_sha256=seed("token"))
    later = replace(token, expires=token.expires + timedelta(days=1))

    for again in (later, replace(later, member="lab")):
        with world.refuses(TokenError, "issued before"):
            world.say("instance-token", again.to_json(), again.member)
    copy = read_board(Fields(board_to_json(world.machine.board), "board"))
    assert copy.issued == {seed("token")}


@pytest.mark.parametrize(
    "public",
    [
        {"train": {"key": "PEM", "authority": "PEM", "word": "the secret"}},
        {"train": {"key": "PEM"}},
        {"train": {"authority": "PEM"}},
        {"train": {"key": "PEM", "authority": "PEM"}, "other": {}},
        {},
    ],
)
def test_enactment_shows_neither_secrets_nor_too_little(public: dict[str, Any]) -> None:
    """A trust service that does is refused by everybody who replays the log."""
    world = World.ready()
    secrets = {"key": {"kind": "key", "algorithm": "ed25519"}, "word": {"kind": "ascii"}}
    proposal = world.propose(policy_json(secrets=secrets, authority=True))
    for name in MEMBERS:
        world.vote(name, proposal)
    enactment = Enactment(world.board, proposal, public)

    with world.refuses(EnactmentInvalidError, "exactly the public parts"):
        world.say("enactment", enactment.to_json(), "service")
    world.enact(proposal)
    assert world.machine.board.public["train"].keys() == {"key", "authority"}
