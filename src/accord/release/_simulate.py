# SPDX-License-Identifier: Apache-2.0
"""What a proposal would need and what it would change, computed before anybody votes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from accord.board import (
    AcceptTag,
    ApprovalService,
    BoardState,
    Charter,
    EnactPolicy,
    Proposal,
    Requirement,
    ResolveFork,
    ResumeExecution,
    check_usable,
    needs,
)
from accord.encoding import Digest, JSONValue
from accord.errors import AccordError, ExportWithdrawnError
from accord.evidence import Evidence, appraise, verify
from accord.policy import Change, Fate, Policy, SecretKind, carried_over, diff
from accord.release._deciders import deciding_sets
from accord.release._gate import still_allowed
from accord.release._machine import Machine
from accord.release._run import RunRecord
from accord.release._secret_uses import exporting_policy

MAX_RELEASES = 100
"""Most earlier releases that are appraised again, the latest first."""

EvidenceOf = Callable[[Digest], bytes | None]
TimeOf = Callable[[int], datetime]


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule that the proposal must satisfy, and where it stands."""

    requirement: Requirement
    missing: tuple[str, ...]

    @property
    def satisfied(self) -> bool:
        return not self.missing

    def to_json(self) -> JSONValue:
        return {
            "action": self.requirement.action.value,
            "source": self.requirement.source,
            "rule": self.requirement.rule.to_json(),
            "satisfied": self.satisfied,
            "missing": list(self.missing),
        }


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What becomes of one policy and of the values of its secrets."""

    policy: str
    digest: Digest
    changes: tuple[Change, ...]
    fates: Mapping[str, Fate]

    def to_json(self) -> JSONValue:
        return {
            "policy": self.policy,
            "digest": self.digest,
            "changes": [change.to_json() for change in self.changes],
            "secrets": {name: fate.value for name, fate in self.fates.items()},
        }


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that works today and would not work any more."""

    what: str
    reason: str

    def to_json(self) -> JSONValue:
        return {"what": self.what, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would follow from a proposal. It is the board's view of one moment."""

    rules: tuple[RuleTrace, ...]
    deciders: tuple[frozenset[str], ...]
    """The smallest sets of members whose approvals would complete it; empty: none, or done."""

    vetoers: frozenset[str]
    notice_s: int
    charter: tuple[str, ...]
    """What changes in the charter, in sentences."""

    policies: tuple[PolicyChange, ...]
    ended: tuple[Loss, ...]
    """Live runs whose lease would not be renewed any more."""

    broken: tuple[Loss, ...]
    """Imports that agree with their exports today and would not any more."""

    refused: tuple[Loss, ...] = field(default=())
    """Earlier releases that the new version would have refused, as far as evidence is at hand."""

    @property
    def possible(self) -> bool:
        """Whether it has all approvals, or could still get them."""
        return bool(self.deciders) or all(trace.satisfied for trace in self.rules)

    def to_json(self) -> JSONValue:
        return {
            "possible": self.possible,
            "rules": [trace.to_json() for trace in self.rules],
            "deciders": [sorted(group) for group in self.deciders],
            "vetoers": sorted(self.vetoers),
            "notice_s": self.notice_s,
            "charter": list(self.charter),
            "policies": [item.to_json() for item in self.policies],
            "ended": [item.to_json() for item in self.ended],
            "broken": [item.to_json() for item in self.broken],
            "refused": [item.to_json() for item in self.refused],
        }


def simulate(
    machine: Machine,
    proposal: Proposal,
    *,
    now: datetime,
    evidence_of: EvidenceOf | None = None,
    time_of: TimeOf | None = None,
) -> Outcome:
    """What ``proposal`` would need and change, were it decided at ``now``; nothing happens.

    ``evidence_of`` and ``time_of`` give the evidence of earlier releases and when they were
    recorded; without them no release is appraised again. Votes count where the board has this
    very proposal already. Raises the errors for which the board would refuse it.
    """
    board = machine.board
    needed = needs(board, proposal)
    record = next((item for item in board.proposals.values() if item.proposal == proposal), None)
    if record is None:
        check_usable(board, proposal)
    approvals = record.approvals if record else frozenset[str]()
    against = record.rejections if record else frozenset[str]()
    traces = tuple(
        RuleTrace(item, item.rule.missing(approvals, item.electorate))
        for item in needed.requirements
    )
    after = replace(machine, board=_enacted(board, proposal))
    refused: tuple[Loss, ...] = ()
    if evidence_of is not None and time_of is not None:
        refused = tuple(_refused(machine, proposal, evidence_of, time_of))
    return Outcome(
        rules=traces,
        deciders=deciding_sets(needed.requirements, approvals, frozenset(board.members) - against),
        vetoers=needed.vetoers,
        notice_s=needed.notice_s,
        charter=tuple(charter_changes(board.charter, after.board.charter)),
        policies=tuple(_policy_change(board, item) for item in proposal.policies),
        ended=tuple(_ended(machine, after, now)),
        broken=tuple(_broken(board, after.board)),
        refused=refused,
    )


def _enacted(board: BoardState, proposal: Proposal) -> BoardState:
    """The board as the enactment would leave it; ``board`` itself stays as it is."""
    charter, policies, stops = board.charter, dict(board.policies), dict(board.stops)
    for item in proposal.actions:
        if isinstance(item, EnactPolicy):
            policies[item.policy.name] = [*policies.get(item.policy.name, []), item.policy]
        elif isinstance(item, ResumeExecution):
            stops[item.stop] = replace(stops[item.stop], resumed=True)
        elif not isinstance(item, (AcceptTag, ResolveFork)):  # They take no consent away.
            charter = item.amend(charter)
    return replace(board, charter=charter, policies=policies, stops=stops)


def charter_changes(old: Charter, new: Charter) -> Iterator[str]:
    """The difference between two charters, in sentences."""
    for name in sorted(new.members.keys() - old.members.keys()):
        roles = ", ".join(sorted(new.members[name].roles)) or "no role"
        yield f"{name} becomes a member, {roles}, weight {new.members[name].weight}"
    for name in sorted(old.members.keys() - new.members.keys()):
        yield f"{name} is no member any more; assets of {name} cannot be used"
    for name in sorted(old.members.keys() & new.members.keys()):
        before, after = old.members[name], new.members[name]
        if before.identity != after.identity:
            key = after.identity.verify_key.key_id
            yield f"{name} gets other keys ({key}); earlier offers of {name} become void"
        for what, was, now in (
            ("roles", sorted(before.roles), sorted(after.roles)),
            ("weight", before.weight, after.weight),
            ("approval service", _address(before.approval), _address(after.approval)),
            ("environments", len(before.attestation), len(after.attestation)),
        ):
            if was != now:
                yield f"{name}: {what} {was} becomes {now}"
        if before.attestation != after.attestation:
            yield f"{name}: other environments may cast its ballots"
    for action in sorted(old.constitution.rules.keys() | new.constitution.rules.keys()):
        rule, other = old.constitution.rules.get(action), new.constitution.rules.get(action)
        if rule != other:
            shown = [None if item is None else item.to_json() for item in (rule, other)]
            yield f"rule of {action.value}: {shown[0] or 'none'} becomes {shown[1] or 'none'}"
    if old.service != new.service:
        yield (
            f"other trust services are accepted ({len(new.service)} in place of "
            f"{len(old.service)} environments)"
        )


def _address(service: ApprovalService | None) -> str:
    return "none" if service is None else service.url


def _policy_change(board: BoardState, policy: Policy) -> PolicyChange:
    before = board.policy(policy.name)
    fates = carried_over(before.secrets if before else {}, policy.secrets)
    return PolicyChange(policy.name, policy.digest, diff(before, policy), fates)


def _ended(machine: Machine, after: Machine, now: datetime) -> Iterator[Loss]:
    """Runs with a lease that could be renewed today, and not after the enactment."""
    for run, record in machine.runs.items():
        leased = record.statement is None and record.lease_until is not None
        if leased and _why_not(machine, record, now) is None:
            reason = _why_not(after, record, now)
            if reason is not None:
                yield Loss(run, reason)


def _why_not(machine: Machine, record: RunRecord, now: datetime) -> str | None:
    try:
        still_allowed(machine, record, now, assurance=record.release.assurance)
    except AccordError as exc:
        return str(exc)
    return None


def _broken(before: BoardState, after: BoardState) -> Iterator[Loss]:
    for name in sorted(after.policies):
        policy = after.policy(name)
        for secret, spec in policy.secrets.items() if policy else ():
            if policy and spec.kind is SecretKind.IMPORT and spec.service is None:
                try:
                    exporting_policy(after, policy, spec)
                except ExportWithdrawnError as exc:
                    if _agreed(before, name, secret):
                        yield Loss(f"{name}/{secret}", str(exc))


def _agreed(board: BoardState, name: str, secret: str) -> bool:
    """Whether the import works today; one that is new has nothing to lose, but says so too."""
    policy = board.policy(name)
    if policy is None or secret not in policy.secrets:
        return True
    try:
        exporting_policy(board, policy, policy.secrets[secret])
    except ExportWithdrawnError:
        return False
    return True


def _refused(
    machine: Machine, proposal: Proposal, evidence_of: EvidenceOf, time_of: TimeOf
) -> Iterator[Loss]:
    changed = {policy.name: policy for policy in proposal.policies}
    latest = (
        record
        for record in reversed(list(machine.runs.values()))
        if record.release.policy in changed
    )
    for record in islice(latest, MAX_RELEASES):
        policy = changed[record.release.policy]
        reason = _reappraised(machine, record, policy, evidence_of, time_of)
        if reason is not None:
            yield Loss(record.release.run, reason)


def _reappraised(
    machine: Machine,
    record: RunRecord,
    policy: Policy,
    evidence_of: EvidenceOf,
    time_of: TimeOf,
) -> str | None:
    """Why the release would have been refused; ``None``: it would not, or nobody knows."""
    release = record.release
    service = policy.services.get(release.service)
    if service is None:
        return f"there is no service {release.service} any more"
    if not release.channel.at_least(service.channel):
        return f"it came over channel {release.channel}, {service.channel} would be needed"
    data, then = evidence_of(release.evidence), time_of(record.index)
    if data is None:
        return None
    try:
        claims = verify(
            Evidence.from_bytes(data),
            anchors=machine.board.genesis.anchors,
            now=then,
            binding=release.binding,
        )
        appraise(claims, service.attestation, now=then)
    except AccordError as exc:
        return str(exc)
    return None
