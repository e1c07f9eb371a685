# SPDX-License-Identifier: Apache-2.0
"""`accord board`: its witnesses, how fresh it is, and what to do about a fork."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from accord.board import ForkHead, ReplaceWitnesses, ResolveFork, WitnessPolicy
from accord.cli._options import home_option, read_digest, read_file, service_url, with_output
from accord.cli._output import Output
from accord.cli._proposing import make_proposal, proposing_options
from accord.client import MemberHome, TrustSession, recovery_offer
from accord.encoding import Fields, JSONValue, format_time, parse_json
from accord.errors import NotRecoveringError, RequestRefusedError
from accord.ledger import Checkpoint

WITNESS = "FILE=URL[@GROUP]"
HEAD = "SIZE:ROOT"

F = TypeVar("F", bound=Callable[..., Any])

_HEX_ROOT = 64

MAX_NOTE = 1 << 16


def witness_options(*, needed: bool) -> Callable[[F], F]:
    """The options that say who must have seen the log."""

    def decorate(command: F) -> F:
        for option in (
            click.option(
                "--faulty",
                type=click.IntRange(0),
                default=0,
                help="How many groups of witnesses may lie (0 if not said).",
            ),
            click.option(
                "--quorum",
                type=click.IntRange(1),
                required=needed,
                help="How many groups must have seen the log before anything leaves.",
            ),
            click.option(
                "--witness",
                "witnesses",
                multiple=True,
                required=needed,
                metavar=WITNESS,
                help="A witness.json, its URL, and its group (its name if not said).",
            ),
        ):
            command = option(command)
        return command

    return decorate


def witness_policy(witnesses: tuple[str, ...], quorum: int | None, faulty: int) -> JSONValue:
    """The document of a witness policy; its numbers are judged by who reads it."""
    if quorum is None:
        raise click.UsageError("--witness needs --quorum")
    return {
        "witnesses": [_witness(item) for item in witnesses],
        "quorum": quorum,
        "faulty": faulty,
    }


def _witness(item: str) -> JSONValue:
    path, equals, rest = item.partition("=")
    url, _, group = rest.partition("@")
    if not equals or not path or not url:
        raise click.BadParameter(f"expected {WITNESS}, found {item!r}", param_hint="--witness")
    fields = Fields(parse_json(read_file(Path(path)), what=path), path)
    name, key = fields.name("name"), fields.text("key", limit=64)
    fields.end()
    return {"name": name, "group": group or name, "key": key, "url": url}


@click.command()
@witness_options(needed=True)
@proposing_options
@home_option
@with_output
def witnesses(
    out: Output,
    witnesses: tuple[str, ...],
    quorum: int,
    faulty: int,
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
) -> None:
    """Propose other witnesses. Those in force must see it happen, and so must the new ones.

    \b
    Example:
      accord board witnesses --witness a/witness.json=https://witness.a.example \\
        --witness b/witness.json=https://witness.b.example --quorum 2 --home lab
    """
    document = witness_policy(witnesses, quorum, faulty)
    policy = WitnessPolicy.from_fields(Fields(document, "witnesses"))
    make_proposal(
        out,
        home,
        lambda _: [ReplaceWitnesses(policy)],
        title=title or "other witnesses",
        days=days,
        offline_out=offline_out,
    )


@click.command()
@click.option("--survivor", required=True, metavar=HEAD, help="The history that goes on.")
@click.option("--abandoned", required=True, metavar=HEAD, help="The history that does not.")
@proposing_options
@home_option
@with_output
def resolve(
    out: Output,
    survivor: str,
    abandoned: str,
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
) -> None:
    """Propose which of two histories of the log goes on: `accord board status` shows both.

    \b
    Example:
      accord board resolve --survivor 112:9f86… --abandoned 110:60303a… --home lab
    """
    heads = (_head(survivor, "--survivor"), _head(abandoned, "--abandoned"))
    make_proposal(
        out,
        home,
        lambda _: [ResolveFork(*heads)],
        title=title or "one history of the log",
        days=days,
        offline_out=offline_out,
    )


def _head(text: str, option: str) -> ForkHead:
    size, colon, root = text.partition(":")
    try:
        head = ForkHead(int(size), bytes.fromhex(root))
    except ValueError:
        head = ForkHead(0, b"")
    if not colon or head.size < 1 or len(root) != _HEX_ROOT:
        raise click.BadParameter(f"expected {HEAD}, found {text!r}", param_hint=option)
    return head


@click.command()
@home_option
@with_output
def status(out: Output, home: Path) -> None:
    """Show how fresh the board is: what a quorum of witnesses has seen, and who is away.

    The state is the service's own word; what was cosigned is verified here. Of a board that is
    being recovered it says what keeps it closed.

    \b
    Example: accord board status --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        try:
            ledger, machine, _ = member.read(session)
        except RequestRefusedError as exc:  # Also said of boards that are not here.
            _recovering(out, member, session, exc)
            return
        cosigned = member.cosigned(ledger, machine)
        said = session.status(member.identity.signer)
    fields = Fields(said, "status")
    freshness = fields.take("freshness")
    document: dict[str, JSONValue] = {
        "board": machine.board.board,
        "entries": ledger.size,
        "freshness": freshness,
        "cosigned": None
        if cosigned is None
        else {
            "size": cosigned.size,
            "time": format_time(cosigned.time),
            "witnesses": list(cosigned.witnesses),
        },
    }
    state = str(freshness["state"]) if isinstance(freshness, dict) else "?"
    lines = [f"board      {machine.board.genesis.name}", f"entries    {ledger.size}"]
    lines.append(f"freshness  {state}")
    policy = machine.board.charter.witnesses
    if policy is not None:
        lines.append(f"quorum     {policy.quorum} of {len(policy.groups)} groups")
    if cosigned is not None:
        lines.append(f"cosigned   {cosigned.size} entries by {format_time(cosigned.time)}")
    lines += _details(freshness)
    out.result(document, lines)


