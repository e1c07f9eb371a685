# SPDX-License-Identifier: Apache-2.0
"""A dishonest member, operator or trust service against the board.

Every attack is refused with its reason, and leaves the state as it was.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.board import (
    MEMBERS,
    NOW,
    Person,
    World,
    digest,
    genesis_json,
    member_json,
    policy_json,
    replay,
    service_json,
    sign_genesis,
    terms,
)

from accord.board import Choice, ProposalStatus
from accord.encoding import Digest, EnvelopeSignature
from accord.errors import (
    AccordError,
    ApprovalsMissingError,
    DuplicateStatementError,
    GenesisError,
    LogKeyError,
    MalformedError,
    NotAMemberError,
    ProposalClosedError,
    SignatureInvalidError,
    StaleStatementError,
    UnsupportedFormatError,
    WrongBoardError,
)
from accord.ledger import Entry
from accord.release import Machine


@pytest.fixture
def world() -> World:
    return World.ready()


@pytest.fixture
def proposal(world: World) -> Digest:
    return world.propose()


def approvals(world: World, proposal: Digest) -> frozenset[str]:
    return world.machine.board.proposals[proposal].approvals


# --- votes -----------------------------------------------------------------------------------


def test_proposer_is_not_counted_as_a_voter(world: World, proposal: Digest) -> None:
    """Proposing is not voting (as CCF once had it): the author must approve like the others."""
    for member in ("ann", "clinic"):
        world.vote(member, proposal)

    assert approvals(world, proposal) == {"ann", "clinic"}
    with world.refuses(ApprovalsMissingError, "approval of lab"):
        world.enact(proposal)


@pytest.mark.parametrize("absent", ["ann", "lab", "clinic"])
def test_enactment_with_one_vote_missing_is_refused(absent: str) -> None:
    """Also by the trust service itself: an auditor's replay refuses the entry."""
    world = World.ready()
    proposal = world.propose()
    for member in MEMBERS:
        if member != absent:
            world.vote(member, proposal)

    with world.refuses(ApprovalsMissingError, f"approval of {absent}"):
        world.enact(proposal)


def test_replayed_ballot_is_counted_once(world: World, proposal: Digest) -> None:
    """The same bytes again say nothing new."""
    world.vote("ann", proposal)
    ballot = world.log[-1].envelope

    with world.refuses(DuplicateStatementError, "ballot was already recorded as entry"):
        world.record(ballot)


def test_old_approval_cannot_undo_a_reject(world: World) -> None:
    """Replayed after its member thought better of it, in any wrapping."""
    world = World.ready(
        constitution={"policy.enact": {"at_least": {"n": 2, "of": "role:data-owner"}}}
    )
    proposal = world.propose(policy_json())
    world.vote("bob", proposal, Choice.APPROVE, sequence=1)
    old = world.log[-1].envelope
    world.vote("bob", proposal, Choice.APPROVE, sequence=3)

    with world.refuses(DuplicateStatementError):
        world.record(old)
    with world.refuses(StaleStatementError, "ballot was written against 2, but above 3"):
        world.vote("bob", proposal, Choice.REJECT, sequence=2)
    with world.refuses(StaleStatementError, "ballot was written against 3, but above 3"):
        world.vote("bob", proposal, Choice.REJECT, sequence=3)


def test_ballot_signed_with_the_key_of_another_member_is_refused(
    world: World, proposal: Digest
) -> None:
    """Bob is a member; that lets him speak for bob alone."""
    with world.refuses(NotAMemberError, "signed with another key"):
        world.vote("ann", proposal, by="bob")


def test_ballot_with_a_second_signer_is_refused(world: World, proposal: Digest) -> None:
    """A vote is one member's: a second signature has no meaning, so it has no place."""
    body = {
        "schema": "accord.ballot.v1",
        "board": world.board,
        "proposal": proposal,
        "member": "ann",
        "choice": "approve",
        "sequence": 1,
    }
    with world.refuses(NotAMemberError, "signed with another key"):
        world.say("ballot", body, "ann", "bob")


