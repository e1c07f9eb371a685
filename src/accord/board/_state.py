# SPDX-License-Identifier: Apache-2.0
"""The board as a deterministic state machine over signed statements.

`BoardState.apply` has no clock, network or randomness: time comes with the entry. It checks
everything first and changes the state last, so a refused statement leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from accord.board._action import AcceptTag, EnactPolicy, ResolveFork, ResumeExecution
from accord.board._charter import Charter
from accord.board._execution import ExecutionStop, InstanceToken, StopRecord
from accord.board._genesis import Genesis
from accord.board._member import Member
from accord.board._offers import offer_asset, withdraw_asset
from accord.board._proposal import Ballot, Enactment, Proposal, ProposalWithdrawal
from accord.board._record import (
    AssetRecord,
    ProposalRecord,
    ProposalStatus,
    Requirement,
)
from accord.board._recorded import Recorded
from accord.board._requirements import check_public, check_usable, is_current, needs
from accord.board._tag import TagRecord
from accord.board._witness import WitnessPolicy
from accord.encoding import Digest, format_time
from accord.errors import (
    ApprovalsMissingError,
    DuplicateStatementError,
    EvidenceMissingError,
    MalformedError,
    NotAMemberError,
    ProposalClosedError,
    ProposalImpossibleError,
    ProposalTimeError,
    StaleStatementError,
    TokenError,
    TooManyProposalsError,
    UnknownProposalError,
    UnsupportedFormatError,
    WrongBoardError,
)
from accord.identity import Statement, VerifyKey
from accord.policy import Policy, owner_of

MAX_OPEN = 256
"""Most proposals of one member that may be undecided at once."""

OPERATOR = "operator"
"""The role whose members may issue instance tokens for every service."""

_UNDECIDED = (ProposalStatus.OPEN, ProposalStatus.NOTICE)


@dataclass(slots=True)
class BoardState:
    """Charter, assets, proposals, policies and stops of one board."""

    genesis: Genesis
    board: Digest
    charter: Charter
    assets: dict[str, AssetRecord] = field(default_factory=dict)
    proposals: dict[Digest, ProposalRecord] = field(default_factory=dict)
    open_proposals: dict[Digest, ProposalRecord] = field(default_factory=dict)
    """Those that may still be decided, oldest first; some may have expired since."""

    policies: dict[str, list[Policy]] = field(default_factory=dict)
    """Every enacted version of each policy, oldest first; nothing is deleted."""

    public: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """By policy, the certificates and public keys of the version in force."""

    stops: dict[Digest, StopRecord] = field(default_factory=dict)
    tokens: dict[bytes, InstanceToken] = field(default_factory=dict)
    """Instance tokens not used yet, by the SHA-256 of the token."""

    issued: set[bytes] = field(default_factory=set)
    """The SHA-256 of every instance token ever: none starts anything twice."""

    lineage: dict[Digest, frozenset[str]] = field(default_factory=dict)
    """By the tag of an output, the owners of everything that it was computed from."""

    witnessed: list[tuple[int, WitnessPolicy]] = field(default_factory=list)
    """Every witness policy, with the index of the entry that brought it into force."""

    resolved: list[tuple[int, ResolveFork]] = field(default_factory=list)
    """Every fork that was resolved, with the index of the entry that did it."""

    tags: dict[str, TagRecord] = field(default_factory=dict)
    """Live volumes by `tag_name`; opening them and committing to them is the releases' part."""

    recorded: MutableMapping[Digest, int] = field(default_factory=Recorded)
    """Entry index of every statement, so that a replay is seen."""

    @classmethod
    def found(cls, genesis: Genesis) -> BoardState:
        policies = [] if genesis.witnesses is None else [(0, genesis.witnesses)]
        return cls(genesis, genesis.digest, genesis.charter, witnessed=policies)

    def generation(self, size: int | None = None) -> int:
        """How many forks were resolved in the first ``size`` entries, or so far.

        Each has given the log a new name (`log_origin`).
        """
        return sum(size is None or index < size for index, _ in self.resolved)

    @property
    def members(self) -> Mapping[str, Member]:
        return self.charter.members

    @property
    def keys(self) -> Mapping[Digest, VerifyKey]:
        """The keys of the members, by key id."""
        return self.charter.keys

    def policy(self, name: str) -> Policy | None:
        """The enacted version of a policy."""
        versions = self.policies.get(name)
        return versions[-1] if versions else None

    def enacted_by(self, version: Digest) -> ProposalRecord:
        """The proposal that brought a version of a policy into force, which it must have been."""
        found = (item for item in self.proposals.values() if item.enacted)
        return next(r for r in found if version in (it.digest for it in r.proposal.policies))

    def lineage_of(self, asset: str) -> frozenset[str]:
        """The owners of everything that the asset was computed from, as far as runs show."""
        record = self.assets.get(asset)
        return self.lineage.get(record.offer.tag, frozenset()) if record else frozenset()

    def live_stops(self) -> tuple[StopRecord, ...]:
        """The stops that still hold."""
        return tuple(record for record in self.stops.values() if not record.resumed)

    def judged(self, record: ProposalRecord) -> ProposalRecord:
        """A proposal with what it needs now: who is affected can change while it is open.

        One that is decided, or stale, is returned as it was last judged.
        """
        if record.status is not ProposalStatus.OPEN or not is_current(self, record.proposal):
            return record
        now = needs(self, record.proposal)
        fresh = replace(record, requirements=now.requirements, vetoers=now.vetoers)
        if fresh.missing():  # The notice is given to everybody, so it begins again.
            fresh.approved_at = None
        return fresh

    def missing(self, record: ProposalRecord) -> tuple[str, ...]:
        """The approvals that a proposal still needs; empty if it has them all."""
        return self.judged(record).missing()

    def status(self, record: ProposalRecord, now: datetime) -> ProposalStatus:
        if record.status is not ProposalStatus.OPEN:
            return record.status
        if not is_current(self, record.proposal):
            return ProposalStatus.STALE
        if now >= record.proposal.expires:
            return ProposalStatus.EXPIRED
        if record.approved_at is None and not record.rejections:
            return ProposalStatus.OPEN
        return self._standing(self.judged(record), now)

    def _standing(self, fresh: ProposalRecord, now: datetime) -> ProposalStatus:
        if fresh.vetoed:
            return ProposalStatus.VETOED
        if not fresh.possible(frozenset(self.members)):
            return ProposalStatus.REJECTED
        since, notice = fresh.approved_at, timedelta(seconds=fresh.notice_s)
        waits = since is not None and now < since + notice
        return ProposalStatus.NOTICE if waits else ProposalStatus.OPEN

    def enactable(self, record: ProposalRecord, now: datetime) -> bool:
        """Whether nothing is missing and the notice, if there is one, is over."""
        if record.approved_at is None or self.judged(record).approved_at is None:
            return False
        return self.status(record, now) is ProposalStatus.OPEN

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
        handler(self, statement, index, time)
        self.recorded[statement.digest] = index

    # --- who speaks --------------------------------------------------------------------------

    def must_be_here(self, board: Digest) -> None:
        """Raises ``WrongBoardError``."""
        if board != self.board:
            raise WrongBoardError(found=board, expected=self.board)

    def must_be_signed_by(self, name: str, statement: Statement) -> Member:
        """The member called so, who signed it alone. Raises ``NotAMemberError``."""
        member = self.members.get(name)
        if member is None or statement.signers != {member.identity.verify_key.key_id}:
            detail = "not a member" if member is None else "signed with another key"
            raise NotAMemberError(who=name, board=self.genesis.name, detail=detail)
        return member

    # --- proposals ---------------------------------------------------------------------------

    def _propose(self, statement: Statement, _index: int, time: datetime) -> None:
        proposal = Proposal.from_fields(statement.fields())
        self.must_be_here(proposal.board)
        self.must_be_signed_by(proposal.author, statement)
        if proposal.base != self.charter.digest:
            raise StaleStatementError(
                what="the charter", found=proposal.base, expected=self.charter.digest
            )
        needed = needs(self, proposal)
        check_usable(self, proposal)
        self._must_be_possible(needed.requirements)
        latest = proposal.expires
        if needed.voting_s is not None:
            latest = time + timedelta(seconds=needed.voting_s)
        if time >= proposal.expires:
            raise ProposalClosedError(proposal=statement.digest, status=ProposalStatus.EXPIRED)
        earliest = time + timedelta(seconds=needed.notice_s)
        if not earliest < proposal.expires <= latest:
            raise ProposalTimeError(
                expires=format_time(proposal.expires),
                earliest=format_time(earliest),
                latest=format_time(latest),
            )
        settled = self._settled(time)
        mine = [
            record
            for id_, record in self.open_proposals.items()
            if id_ not in settled and record.proposal.author == proposal.author
        ]
        if len(mine) >= MAX_OPEN:
            raise TooManyProposalsError(member=proposal.author, limit=MAX_OPEN)
        for id_, status in settled.items():
            self.open_proposals.pop(id_).status = status
        record = ProposalRecord(
            statement.digest, proposal, needed.requirements, needed.vetoers, needed.notice_s
        )
        self.proposals[record.id] = self.open_proposals[record.id] = record

    def _must_be_possible(self, needed: tuple[Requirement, ...]) -> None:
        """Refuses what all members together could not approve, before anybody votes."""
        everybody = frozenset(self.members)
        for item in needed:
            missing = item.rule.missing(everybody, item.electorate)
            if missing:
                raise ProposalImpossibleError(source=item.source, missing=", ".join(missing))

    def _settled(self, time: datetime) -> dict[Digest, ProposalStatus]:
        """Open proposals that time, or another decision, has ended."""
        found = ((id_, self.status(item, time)) for id_, item in self.open_proposals.items())
        return {id_: status for id_, status in found if status not in _UNDECIDED}

    def _record(self, proposal: Digest) -> ProposalRecord:
        record = self.proposals.get(proposal)
        if record is None:
            raise UnknownProposalError(proposal=proposal)
        return record

    def _undecided(self, proposal: Digest, time: datetime) -> ProposalRecord:
        record = self._record(proposal)
        status = self.status(record, time)
        if status not in _UNDECIDED:
            raise ProposalClosedError(proposal=record.id, status=status)
        return record

    def _close(self, record: ProposalRecord, status: ProposalStatus) -> None:
        record.status = status
        self.open_proposals.pop(record.id, None)

    def _withdraw_proposal(self, statement: Statement, _index: int, time: datetime) -> None:
        withdrawal = ProposalWithdrawal.from_fields(statement.fields())
        self.must_be_here(withdrawal.board)
        author = self._record(withdrawal.proposal).proposal.author
        self.must_be_signed_by(author, statement)
        self._close(self._undecided(withdrawal.proposal, time), ProposalStatus.WITHDRAWN)

    def _vote(self, statement: Statement, _index: int, time: datetime) -> None:
        ballot = Ballot.from_fields(statement.fields())
        self.must_be_here(ballot.board)
        member = self.must_be_signed_by(ballot.member, statement)
        record = self._undecided(ballot.proposal, time)
        attested = ballot.evidence is not None and ballot.challenge is not None
        if member.attestation and not attested:
            raise EvidenceMissingError(member=member.name)
        if ballot.evidence is not None and not member.attestation:
            raise MalformedError(what="ballot.evidence", detail=f"{member.name} is not automated")
        earlier = record.ballots.get(ballot.member)
        if earlier is not None and ballot.sequence <= earlier.sequence:
            raise StaleStatementError(
                what="ballot", found=ballot.sequence, expected=f"above {earlier.sequence}"
            )
        self._judge(record)
        record.ballots[ballot.member] = ballot
        if record.vetoed:
            self._close(record, ProposalStatus.VETOED)
        elif not record.possible(frozenset(self.members)):
            self._close(record, ProposalStatus.REJECTED)
        elif record.missing():
            record.approved_at = None
        elif record.approved_at is None:
            record.approved_at = time

    def _judge(self, record: ProposalRecord) -> None:
        fresh = self.judged(record)
        record.requirements, record.vetoers = fresh.requirements, fresh.vetoers
        record.approved_at = fresh.approved_at

    def _enact(self, statement: Statement, index: int, time: datetime) -> None:
        enactment = Enactment.from_fields(statement.fields())
        self.must_be_here(enactment.board)
        record = self._undecided(enactment.proposal, time)
        missing = self.missing(record)
        if missing:
            raise ApprovalsMissingError(proposal=record.id, missing=", ".join(missing))
        if not self.enactable(record, time):
            raise ProposalClosedError(proposal=record.id, status=ProposalStatus.NOTICE)
        policies = {policy.name: policy for policy in record.proposal.policies}
        check_public(enactment, policies)
        charter = self.charter
        for item in record.proposal.actions:  # Nothing raises once the state changes.
            if not isinstance(item, (EnactPolicy, ResolveFork, ResumeExecution, AcceptTag)):
                charter = item.amend(charter)
        for item in record.proposal.actions:
            if isinstance(item, ResumeExecution):
                self.stops[item.stop].resumed = True
            elif isinstance(item, AcceptTag):
                self.tags[item.name] = replace(self.tags[item.name], tag=item.tag, clean=True)
            elif isinstance(item, ResolveFork):
                self.resolved.append((index, item))
        for name, policy in policies.items():
            self.policies.setdefault(name, []).append(policy)
            self.public[name] = enactment.public.get(name, {})
        self._judge(record)
        if charter.witnesses is not None and charter.witnesses != self.charter.witnesses:
            self.witnessed.append((index, charter.witnesses))
        self.charter = charter
        self._close(record, ProposalStatus.ENACTED)

    # --- executions --------------------------------------------------------------------------

    def _stop(self, statement: Statement, index: int, _time: datetime) -> None:
        stop = ExecutionStop.from_fields(statement.fields())
        self.must_be_here(stop.board)
        member = self.must_be_signed_by(stop.member, statement)
        key = member.identity.verify_key.key_id
        self.stops[statement.digest] = StopRecord(stop, index, key)

    def _issue_token(self, statement: Statement, _index: int, time: datetime) -> None:
        token = InstanceToken.from_fields(statement.fields())
        self.must_be_here(token.board)
        member = self.must_be_signed_by(token.member, statement)
        policy = self.policy(token.policy)
        if policy is None or token.service not in policy.services:
            raise TokenError(detail=f"there is no service {token.service} in {token.policy}")
        if OPERATOR not in member.roles and token.member not in map(owner_of, policy.assets):
            raise TokenError(detail=f"{token.member} is neither an owner nor an operator")
        if token.token_sha256 in self.issued or time >= token.expires:
            raise TokenError(detail="it was issued before, or has expired")
        self.tokens[token.token_sha256] = token
        self.issued.add(token.token_sha256)


_HANDLERS: dict[str, Callable[[BoardState, Statement, int, datetime], None]] = {
    "asset": offer_asset,
    "asset-withdrawal": withdraw_asset,
    "proposal": BoardState._propose,  # noqa: SLF001 - the table belongs to the class
    "proposal-withdrawal": BoardState._withdraw_proposal,  # noqa: SLF001
    "ballot": BoardState._vote,  # noqa: SLF001
    "enactment": BoardState._enact,  # noqa: SLF001
    "execution-stop": BoardState._stop,  # noqa: SLF001
    "instance-token": BoardState._issue_token,  # noqa: SLF001
}
