# SPDX-License-Identifier: Apache-2.0
"""Proposals on the command line: how one is made, and how it is shown to whoever votes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from accord.board import (
    AcceptTag,
    AddMember,
    EnactPolicy,
    ForkHead,
    Member,
    Proposal,
    ProposalRecord,
    ProposalStatus,
    ProposedAction,
    RemoveMember,
    ReplaceConstitution,
    ReplaceService,
    ReplaceWitnesses,
    ResolveFork,
    ResumeExecution,
    RotateKeys,
    UpdateMember,
)
from accord.cli._options import PATH, service_url, write_file
from accord.cli._output import Output
from accord.client import MemberHome, Unsigned, find_proposal, find_same, propose
from accord.encoding import Digest, JSONValue, canonical_json, format_time, sha256
from accord.evidence import Attester
from accord.policy import Policy, diff
from accord.release import Machine, Outcome, charter_changes

MAX_DAYS = 3650
"""Longest time for which a proposal may be voted on."""

USUAL_DAYS = 7
_MARGIN_S = 60
"""By how much clocks may differ where the constitution limits the time for voting."""

_UNDECIDED = (ProposalStatus.OPEN, ProposalStatus.NOTICE)


def proposing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that makes a proposal."""
    for option in (
        click.option("--title", help="One line that says what it is for."),
        click.option(
            "--days",
            type=click.IntRange(1, MAX_DAYS),
            help=f"How long it may be voted on. [default: {USUAL_DAYS}, or as the rules allow]",
        ),
        click.option(
            "--offline-out",
            type=PATH,
            metavar="FILE",
            help="Send nothing: write the bytes to be signed elsewhere.",
        ),
    ):
        command = option(command)
    return command


def make_proposal(
    out: Output,
    home: Path,
    actions_of: Callable[[Machine], Sequence[ProposedAction]],
    *,
    title: str,
    days: int | None,
    offline_out: Path | None,
) -> None:
    """Proposes the actions that follow from the board as it is, and shows the proposal."""
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        now = datetime.now(UTC).replace(microsecond=0)
        actions = tuple(actions_of(machine))
        expires = expiry(machine, actions, now, days)
        if offline_out is not None:
            base = machine.board.charter.digest
            wanted = Proposal(session.board, member.name, title, base, actions, expires)
            write_unsigned(out, offline_out, "proposal", wanted.to_json(), machine)
            return
        same = find_same(machine, actions, now)
        proposal = propose(
            member, session, machine, actions=actions, title=title, now=now, expires=expires
        )
        if same is not None:
            out.note("this was proposed before; nothing to do")
        _, machine, _ = member.read(session)
    show_proposal(out, machine, find_proposal(machine, proposal))


