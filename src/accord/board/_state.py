# SPDX-License-Identifier: Apache-2.0
"""The board as a deterministic state machine over signed statements.

`BoardState.apply` has no clock, network or randomness: time comes with the entry. It checks
everything first and changes the state last, so a refused statement leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from accord.board._asset import AssetOffer, AssetWithdrawal
from accord.board._constitution import Action, Electorate
from accord.board._genesis import Genesis
from accord.board._proposal import Ballot, Choice, Enactment, Proposal
from accord.encoding import Digest
from accord.errors import (
    ApprovalsMissingError,
    DuplicateStatementError,
    NotAMemberError,
    ProposalClosedError,
    StaleStatementError,
    UnknownAssetError,
    UnknownProposalError,
    UnsupportedFormatError,
    WrongBoardError,
)
from accord.identity import Statement
from accord.policy import Policy


class ProposalStatus(StrEnum):
    """Where a proposal stands. Expiry is judged at the time of asking."""

    OPEN = "open"
    ENACTED = "enacted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STALE = "stale"


@dataclass(slots=True)
class ProposalRecord:
    """A proposal with the votes cast on it so far."""

    id: Digest
    proposal: Proposal
    affected_owners: frozenset[str]
    ballots: dict[str, Ballot] = field(default_factory=dict)
    status: ProposalStatus = ProposalStatus.OPEN

    @property
    def approvals(self) -> frozenset[str]:
        return frozenset(m for m, b in self.ballots.items() if b.choice is Choice.APPROVE)

    @property
    def enacted(self) -> bool:
        return self.status is ProposalStatus.ENACTED

    @property
    def rejections(self) -> frozenset[str]:
        return frozenset(self.ballots) - self.approvals


@dataclass(slots=True)
class AssetRecord:
    """An asset's latest offer; ``withdrawn`` by a later statement of its owner."""

    offer: AssetOffer
    offered_by: Digest
    """Digest of the statement that made the offer: uses are counted per offer."""

    latest: Digest
    """Digest of the owner's latest statement about the asset."""

    withdrawn: bool = False


