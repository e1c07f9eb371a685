# SPDX-License-Identifier: Apache-2.0
"""`accord proposal`: proposing, reviewing, voting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from accord.board import (
    Choice,
    EnactPolicy,
    Proposal,
    ProposedAction,
    read_action,
)
from accord.cli._options import PATH, confirm, home_option, read_file, service_url, with_output
from accord.cli._output import Output, table
from accord.cli._proposing import (
    USUAL_DAYS,
    changes_of,
    describe,
    make_proposal,
    member_environment,
    outcome_text,
    proposal_text,
    proposing_options,
    reviewed_digest,
    show_proposal,
    write_unsigned,
)
from accord.cli._voting import cast_vote
from accord.client import (
    MemberHome,
    Unsigned,
    find_proposal,
    next_ballot,
    withdraw_proposal,
)
from accord.encoding import Digest, Fields, JSONValue, base64_decode
from accord.errors import (
    AccordError,
    MalformedError,
    NotAMemberError,
    UnknownProposalError,
)
from accord.ledger import Ledger
from accord.policy import Policy, parse_yaml
from accord.release import Machine


@click.group("proposal")
def group() -> None:
    """Proposals: what is decided becomes so by votes alone. Proposing is not voting."""


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--approve``, ``--reject`` or ``--abstain``."""
    for name, words in (
        ("abstain", "Take an earlier vote back."),
        ("reject", "Vote against it."),
        ("approve", "Vote for it."),
    ):
        command = click.option(f"--{name}", "choice", flag_value=name, help=words)(command)
    return command


def _chosen(choice: str | None) -> Choice:
    if choice is None:
        message = "say --approve, --reject or --abstain"
        raise click.UsageError(message)
    return Choice(choice)


def read_actions(files: tuple[Path, ...]) -> tuple[ProposedAction, ...]:
    """The actions in ``files``: each a policy, or an object with ``action``."""
    return tuple(_read_action(path) for path in files)


def _read_action(path: Path) -> ProposedAction:
    document = parse_yaml(read_file(path), what=str(path))
    if isinstance(document, dict) and "action" in document:
        return read_action(Fields(document, "action"))
    return EnactPolicy(Policy.from_json(document))


@group.command()
@click.argument("files", type=PATH, nargs=-1, required=True)
@proposing_options
@home_option
@with_output
def create(
    out: Output,
    files: tuple[Path, ...],
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
) -> None:
    """Propose the policies and actions in FILES: all of them come into force, or none.

    A file holds a policy, or another action (`action: member.remove`, `member: lab`).

    \b
    Example: accord proposal create policy.yaml --title "Joint model" --home lab
    """
    if title is None:
        message = "Missing option '--title'."
        raise click.UsageError(message)
    actions = read_actions(files)
    make_proposal(out, home, lambda _: actions, title=title, days=days, offline_out=offline_out)


@group.command()
@click.argument("proposal")
@home_option
@with_output
def show(out: Output, proposal: str, home: Path) -> None:
    """Show what PROPOSAL would change, who voted, and who is missing.

    \b
    Example: accord proposal show 3fa1 --home hospital-a
    """
    _, machine = _read(home)
    show_proposal(out, machine, find_proposal(machine, proposal))


def _read(home: Path) -> tuple[MemberHome, Machine]:
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    return member, machine


@group.command("list")
@home_option
@with_output
def list_(out: Output, home: Path) -> None:
    """List all proposals, with what each is waiting for.

    \b
    Example: accord proposal list --home hospital-a
    """
    _, machine = _read(home)
    listed = [describe(machine, item) for item in machine.board.proposals.values()]
    rows = [
        (item["proposal"], item["status"], item["title"], ", ".join(item["missing"]) or "-")
        for item in listed
    ]
    out.result({"proposals": listed}, table(("proposal", "status", "title", "missing"), rows))


@group.command()
@click.argument("proposal")
@home_option
@with_output
def missing(out: Output, proposal: str, home: Path) -> None:
    """Show rule by rule what PROPOSAL still needs.

    \b
    Example: accord proposal missing 3fa1 --home hospital-a
    """
    _, machine = _read(home)
    record = find_proposal(machine, proposal)
    traces = [
        {
            "action": item.action.value,
            "source": item.source,
            "missing": list(item.rule.missing(record.approvals, item.electorate)),
        }
        for item in machine.board.judged(record).requirements
    ]
    lines = [
        f"{item['action']} ({item['source']}): {', '.join(item['missing']) or 'satisfied'}"
        for item in traces
    ]
    document: dict[str, JSONValue] = {"proposal": record.id, "rules": [*traces]}
    out.result({**document, "missing": list(machine.board.missing(record))}, lines)


@group.command()
@click.argument("proposal")
@choice_options
@click.option(
    "--digest",
    help="Digest of the policy, or the proposal's id, that you reviewed (instead of the prompt).",
)
@click.option(
    "--simulated", type=PATH, metavar="PLATFORM", help="Of an automated member: where it runs."
)
@home_option
@with_output
def vote(
    out: Output,
    proposal: str,
    choice: str | None,
    digest: str | None,
    simulated: Path | None,
    home: Path,
) -> None:
    """Vote on PROPOSAL with your own key, after reading what it changes.

    A proposal of one policy is confirmed by the policy's digest, every other by its own id.

    \b
    Example: accord proposal vote 3fa1 --approve --digest sha256:… --home hospital-a
    """
    chosen = _chosen(choice)
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        record = find_proposal(machine, proposal)
        expected, what = reviewed_digest(record, digest)
        confirm(out, digest, expected, what=what, shown=proposal_text(machine, record))
        attester = None if simulated is None else member_environment(out, simulated)
        cast_vote(out, member, session, record, chosen, attester=attester)
        _, machine, _ = member.read(session)
    show_proposal(out, machine, find_proposal(machine, record.id))