def expiry(
    machine: Machine, actions: Sequence[ProposedAction], now: datetime, days: int | None
) -> datetime:
    """The end of voting: as was said, or as long as is usual and the constitution allows."""
    if days is not None:
        return now + timedelta(days=days)
    constitution = machine.board.charter.constitution
    limits = [constitution.rule(item.action).voting_s for item in actions]
    seconds = [USUAL_DAYS * 24 * 3600]
    seconds += [limit - min(_MARGIN_S, limit // 10) for limit in limits if limit is not None]
    return now + timedelta(seconds=min(seconds))


def member_environment(out: Output, platform: Path) -> Attester:
    """The simulated environment in which an automated member decides."""
    from accord.evidence import Role
    from accord.testing import SimulatedPlatform, simulated_measurements

    out.warn("SIMULATED TEE: root on this machine can read everything")
    return SimulatedPlatform.load(platform).attester(simulated_measurements(Role.MEMBER))


# --- signed elsewhere ------------------------------------------------------------------------


def write_unsigned(
    out: Output, target: Path, kind: str, body: JSONValue, machine: Machine, **shown: JSONValue
) -> None:
    """The bytes to be signed in ``target``, and beside it what they say, for whoever signs."""
    unsigned, beside = Unsigned.of(kind, body), target.with_name(target.name + ".json")
    document: dict[str, JSONValue] = {
        "schema": "accord.unsigned.v1",
        "board": machine.board.board,
        "board_name": machine.board.genesis.name,
        "kind": kind,
        "digest": unsigned.digest,
        "signer": unsigned.speaker(),
        "statement": body,
        **shown,
    }
    write_file(target, unsigned.to_bytes())
    write_file(beside, canonical_json(document))
    out.note(f"nothing was sent; sign {target}, then `accord proposal finish {target}`")
    out.result(
        document,
        [f"to sign    {target}", f"to read    {beside}", f"digest     {unsigned.digest}"],
    )


# --- shown to people -------------------------------------------------------------------------


def describe(machine: Machine, record: ProposalRecord) -> dict[str, Any]:
    """Where a proposal stands, for programs."""
    status = machine.board.status(record, datetime.now(UTC))
    missing = machine.board.missing(record) if status in _UNDECIDED else ()
    policies = record.proposal.policies
    document: dict[str, Any] = {
        "proposal": record.id,
        "title": record.proposal.title,
        "author": record.proposal.author,
        "actions": [action_line(machine, item) for item in record.proposal.actions],
        "policies": {policy.name: policy.digest for policy in policies},
        "status": status.value,
        "expires": format_time(record.proposal.expires),
        "approved": sorted(record.approvals),
        "rejected": sorted(record.rejections),
        "missing": list(missing),
    }
    if only_policy(record) is not None:
        document |= {"policy": policies[0].name, "digest": policies[0].digest}
    if status is ProposalStatus.NOTICE and record.approved_at is not None:
        takes_effect = record.approved_at + timedelta(seconds=record.notice_s)
        document["takes_effect"] = format_time(takes_effect)
    return document


def only_policy(record: ProposalRecord) -> Policy | None:
    """The policy of a proposal that does nothing else."""
    policies = record.proposal.policies
    return policies[0] if len(policies) == len(record.proposal.actions) == 1 else None


def reviewed_digest(record: ProposalRecord, given: str | None) -> tuple[Digest, str]:
    """What whoever votes must name, and what it is: the policy's digest, or the proposal's."""
    policy = only_policy(record)
    if policy is None or given == record.id:
        return record.id, "the proposal"
    return policy.digest, "the policy proposed"


def changes_of(machine: Machine, record: ProposalRecord) -> list[JSONValue]:
    """What it changes in policies, against their predecessors, and in the charter."""
    found: list[JSONValue] = []
    for policy in record.proposal.policies:
        versions = machine.board.policies.get(policy.name, [])
        before = next((item for item in versions if item.digest == policy.predecessor), None)
        found += [change.to_json() for change in diff(before, policy)]
    return found


def action_line(machine: Machine, item: ProposedAction) -> str:
    """One action in words, with the scope of the stop that it ends."""
    stop = machine.board.stops.get(item.stop) if isinstance(item, ResumeExecution) else None
    return action_words(item) if stop is None else f"{action_words(item)}, {stop.stop.scope}"


def action_words(item: ProposedAction) -> str:
    """One action in words that need no log."""
    match item:
        case EnactPolicy():
            words = f"{item.policy.name}, digest {item.policy.digest}"
        case AddMember() | UpdateMember():
            words = member_words(item.member)
        case RemoveMember():
            words = item.member
        case ReplaceConstitution():
            words = f"by {_digest_of(item.constitution.to_json())}"
        case ReplaceService():
            words = f"by {len(item.service)} accepted environments"
        case ReplaceWitnesses():
            witnesses = item.witnesses
            digest = _digest_of(witnesses.to_json())
            words = f"by {witnesses.quorum} of {len(witnesses.groups)} groups, digest {digest}"
        case ResumeExecution():
            words = item.stop
        case AcceptTag():
            words = f"{item.name} goes on from {item.tag or 'nothing'}, left open by {item.run}"
        case RotateKeys():
            words = f"shares of a new root secret, of which {item.threshold} are needed"
        case _:
            survivor, abandoned = _head_words(item.survivor), _head_words(item.abandoned)
            words = f"{survivor} goes on, {abandoned} is abandoned"
    return f"{item.action.value} {words}"


def _head_words(head: ForkHead) -> str:
    return f"{head.size} entries with root {head.root.hex()}"


def _digest_of(document: JSONValue) -> Digest:
    return sha256(canonical_json(document))


def member_words(member: Member) -> str:
    roles = ", ".join(sorted(member.roles)) or "no role"
    key = member.identity.verify_key.key_id
    return f"{member.name} ({roles}; weight {member.weight}; key {key})"


def proposal_text(machine: Machine, record: ProposalRecord) -> list[str]:
    """Everything that whoever votes should read."""
    said, policy = describe(machine, record), only_policy(record)
    lines = [
        f"proposal  {said['proposal']}",
        f"title     {said['title']} (by {said['author']})",
    ]
    if policy is not None:
        lines.append(f"policy    {policy.name}, digest {policy.digest}")
    else:
        lines += [f"action    {words}" for words in said["actions"]]
    lines += [f"  {c['sign']} {c['sentence']}" for c in changes_of(machine, record)]
    lines += [f"  ~ {words}" for words in charter_words(machine, record)]
    lines.append(f"status    {said['status']}, until {said['expires']}")
    if "takes_effect" in said:
        lines.append(f"effect    {said['takes_effect']}, unless it is vetoed")
    return [
        *lines,
        f"approved  {', '.join(said['approved']) or '-'}",
        f"rejected  {', '.join(said['rejected']) or '-'}",
        f"missing   {', '.join(said['missing']) or '-'}",
    ]


def charter_words(machine: Machine, record: ProposalRecord) -> list[str]:
    """What it changes in the charter that it was written against; nothing once that is past."""
    charter = machine.board.charter
    if record.proposal.base != charter.digest:
        return []
    after = charter
    for item in record.proposal.actions:
        if not isinstance(item, (EnactPolicy, ResumeExecution, ResolveFork, AcceptTag)):
            after = item.amend(after)
    return list(charter_changes(charter, after))


def show_proposal(out: Output, machine: Machine, record: ProposalRecord) -> None:
    document = {
        **describe(machine, record),
        "changes": changes_of(machine, record),
        "charter": charter_words(machine, record),
    }
    out.result(document, proposal_text(machine, record))


def outcome_text(outcome: Outcome) -> list[str]:
    """Everything that a simulation foresees."""
    lines: list[str] = []
    for trace in outcome.rules:
        words = ", ".join(trace.missing) or "satisfied"
        lines.append(f"rule      {trace.requirement.action.value} ({trace.requirement.source})")
        lines.append(f"  {words}")
    lines += [f"suffices  {', '.join(sorted(group))}" for group in outcome.deciders]
    if not outcome.possible:
        lines.append("suffices  nobody: it cannot be enacted any more")
    if outcome.vetoers:
        lines.append(f"veto      {', '.join(sorted(outcome.vetoers))}")
    lines.append(f"notice    {outcome.notice_s} s")
    lines += [f"charter   {words}" for words in outcome.charter]
    for policy in outcome.policies:
        lines.append(f"policy    {policy.policy}, digest {policy.digest}")
        lines += [f"  {change.sign} {change.sentence}" for change in policy.changes]
        lines += [f"  secret {name}: {fate.value}" for name, fate in policy.fates.items()]
    for what, losses in (
        ("ends", outcome.ended),
        ("breaks", outcome.broken),
        ("refuses", outcome.refused),
    ):
        lines += [f"{what:<9} {loss.what}: {loss.reason}" for loss in losses]
    return lines
