# SPDX-License-Identifier: Apache-2.0
"""`accord board`: its witnesses, how fresh it is, and what to do about a fork."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from accord.board import ForkHead, ReplaceWitnesses, ResolveFork, WitnessPolicy
from accord.cli._options import home_option, read_file, service_url, with_output
from accord.cli._output import Output
from accord.cli._proposing import make_proposal, proposing_options
from accord.client import MemberHome
from accord.encoding import Fields, JSONValue, format_time, parse_json

WITNESS = "FILE=URL[@GROUP]"
HEAD = "SIZE:ROOT"

F = TypeVar("F", bound=Callable[..., Any])

_HEX_ROOT = 64


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

    The state is the service's own word; what was cosigned is verified here.

    \b
    Example: accord board status --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        ledger, machine, _ = member.read(session)
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
        own, other = fork.get("own_size"), fork.get("other_size")
        lines.append(f"fork       {own} entries here, {other} seen by {fork.get('witness')}")
    return lines