def test_ballot_of_a_stranger_is_refused(world: World, proposal: Digest) -> None:
    """Under his own name, or under a member's."""
    with world.refuses(SignatureInvalidError):
        world.vote("mallory", proposal)
    with world.refuses(SignatureInvalidError):
        world.vote("ann", proposal, by="mallory")
    with world.refuses(NotAMemberError, "not a member"):
        world.vote("mallory", proposal, by="ann")


def test_ballot_for_another_board_is_refused(world: World, proposal: Digest) -> None:
    """The same members found two boards: a vote on one is worth nothing on the other."""
    other = World.ready(name="other")
    twin = other.propose()

    assert twin != proposal
    with world.refuses(WrongBoardError, other.board):
        world.vote("ann", proposal, board=other.board)
    other.vote("ann", twin)
    with world.refuses(WrongBoardError):
        world.record(other.log[-1].envelope)


def test_ballot_does_not_move_to_another_proposal(world: World, proposal: Digest) -> None:
    """A vote names the digest of what it approves."""
    other = world.propose(policy_json(purpose="sales"))
    world.vote("ann", proposal)

    assert approvals(world, other) == frozenset()


def test_approval_is_of_exact_bytes(world: World, proposal: Digest) -> None:
    """Another title, another expiry, another tag: another proposal, with no votes."""
    for member in MEMBERS:
        world.vote(member, proposal)
    evil = world.propose(title="train a model ")

    with world.refuses(ApprovalsMissingError):
        world.enact(evil)


def test_member_cannot_vote_by_many_ballots(world: World) -> None:
    """One dishonest member alone never reaches a number."""
    world = World.ready(
        constitution={"policy.enact": {"at_least": {"n": 2, "of": "role:data-owner"}}}
    )
    proposal = world.propose()
    for sequence in range(1, 6):
        world.vote("bob", proposal, sequence=sequence)

    assert approvals(world, proposal) == {"bob"}
    with world.refuses(ApprovalsMissingError, "ann"):
        world.enact(proposal)


def test_nobody_votes_on_what_is_decided(world: World, proposal: Digest) -> None:
    """Enacted, rejected, expired: closed."""
    for member in MEMBERS:
        world.vote(member, proposal)
    world.enact(proposal)
    with world.refuses(ProposalClosedError, "enacted"):
        world.vote("ann", proposal, Choice.REJECT, sequence=2)
    with world.refuses(DuplicateStatementError):
        world.enact(proposal)
    rejected = world.propose(policy_json(name="second"))
    world.vote("clinic", rejected, Choice.REJECT)
    with world.refuses(ProposalClosedError, "rejected"):
        world.enact(rejected)


def test_votes_collected_in_time_do_not_enact_too_late(world: World) -> None:
    """The operator cannot keep a decision in a drawer."""
    proposal = world.propose(expires=NOW + timedelta(minutes=1))
    for member in MEMBERS:
        world.vote(member, proposal)
    world.time = NOW + timedelta(minutes=1)

    with world.refuses(ProposalClosedError, "expired"):
        world.enact(proposal)
    assert (
        world.machine.board.status(world.machine.board.proposals[proposal], world.time)
        is ProposalStatus.EXPIRED
    )


# --- enactment -------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["ann", "lab", "mallory"])
def test_enactment_by_anybody_but_the_service_is_refused(
    world: World, proposal: Digest, who: str
) -> None:
    """Members vote; they do not count."""
    for member in MEMBERS:
        world.vote(member, proposal)

    with world.refuses(SignatureInvalidError):
        world.enact(proposal, by=who)


def test_enactment_before_any_service_started_is_refused() -> None:
    """Without a log key nobody can sign one."""
    world = World.founded()

    with world.refuses(LogKeyError, "entry 1"):
        world.enact(digest("anything"))


def test_enactment_for_another_board_is_refused(world: World, proposal: Digest) -> None:
    """One service may host two boards with one key; the entry names its board."""
    other = World.ready(name="other")
    twin = other.propose()
    for member in MEMBERS:
        world.vote(member, proposal)
        other.vote(member, twin)
    other.enact(twin)

    with world.refuses(WrongBoardError):
        world.record(other.log[-1].envelope)


# --- proposals -------------------------------------------------------------------------------


def test_proposal_in_the_name_of_another_is_refused(world: World) -> None:
    """The author signs."""
    with world.refuses(NotAMemberError, "signed with another key"):
        world.propose(by="bob")


