# SPDX-License-Identifier: Apache-2.0
"""The board's state machine, on the good path and at its edges."""

from datetime import timedelta

import pytest
from tests.support.board import (
    LATER,
    MEMBERS,
    NOW,
    World,
    digest,
    policy_json,
    service_json,
    terms,
)

from accord.board import (
    AssetOffer,
    AssetWithdrawal,
    Ballot,
    BoardState,
    Choice,
    Enactment,
    Proposal,
    ProposalStatus,
    Terms,
)
from accord.encoding import Fields
from accord.errors import (
    DuplicateStatementError,
    MalformedError,
    NotAMemberError,
    ProposalClosedError,
    ProposalImpossibleError,
    StaleStatementError,
    UnknownAssetError,
    UnknownProposalError,
    UnsupportedFormatError,
)
from accord.identity import Statement, verify_statement
from accord.policy import Policy

STATEMENTS = ("offer", "withdrawal", "proposal", "ballot", "enactment")


def test_documents_round_trip() -> None:
    """Each statement is read as it was written."""
    world = World.ready()
    offer = world.offer_of("ann/records")
    first = world.offer_of("ann/more")
    withdrawal = AssetWithdrawal(world.board, "ann/records", digest("x"))
    proposal = world.proposal_of()
    ballot = Ballot(world.board, digest("p"), "ann", Choice.REJECT, 3)
    enactment = Enactment(world.board, digest("p"), {"train": {"ca": "PEM"}})

    assert offer.predecessor
    assert first.predecessor is None
    for item in (offer, first):
        assert item == AssetOffer.from_fields(Fields(item.to_json(), "x"))
    assert withdrawal == AssetWithdrawal.from_fields(Fields(withdrawal.to_json(), "x"))
    assert proposal == Proposal.from_fields(Fields(proposal.to_json(), "x"))
    assert ballot == Ballot.from_fields(Fields(ballot.to_json(), "x"))
    assert enactment == Enactment.from_fields(Fields(enactment.to_json(), "x"))
    assert terms() == Terms.from_fields(Fields(terms().to_json(), "x"))
    assert (offer.owner, withdrawal.owner) == ("ann", "ann")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("policies", ["a", "a"]),
        ("purposes", "all"),
        ("readers", [None]),
        ("min_assurance", "hardware"),
        ("network", "all"),
        ("max_uses", -1),
        ("max_uses", True),
        ("not_after", "never"),
        ("extra", 1),
    ],
)
def test_malformed_terms_are_refused(field: str, value: object) -> None:
    """An owner's conditions are never guessed."""
    with pytest.raises(MalformedError):
        Terms.from_fields(Fields({**terms().to_json(), field: value}, "terms"))


def test_policy_is_enacted_after_every_needed_vote() -> None:
    """The approvals missing are shown on the way."""
    world = World.ready()
    proposal = world.propose()
    record = world.machine.board.proposals[proposal]
    shown = [world.machine.board.missing(record)]
    for member in ("ann", "lab", "clinic"):
        world.vote(member, proposal)
        shown.append(world.machine.board.missing(record))
    world.enact(proposal)

    assert shown == [("ann", "lab", "clinic"), ("lab", "clinic"), ("clinic",), ()]
    assert record.approvals == {"ann", "lab", "clinic"}
    assert record.rejections == frozenset()
    assert record.enacted
    assert world.machine.board.policy("train") == Policy.from_json(policy_json())
    assert world.machine.board.policy("other") is None


def test_new_version_replaces_the_one_it_names() -> None:
    """Every version is kept, and owners of what it no longer uses are asked as well."""
    world = World.enacted()
    first = world.machine.board.policy("train")
    assert first is not None
    inputs = [{"asset": "bob/records", "tag": digest("bob/records"), "at": "/in/records"}]
    second = policy_json(predecessor=first.digest, services={"train": service_json(inputs=inputs)})
    proposal = world.propose(second)
    record = world.machine.board.proposals[proposal]

    assert record.affected_owners == {"ann", "bob", "lab"}
    for member in MEMBERS:
        world.vote(member, proposal)
    world.enact(proposal)
    assert [first, Policy.from_json(second)] == world.machine.board.policies["train"]


def test_expiry_is_judged_when_asked() -> None:
    """Open until the moment named, expired from it on."""
    world = World.ready()
    record = world.machine.board.proposals[world.propose(expires=NOW + timedelta(hours=1))]
    board = world.machine.board

    assert board.status(record, NOW + timedelta(seconds=3599)) is ProposalStatus.OPEN
    assert board.status(record, NOW + timedelta(hours=1)) is ProposalStatus.EXPIRED
    world.time = NOW + timedelta(hours=1)
    with world.refuses(ProposalClosedError, "expired"):
        world.vote("ann", record.id)


def test_expired_proposal_is_not_even_recorded() -> None:
    """Nor one that expires at this moment."""
    world = World.ready()
    with world.refuses(ProposalClosedError, "expired"):
        world.propose(expires=NOW)


def test_overtaken_proposal_is_stale() -> None:
    """Two against the same version: the first to be enacted wins, the other closes."""
    world = World.ready()
    slow = world.propose(title="slow")
    world.enact_policy()

    with world.refuses(ProposalClosedError, "stale"):
        world.vote("ann", slow)
    with world.refuses(ProposalClosedError, "stale"):
        world.enact(slow)