def _recovering(
    out: Output, member: MemberHome, session: TrustSession, refused: RequestRefusedError
) -> None:
    """What an attested service says of a board that it restores; else it ``refused``."""
    try:
        offer = recovery_offer(session)
    except NotRecoveringError:
        raise refused from None
    document: dict[str, JSONValue] = {
        "board": session.board,
        "entries": offer.header.size,
        "freshness": {"state": "recovering", "opened": offer.opened},
        "cosigned": None,
        "given": list(offer.given),
        "missing": list(offer.missing),
    }
    missing = ", ".join(offer.missing) or "nothing: accord recovery open"
    lines = [
        f"board      {member.genesis.name}",
        f"entries    {offer.header.size}, in the backup",
        "freshness  recovering",
        f"given      {', '.join(offer.given) or 'no share yet'}",
        f"missing    {missing if offer.opened else 'who opens the log: accord recovery show'}",
    ]
    out.result(document, lines)


@click.command("accept-fork")
@click.option("--vote", help="Digest of the vote, as the command shows it: follow it.")
@click.option(
    "--abandoned-from",
    metavar="URL",
    help="A service that still shows the other history, where you saw it at another size.",
)
@home_option
@with_output
def accept_fork(out: Output, vote: str | None, abandoned_from: str | None, home: Path) -> None:
    """Show the vote that abandoned the history your home has seen; with --vote, follow it.

    A home refuses every log that does not continue what it saw. After `log.fork.resolve` that is
    no longer right, and only that vote changes it. What was seen is kept, as evidence.

    \b
    Example:
      accord board accept-fork --home lab
      accord board accept-fork --vote sha256:… --home lab
    """
    member = MemberHome.load(home, service=service_url())
    chosen = None if vote is None else read_digest(vote, option="--vote")
    abandoned = None
    if abandoned_from is not None:
        with MemberHome.load(home, service=abandoned_from).connect() as other:
            abandoned, _, _ = other.read_log(member.identity.signer)
    with member.connect() as session:
        found = member.follow_fork(session, abandoned=abandoned, vote=chosen)
    document: dict[str, JSONValue] = {
        "board": member.genesis.digest,
        "seen": [{"size": item.size, "root": item.root.hex()} for item in found.seen],
        "survivor": found.action.survivor.to_json(),
        "abandoned": found.action.abandoned.to_json(),
        "vote": found.record.id,
        "approved": sorted(found.record.approvals),
        "index": found.index,
        "time": format_time(found.time),
        "accepted": chosen is not None,
    }
    lines = [
        *(f"seen       {item.size}:{item.root.hex()}" for item in found.seen),
        f"survivor   {found.action.survivor.size}:{found.action.survivor.root.hex()}",
        f"abandoned  {found.action.abandoned.size}:{found.action.abandoned.root.hex()}",
        f"vote       {found.record.id}",
        f"title      {found.record.proposal.title} (by {found.record.proposal.author})",
        f"approved   {', '.join(sorted(found.record.approvals))}",
        f"entry      {found.index}, {format_time(found.time)}",
    ]
    if chosen is None:
        out.note("nothing has changed; with --vote and that digest your home follows it")
    else:
        out.fact("your home follows the survivor; what it had seen is kept beside it")
    out.result(document, lines)


def _details(freshness: JSONValue) -> list[str]:
    """Who has seen what, and the two heads of a fork, as the service says."""
    if not isinstance(freshness, dict):
        return []
    listed = freshness.get("witnesses")
    lines = [
        f"witness    {item.get('name')}: {item.get('state')}"
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
    fork = freshness.get("fork")
    if isinstance(fork, dict):
        heads = Fields(fork, "fork")
        lines.append(f"fork       {_shown_head(heads, 'own')} here")
        lines.append(f"other      {_shown_head(heads, 'other')}, seen by {fork.get('witness')}")
    return lines


def _shown_head(fork: Fields, name: str) -> str:
    """The size and root of a head, as `accord board resolve` takes them."""
    text, _, _ = fork.data(name, limit=MAX_NOTE).partition(b"\n\n")
    checkpoint = Checkpoint.from_text(text.decode("utf-8", "replace") + "\n")
    return f"{checkpoint.size}:{checkpoint.root.hex()}"


COMMANDS = (accept_fork, resolve, status, witnesses)