@group.command()
@click.argument("proposal")
@home_option
@with_output
def withdraw(out: Output, proposal: str, home: Path) -> None:
    """Take your own PROPOSAL back, as long as it is not decided.

    \b
    Example: accord proposal withdraw 3fa1 --home lab
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        record = find_proposal(machine, proposal)
        index = withdraw_proposal(member, session, record)
        out.fact(f"{member.name} withdrew the proposal, entry {index}")
        _, machine, _ = member.read(session)
    show_proposal(out, machine, find_proposal(machine, record.id))


# --- before voting ---------------------------------------------------------------------------


@group.command()
@click.argument("what")
@home_option
@with_output
def simulate(out: Output, what: str, home: Path) -> None:
    """Show what WHAT, a file or a proposal, would need and change. Nothing is sent.

    \b
    Example: accord proposal simulate policy-2.yaml --home lab
    """
    from accord.release import simulate as foresee

    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        ledger, machine, _ = member.read(session)
        now = datetime.now(UTC).replace(microsecond=0)
        proposal = _proposal_of(what, member, machine, now)

        def evidence_of(digest: Digest) -> bytes | None:
            try:
                return session.read_object(digest, member.identity.signer)
            except AccordError:
                return None

        outcome = foresee(
            machine, proposal, now=now, evidence_of=evidence_of, time_of=_times(ledger)
        )
    out.result(outcome.to_json(), outcome_text(outcome))


def _proposal_of(what: str, member: MemberHome, machine: Machine, now: datetime) -> Proposal:
    path = Path(what)
    if not path.is_file():
        try:
            return find_proposal(machine, what).proposal
        except UnknownProposalError as exc:
            raise UnknownProposalError(proposal=f"{what}, and no such file") from exc
    return Proposal(
        board=machine.board.board,
        author=member.name,
        title="simulated",
        base=machine.board.charter.digest,
        actions=read_actions((path,)),
        expires=now + timedelta(days=USUAL_DAYS),
    )


def _times(ledger: Ledger) -> Callable[[int], datetime]:
    return lambda index: ledger.entry(index).time


# --- signed elsewhere ------------------------------------------------------------------------


@group.command()
@click.argument("proposal")
@choice_options
@click.option("--as", "voter", metavar="MEMBER", help="Whose ballot; by default your own.")
@click.option("-o", "--out", "target", type=PATH, required=True, help="The bytes to be signed.")
@home_option
@with_output
def prepare(
    out: Output, proposal: str, choice: str | None, voter: str | None, target: Path, home: Path
) -> None:
    """Write a ballot to be signed elsewhere, and beside it a .json that says what it is.

    Any member may prepare it for another: only that member's key can sign it.

    \b
    Example:
      accord proposal prepare 3fa1 --approve --as clinic -o ballot.tbs --home lab
      openssl pkeyutl -sign -rawin -inkey clinic.pem -in ballot.tbs -out ballot.sig
      accord proposal finish ballot.tbs --signature ballot.sig --home lab
    """
    chosen = _chosen(choice)
    member, machine = _read(home)
    name = voter or member.name
    if name not in machine.board.members:
        raise NotAMemberError(who=name, board=machine.board.genesis.name, detail="not a member")
    record = find_proposal(machine, proposal)
    ballot = next_ballot(record, name, chosen)
    write_unsigned(
        out,
        target,
        "ballot",
        ballot.to_json(),
        machine,
        proposal=record.proposal.to_json(),
        policies={policy.name: policy.digest for policy in record.proposal.policies},
        changes=changes_of(machine, record),
    )


@group.command()
@click.argument("file", type=PATH)
@click.option("--signature", type=PATH, required=True, help="64 bytes, raw or in base64.")
@click.option("--as", "signer", metavar="MEMBER", help="Who signed, if FILE does not say so.")
@home_option
@with_output
def finish(out: Output, file: Path, signature: Path, signer: str | None, home: Path) -> None:
    """Hand in FILE, a statement that was signed elsewhere: a ballot, a proposal, a stop.

    \b
    Example: accord proposal finish ballot.tbs --signature ballot.sig --home lab
    """
    unsigned = Unsigned.from_bytes(read_file(file), path=file)
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        name = signer or unsigned.speaker() or member.name
        listed = machine.board.members.get(name)
        if listed is None:
            raise NotAMemberError(who=name, board=machine.board.genesis.name, detail="not a member")
        envelope = unsigned.finish(read_signature(signature), listed.identity.verify_key)
        index = session.submit(envelope)
    out.fact(f"{unsigned.kind} of {name} recorded, entry {index}")
    out.result(
        {"kind": unsigned.kind, "digest": unsigned.digest, "index": index},
        [f"{unsigned.kind:<9} {unsigned.digest}", f"entry     {index}"],
    )


def read_signature(path: Path) -> bytes:
    """A signature from a file: 64 bytes, or their base64."""
    data = read_file(path, limit=1024)
    if len(data) == 64:  # noqa: PLR2004 - an Ed25519 signature (RFC 8032)
        return data
    try:
        return base64_decode(data.decode().strip(), what=str(path))
    except UnicodeDecodeError as exc:
        raise MalformedError(what=str(path), detail="expected 64 bytes, or base64") from exc