@dataclass(slots=True)
class BoardState:
    """Members, assets, proposals and enacted policies of one board."""

    genesis: Genesis
    board: Digest
    assets: dict[str, AssetRecord] = field(default_factory=dict)
    proposals: dict[Digest, ProposalRecord] = field(default_factory=dict)
    policies: dict[str, list[Policy]] = field(default_factory=dict)
    """Every enacted version of each policy, oldest first; nothing is deleted."""

    recorded: dict[Digest, int] = field(default_factory=dict)
    """Entry index of every statement, so that a replay is seen."""

    @classmethod
    def found(cls, genesis: Genesis) -> BoardState:
        return cls(genesis, genesis.digest)

    def policy(self, name: str) -> Policy | None:
        """The enacted version of a policy."""
        versions = self.policies.get(name)
        return versions[-1] if versions else None

    def electorate(self, record: ProposalRecord) -> Electorate:
        return Electorate(self.genesis.roles, record.affected_owners)

    def missing(self, record: ProposalRecord) -> tuple[str, ...]:
        """The approvals that a proposal still needs; empty if it has them all."""
        rule = self.genesis.constitution.rules[Action.POLICY_ENACT]
        return rule.missing(record.approvals, self.electorate(record))

    def status(self, record: ProposalRecord, now: datetime) -> ProposalStatus:
        if record.status is not ProposalStatus.OPEN:
            return record.status
        current = self.policy(record.proposal.policy.name)
        if record.proposal.policy.predecessor != (current.digest if current else None):
            return ProposalStatus.STALE
        return ProposalStatus.EXPIRED if now >= record.proposal.expires else ProposalStatus.OPEN

    def handles(self, kind: str) -> bool:
        return kind in _HANDLERS

    def apply(self, statement: Statement, *, index: int, time: datetime) -> None:
        """Takes a verified statement into the state, or raises and changes nothing.

        Members sign for themselves; that an enactment was signed by the trust service is
        checked by the caller, who knows its key. Raises BRD errors.
        """
        if statement.digest in self.recorded:
            raise DuplicateStatementError(
                what=statement.kind, index=self.recorded[statement.digest]
            )
        handler = _HANDLERS.get(statement.kind)
        if handler is None:
            raise UnsupportedFormatError(
                what="statement", found=statement.kind, expected="a board statement"
            )
        handler(self, statement, time)
        self.recorded[statement.digest] = index

    def _must_be_here(self, board: Digest) -> None:
        if board != self.board:
            raise WrongBoardError(found=board, expected=self.board)

    def _must_be_signed_by(self, name: str, statement: Statement) -> None:
        member = self.genesis.members.get(name)
        if member is None:
            raise NotAMemberError(who=name, board=self.genesis.name, detail="not a member")
        if statement.signers != {member.identity.verify_key.key_id}:
            raise NotAMemberError(
                who=name, board=self.genesis.name, detail="signed with another key"
            )

    def _offer(self, statement: Statement, _time: datetime) -> None:
        offer = AssetOffer.from_fields(statement.fields())
        self._must_be_here(offer.board)
        self._must_be_signed_by(offer.owner, statement)
        self._must_follow(offer.name, offer.predecessor)
        self.assets[offer.name] = AssetRecord(offer, statement.digest, statement.digest)

    def _withdraw(self, statement: Statement, _time: datetime) -> None:
        withdrawal = AssetWithdrawal.from_fields(statement.fields())
        self._must_be_here(withdrawal.board)
        self._must_be_signed_by(withdrawal.owner, statement)
        if withdrawal.name not in self.assets:
            raise UnknownAssetError(asset=withdrawal.name)
        self._must_follow(withdrawal.name, withdrawal.predecessor)
        record = self.assets[withdrawal.name]
        record.withdrawn, record.latest = True, statement.digest

    def _must_follow(self, asset: str, predecessor: Digest | None) -> None:
        record = self.assets.get(asset)
        latest = record.latest if record else None
        if predecessor != latest:
            raise StaleStatementError(what=asset, found=predecessor, expected=latest)

    def _propose(self, statement: Statement, time: datetime) -> None:
        proposal = Proposal.from_fields(statement.fields())
        self._must_be_here(proposal.board)
        self._must_be_signed_by(proposal.author, statement)
        policy, current = proposal.policy, self.policy(proposal.policy.name)
        head = current.digest if current else None
        if policy.predecessor != head:
            raise StaleStatementError(
                what=f"policy {policy.name}", found=policy.predecessor, expected=head
            )
        for asset in sorted(policy.assets):
            if asset not in self.assets:
                raise UnknownAssetError(asset=asset)
        for reader in sorted(policy.readers - self.genesis.members.keys()):
            raise NotAMemberError(who=reader, board=self.genesis.name, detail="cannot read outputs")
        if time >= proposal.expires:
            raise ProposalClosedError(proposal=statement.digest, status=ProposalStatus.EXPIRED)
        owners = {asset.partition("/")[0] for asset in policy.assets}
        if current is not None:  # Whoever loses something is affected as well.
            owners |= {asset.partition("/")[0] for asset in current.assets}
        self.proposals[statement.digest] = ProposalRecord(
            statement.digest, proposal, frozenset(owners)
        )

    def _record(self, proposal: Digest) -> ProposalRecord:
        record = self.proposals.get(proposal)
        if record is None:
            raise UnknownProposalError(proposal=proposal)
        return record

    def _vote(self, statement: Statement, time: datetime) -> None:
        ballot = Ballot.from_fields(statement.fields())
        self._must_be_here(ballot.board)
        self._must_be_signed_by(ballot.member, statement)
        record = self._record(ballot.proposal)
        status = self.status(record, time)
        if status is not ProposalStatus.OPEN:
            raise ProposalClosedError(proposal=record.id, status=status)
        earlier = record.ballots.get(ballot.member)
        if earlier is not None and ballot.sequence <= earlier.sequence:
            raise StaleStatementError(
                what="ballot", found=ballot.sequence, expected=f"above {earlier.sequence}"
            )
        record.ballots[ballot.member] = ballot
        possible = frozenset(self.genesis.members) - record.rejections
        rule = self.genesis.constitution.rules[Action.POLICY_ENACT]
        if not rule.satisfied(possible, self.electorate(record)):
            record.status = ProposalStatus.REJECTED

    def _enact(self, statement: Statement, time: datetime) -> None:
        enactment = Enactment.from_fields(statement.fields())
        self._must_be_here(enactment.board)
        record = self._record(enactment.proposal)
        status = self.status(record, time)
        if status is not ProposalStatus.OPEN:
            raise ProposalClosedError(proposal=record.id, status=status)
        missing = self.missing(record)
        if missing:
            raise ApprovalsMissingError(proposal=record.id, missing=", ".join(missing))
        record.status = ProposalStatus.ENACTED
        self.policies.setdefault(record.proposal.policy.name, []).append(record.proposal.policy)


_HANDLERS: dict[str, Callable[[BoardState, Statement, datetime], None]] = {
    "asset": BoardState._offer,  # noqa: SLF001 - the table belongs to the class
    "asset-withdrawal": BoardState._withdraw,  # noqa: SLF001
    "proposal": BoardState._propose,  # noqa: SLF001
    "ballot": BoardState._vote,  # noqa: SLF001
    "enactment": BoardState._enact,  # noqa: SLF001
}