def test_second_policy_against_the_same_version_is_refused(world: World) -> None:
    """The loser of a race must look again."""
    world.enact_policy()
    current = world.machine.board.policy("train")
    assert current is not None
    quick = world.propose(policy_json(predecessor=current.digest, purpose="quick"))
    slow = world.propose(policy_json(predecessor=current.digest, purpose="slow"))
    for member in MEMBERS:
        world.vote(member, quick)
        world.vote(member, slow)
    world.enact(quick)

    with world.refuses(ProposalClosedError, "stale"):
        world.enact(slow)


def test_old_version_cannot_be_enacted_again(world: World) -> None:
    """Neither by its old proposal, nor by proposing it anew as a first version."""
    old = world.enact_policy()
    current = world.machine.board.policy("train")
    assert current is not None
    world.enact_policy(policy_json(predecessor=current.digest, purpose="newer"))

    with world.refuses(ProposalClosedError, "enacted"):
        world.vote("ann", old, sequence=9)
    with world.refuses(StaleStatementError):
        world.propose(title="again")


def test_owner_who_loses_an_input_is_asked(world: World) -> None:
    """Dropping somebody's asset from a policy needs that owner's vote as well."""
    world.enact_policy()
    current = world.machine.board.policy("train")
    assert current is not None
    inputs = service_json()["inputs"][1:]
    document = policy_json(
        predecessor=current.digest, services={"train": service_json(inputs=inputs)}
    )
    proposal = world.propose(document)

    assert world.machine.board.proposals[proposal].affected_owners == {"ann", "lab"}


def test_policy_hidden_in_a_proposal_is_read_strictly(world: World) -> None:
    """A field that one reader skips and another obeys has no place in what is voted on."""
    body = world.proposal_of().to_json()
    body["actions"][0]["policy"]["services"]["train"]["debug"] = True

    with world.refuses(MalformedError, r"policy\.services\.train is malformed: unknown field"):
        world.say("proposal", body, "lab")


# --- assets ----------------------------------------------------------------------------------


def test_offer_of_an_asset_of_somebody_else_is_refused(world: World) -> None:
    """Bob cannot loosen ann's terms, or exchange her data."""
    with world.refuses(NotAMemberError, "ann may not say this"):
        world.offer("ann/records", by="bob", terms=terms(max_uses=1000))
    with world.refuses(NotAMemberError, "ann may not say this"):
        world.offer("ann/records", by="bob", tag=digest("bob's poison"))


def test_name_of_another_owner_cannot_be_squatted(world: World) -> None:
    """A name below ann's belongs to ann, also before she uses it."""
    with world.refuses(NotAMemberError, "signed with another key"):
        world.offer("ann/future", by="bob")
    with world.refuses(NotAMemberError, "not a member"):
        world.offer("mallory/data", by="bob")
    with world.refuses(MalformedError, "OWNER/NAME"):
        world.offer("ann", by="bob")
    with world.refuses(MalformedError, "OWNER/NAME"):
        world.offer("bob/../ann/x", by="bob")


def test_withdrawal_by_another_member_is_refused(world: World) -> None:
    """Only the owner can take an asset back."""
    with world.refuses(NotAMemberError):
        world.withdraw("ann/records", by="bob")


def test_withdrawn_offer_cannot_be_replayed(world: World) -> None:
    """The operator has kept the old offer; it does not bring the asset back."""
    offer = next(e.envelope for e in world.log if b'"ann/records"' in e.envelope.payload)
    world.withdraw("ann/records")

    with world.refuses(DuplicateStatementError):
        world.record(offer)
    assert world.machine.board.assets["ann/records"].withdrawn


def test_offer_made_for_another_board_is_refused(world: World) -> None:
    """Consent is given to one board."""
    other = World.ready(name="other")
    other.offer("ann/second")

    with world.refuses(WrongBoardError):
        world.record(other.log[-1].envelope)


# --- the log ---------------------------------------------------------------------------------


def test_genesis_cannot_be_replaced(world: World) -> None:
    """Later, somewhere else, or by another one."""
    second = sign_genesis(genesis_json(name="second"))

    with world.refuses(UnsupportedFormatError, "genesis"):
        world.record(second)
    with world.refuses(DuplicateStatementError, "entry 0"):
        world.record(world.log[0].envelope)
    with pytest.raises(GenesisError, match="entry 1 of the log"):
        Machine.found(Entry(1, NOW, second))