def test_explicit_reject_closes_a_proposal() -> None:
    """Once it cannot succeed any more, nobody can vote on it."""
    world = World.ready()
    proposal = world.propose()
    world.vote("ann", proposal, Choice.REJECT)
    record = world.machine.board.proposals[proposal]

    assert record.status is ProposalStatus.REJECTED
    assert record.rejections == {"ann"}
    with world.refuses(ProposalClosedError, "rejected"):
        world.vote("ann", proposal, Choice.APPROVE, sequence=2)


def test_reject_of_somebody_not_needed_closes_nothing() -> None:
    """A member whom the rule does not name cannot block."""
    world = World.ready()
    proposal = world.propose()
    world.vote("bob", proposal, Choice.REJECT)

    assert world.machine.board.proposals[proposal].status is ProposalStatus.OPEN


def test_vote_can_be_changed_while_open() -> None:
    """The higher sequence counts, also from approval back to reject."""
    world = World.ready(
        constitution={"policy.enact": {"at_least": {"n": 2, "of": "role:data-owner"}}}
    )
    proposal = world.propose()
    record = world.machine.board.proposals[proposal]
    world.vote("lab", proposal)
    world.vote("ann", proposal, sequence=5)
    world.vote("lab", proposal, Choice.REJECT, sequence=2)

    assert record.approvals == {"ann"}
    assert world.machine.board.missing(record) == ("bob",)


def test_proposal_that_affects_no_owner_cannot_ask_owners() -> None:
    """A policy without inputs satisfies no rule about owners: nobody need vote on it."""
    world = World.ready()

    with world.refuses(ProposalImpossibleError, match="there are too few of them"):
        world.propose(policy_json(services={"train": service_json(inputs=[])}))


def test_asset_can_be_offered_withdrawn_and_offered_again() -> None:
    """Each statement follows the one before it."""
    world = World.ready()
    offered = world.latest("ann/records")
    withdrawn = world.withdraw("ann/records")
    record = world.machine.board.assets["ann/records"]

    assert (record.withdrawn, record.latest, record.offered_by) == (True, withdrawn, offered)
    again = world.offer("ann/records")
    record = world.machine.board.assets["ann/records"]
    assert (record.withdrawn, record.latest, record.offered_by) == (False, again, again)


def test_unknown_things_are_named() -> None:
    """An asset, a proposal, a reader nobody knows."""
    world = World.ready()
    unknown = [{"asset": "ann/nothing", "tag": digest("x"), "at": "/in/x"}]
    reader = [{"name": "model", "at": "/out/model", "readers": ["mallory"]}]

    with world.refuses(UnknownAssetError, "ann/nothing"):
        world.propose(policy_json(services={"train": service_json(inputs=unknown)}))
    with world.refuses(NotAMemberError, "mallory may not say this"):
        world.propose(policy_json(services={"train": service_json(outputs=reader)}))
    with world.refuses(UnknownAssetError, "bob/nothing"):
        world.withdraw("bob/nothing")
    with world.refuses(UnknownProposalError):
        world.vote("ann", digest("nothing"))
    with world.refuses(UnknownProposalError):
        world.enact(digest("nothing"))


def test_stale_predecessors_are_refused() -> None:
    """Compare-and-swap, for assets and for policies."""
    world = World.enacted()

    with world.refuses(StaleStatementError, "ann/records"):
        world.offer("ann/records", predecessor=None, tag=digest("other"))
    with world.refuses(StaleStatementError, "ann/records"):
        world.offer("ann/records", predecessor=digest("x"))
    with world.refuses(StaleStatementError, "ann/new"):
        world.offer("ann/new", predecessor=digest("x"))
    with world.refuses(StaleStatementError, "ann/records"):
        world.withdraw("ann/records", predecessor=digest("x"))
    with world.refuses(StaleStatementError, "policy train"):
        world.propose(title="again")
    with world.refuses(StaleStatementError, "policy other"):
        world.propose(policy_json(name="other", predecessor=digest("x")))


def test_state_can_be_used_without_a_log() -> None:
    """`BoardState` alone refuses repetition and what is no board statement."""
    world = World.ready()
    state = BoardState.found(world.genesis)
    envelope = world.sign("asset", world.offer_of("ann/x").to_json(), "ann")
    statement = verify_statement(envelope, "asset", world.genesis.charter.keys)
    state.apply(statement, index=1, time=NOW)

    assert state.handles("asset")
    assert not state.handles("run")
    with pytest.raises(DuplicateStatementError, match="asset was already recorded as entry 1"):
        state.apply(statement, index=2, time=NOW)
    envelope = world.sign("run", {}, "ann")
    other = Statement("run", {}, frozenset(), envelope, envelope.statement_digest)
    with pytest.raises(UnsupportedFormatError, match="expected a board statement"):
        state.apply(other, index=2, time=NOW)


def test_time_matters_to_proposals_alone() -> None:
    """Terms may be long over: the board records what the owner says."""
    world = World.ready()
    world.time = LATER + timedelta(days=1)
    world.offer("ann/late", terms=terms(not_after=NOW))

    assert "ann/late" in world.machine.board.assets
