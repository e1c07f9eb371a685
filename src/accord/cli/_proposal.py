# SPDX-License-Identifier: Apache-2.0
"""`accord proposal`: proposing, reviewing, voting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from accord.board import Choice, ProposalRecord, ProposalStatus
from accord.cli._options import PATH, confirm, home_option, read_file, service_url, with_output
from accord.cli._output import Output, table
from accord.client import MemberHome, TrustSession, find_proposal, propose
from accord.client import vote as cast
from accord.encoding import JSONValue, format_time
from accord.policy import diff, parse_policy
from accord.release import Machine

MAX_DAYS = 3650
"""Longest time for which a proposal may be voted on."""


@click.group("proposal")
def group() -> None:
    """Proposals: a policy becomes one by votes alone. Proposing is not voting."""


@group.command()
@click.argument("file", type=PATH)
@click.option("--title", required=True, help="One line that says what it is for.")
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    default=7,
    show_default=True,
    help="How long it may be voted on.",
)
@home_option
@with_output
def create(out: Output, file: Path, title: str, days: int, home: Path) -> None:
    """Propose the policy in FILE. The same policy is not proposed twice.

    \b
    Example: accord proposal create policy.yaml --title "Joint model" --home lab
    """
    policy = parse_policy(read_file(file))
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        now = datetime.now(UTC)
        propose(
            member,
            session,
            machine,
            policy=policy,
            title=title,
            now=now,
            expires=now + timedelta(days=days),
        )
        _, machine, _ = member.read(session)
    record = next(
        item
        for item in reversed(machine.board.proposals.values())
        if item.proposal.policy.digest == policy.digest
    )
    _show(out, machine, record)


@group.command()
@click.argument("proposal")
@home_option
@with_output
def show(out: Output, proposal: str, home: Path) -> None:
    """Show what PROPOSAL would change, who voted, and who is missing.

    \b
    Example: accord proposal show 3fa1 --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    _show(out, machine, find_proposal(machine, proposal))


@group.command("list")
@home_option
@with_output
def list_(out: Output, home: Path) -> None:
    """List all proposals, with what each is waiting for.

    \b
    Example: accord proposal list --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    listed = [_describe(machine, item) for item in machine.board.proposals.values()]
    rows = [
        (item["proposal"], item["status"], item["title"], ", ".join(item["missing"]) or "-")
        for item in listed
    ]
    out.result({"proposals": listed}, table(("proposal", "status", "title", "missing"), rows))


@group.command()
@click.argument("proposal")
@click.option("--approve", "choice", flag_value="approve", help="Vote for it.")
@click.option("--reject", "choice", flag_value="reject", help="Vote against it.")
@click.option("--digest", help="Digest of the policy that you reviewed (instead of the prompt).")
@home_option
@with_output
def vote(out: Output, proposal: str, choice: str | None, digest: str | None, home: Path) -> None:
    """Vote on PROPOSAL with your own key, after reading what it changes.

    \b
    Example: accord proposal vote 3fa1 --approve --digest sha256:… --home hospital-a
    """
    if choice is None:
        message = "say --approve or --reject"
        raise click.UsageError(message)
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        record = find_proposal(machine, proposal)
        policy, shown = record.proposal.policy, _text(machine, record)
        confirm(out, digest, policy.digest, what="the policy proposed", shown=shown)
        _vote(out, member, session, record, Choice(choice))
        _, machine, _ = member.read(session)
    _show(out, machine, find_proposal(machine, record.id))


def _vote(
    out: Output,
    member: MemberHome,
    session: TrustSession,
    record: ProposalRecord,
    choice: Choice,
) -> None:
    earlier = record.ballots.get(member.name)
    if record.enacted and earlier is not None and earlier.choice is choice:
        out.note("this vote was counted before; nothing to do")
        return
    index = cast(member, session, record, choice)
    out.fact(f"{member.name} voted to {choice.value}, entry {index}")


def _describe(machine: Machine, record: ProposalRecord) -> dict[str, JSONValue]:
    status = machine.board.status(record, datetime.now(UTC))
    missing = machine.board.missing(record) if status is ProposalStatus.OPEN else ()
    return {
        "proposal": record.id,
        "title": record.proposal.title,
        "author": record.proposal.author,
        "policy": record.proposal.policy.name,
        "digest": record.proposal.policy.digest,
        "status": status.value,
        "expires": format_time(record.proposal.expires),
        "approved": sorted(record.approvals),
        "rejected": sorted(record.rejections),
        "missing": list(missing),
    }


def _changes(machine: Machine, record: ProposalRecord) -> list[JSONValue]:
    """What it changes against its predecessor, which an enacted policy no longer is."""
    policy = record.proposal.policy
    versions = machine.board.policies.get(policy.name, [])
    before = next((item for item in versions if item.digest == policy.predecessor), None)
    return [change.to_json() for change in diff(before, policy)]


def _text(machine: Machine, record: ProposalRecord) -> list[str]:
    said = _describe(machine, record)
    return [
        f"proposal  {said['proposal']}",
        f"title     {said['title']} (by {said['author']})",
        f"policy    {said['policy']}, digest {said['digest']}",
        *(f"  {c['sign']} {c['sentence']}" for c in _changes(machine, record)),
        f"status    {said['status']}, until {said['expires']}",
        f"approved  {', '.join(said['approved']) or '-'}",
        f"rejected  {', '.join(said['rejected']) or '-'}",
        f"missing   {', '.join(said['missing']) or '-'}",
    ]


def _show(out: Output, machine: Machine, record: ProposalRecord) -> None:
    document = {**_describe(machine, record), "changes": _changes(machine, record)}
    out.result(document, _text(machine, record))