def test_one_holder_of_two_keys_is_at_least_two_names() -> None:
    """A founder can make up a second person, but the others see and sign the list."""
    sock = member_json("sock", "data-owner")
    document = genesis_json(members=[*genesis_json()["members"], sock])

    with pytest.raises(GenesisError, match="not signed by sock"):
        Machine.found(Entry(0, NOW, sign_genesis(document, *MEMBERS)))


def test_service_with_another_key_cannot_take_over(world: World) -> None:
    """After the first start the log key is fixed: a clone with a fresh key is refused."""
    clone = Person.of("clone")
    world.service = clone

    with world.refuses(SignatureInvalidError, "service-start"):
        world.start(nonce="second")


def test_service_cannot_hand_over_its_log_key(world: World) -> None:
    """A start signed by the old key that names a new one is refused."""
    with world.refuses(LogKeyError):
        world.start(keyset=Person.of("clone").keyset(), nonce="second")


def test_restarted_service_keeps_its_board(world: World) -> None:
    """A second start with the same key is in order; the latest keys are the ones in use."""
    world.start(keyset=world.service.keyset(bytes(32)), nonce="second")

    assert world.machine.keyset == world.service.keyset(bytes(32))
    assert [index for _, index in world.machine.started] == [1, 5]


def test_start_recorded_for_another_board_is_refused() -> None:
    """The first start already."""
    other = World.ready(name="other")
    world = World.founded()

    with world.refuses(WrongBoardError):
        world.record(other.log[1].envelope)


def test_statement_of_unknown_kind_is_refused(world: World) -> None:
    """Signed or not: what the machine does not know, it does not record."""
    with world.refuses(UnsupportedFormatError):
        world.say("board-dissolution", {}, "ann")
    with world.refuses(UnsupportedFormatError):
        world.say("request", {}, "ann")
    with world.refuses(UnsupportedFormatError):
        world.record(replace(world.sign("ballot", {}, "ann"), payload_type="text/plain"))


def test_reordered_log_is_not_replayed(world: World) -> None:
    """Whoever moves, drops or repeats an entry is found out by the entries that follow."""
    world.enact_policy()
    log = world.log
    kinds = [entry.envelope.payload_type for entry in log]
    enactment = next(n for n, kind in enumerate(kinds) if "enactment" in kind)
    for bad in (
        [*log[:-2], log[-1], log[-2]],
        [*log[: enactment - 1], *log[enactment:]],
        [log[0], *log[2:]],
        [*log, log[-1]],
    ):
        with pytest.raises(AccordError):
            replay(bad)
    assert replay(log) == world.machine


def test_every_flipped_byte_of_a_ballot_is_refused(world: World, proposal: Digest) -> None:
    """Payload, signature or label: nothing changed is recorded."""
    world.vote("ann", proposal)
    ballot = world.log.pop().envelope
    fresh = replay(world.log)
    for at in range(len(ballot.payload)):
        payload = bytearray(ballot.payload)
        payload[at] ^= 1
        with pytest.raises(AccordError):
            fresh.apply(Entry(6, NOW, replace(ballot, payload=bytes(payload))))
    for at in range(64):
        raw = bytearray(ballot.signatures[0].signature)
        raw[at] ^= 0x80
        item = EnvelopeSignature(ballot.signatures[0].key_id, bytes(raw))
        with pytest.raises(AccordError):
            fresh.apply(Entry(6, NOW, replace(ballot, signatures=(item,))))
    assert fresh == replay(world.log)


def test_second_spelling_of_a_proposal_is_another_proposal(world: World) -> None:
    """A default left out means the same policy, but votes on one are not votes on the other."""
    body = world.proposal_of().to_json()
    del body["actions"][0]["policy"]["services"]["train"]["network"]
    short = world.say("proposal", body, "lab").digest
    full = world.propose()
    for member in MEMBERS:
        world.vote(member, short)
    known = world.machine.board.proposals

    assert short != full
    assert known[short].proposal.policies[0].digest == known[full].proposal.policies[0].digest
    with world.refuses(ApprovalsMissingError):
        world.enact(full)
