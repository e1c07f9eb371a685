# SPDX-License-Identifier: Apache-2.0
"""`accord execution`: stopping what runs, letting it go on, and tokens for single starts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from accord.board import ExecutionStop, ResumeExecution, StopRecord, parse_scope
from accord.cli._options import PATH, home_option, service_url, with_output, writing
from accord.cli._output import Output, table
from accord.cli._proposing import write_unsigned
from accord.cli._voting import propose_and_approve
from accord.client import (
    MemberHome,
    find_stop,
    issue_token,
    stop_execution,
)
from accord.encoding import Digest, JSONValue, format_time
from accord.errors import MalformedError
from accord.identity import PRIVATE, write_whole
from accord.release import Machine

MAX_HOURS = 24 * 365
MAX_SHOWN = 20


@click.group("execution")
def group() -> None:
    """Executions: any member stops them at once; the board decides that they go on."""


@group.command()
@click.option(
    "--scope",
    default="board",
    show_default=True,
    help="board, policy:NAME (and what is in its namespace), asset:OWNER/NAME or run:ID.",
)
@click.option("--reason", required=True, help="One line, for everybody to read.")
@click.option("--anyway", is_flag=True, help="Stop also what the log does not know (yet).")
@click.option("--offline-out", type=PATH, metavar="FILE", help="Write the bytes to be signed.")
@home_option
@with_output
def stop(
    out: Output, scope: str, reason: str, offline_out: Path | None, home: Path, *, anyway: bool
) -> None:
    """Stop what is within a scope, at once: nothing is released, no lease is renewed.

    What was released before cannot be taken back; a run without a lease goes on to its end.

    \b
    Example: accord execution stop --scope policy:train --reason "leak suspected" --home ann
    """
    try:
        parse_scope(scope, what="--scope")
    except MalformedError as exc:
        raise click.BadParameter(str(exc), param_hint="--scope") from exc
    member, now = MemberHome.load(home, service=service_url()), datetime.now(UTC)
    now = now.replace(microsecond=0)
    with member.connect() as session:
        _, machine, _ = member.read(session)
        _must_be_known(out, machine, scope, anyway=anyway)
        if offline_out is not None:
            wanted = ExecutionStop(session.board, member.name, scope, reason, now)
            write_unsigned(out, offline_out, "execution-stop", wanted.to_json(), machine)
            return
        stopped, index = stop_execution(member, session, scope, reason, now=now)
    out.fact(f"{member.name} stopped {scope}, entry {index}")
    out.result(
        {"stop": stopped, "scope": scope, "index": index},
        [f"stop   {stopped}", f"scope  {scope}"],
    )


def _must_be_known(out: Output, machine: Machine, scope: str, *, anyway: bool) -> None:
    """Warns of a scope in which there is nothing. Raises ``click.UsageError`` unless ``anyway``."""
    kind, _, name = scope.partition(":")
    board = machine.board
    places: dict[str, Collection[str]] = {
        "policy": board.policies.keys(),
        "asset": board.assets.keys(),
        "run": machine.runs.keys(),
    }
    if kind not in places:
        return
    known = sorted(places[kind])
    if name in known or (kind == "policy" and any(it.startswith(f"{name}/") for it in known)):
        return
    shown = ", ".join(known[:MAX_SHOWN]) or "nothing"
    more = ", …" if len(known) > MAX_SHOWN else ""
    out.warn(f"no {kind} {name} is in force; in force: {shown}{more}")
    if not anyway:
        message = f"nothing is stopped: there is no {kind} {name}; --anyway stops it all the same"
        raise click.UsageError(message)


@group.command()
@click.argument("stop")
@home_option
@with_output
def resume(out: Output, stop: str, home: Path) -> None:
    """Propose that what STOP stopped goes on, and vote for it. The constitution decides.

    \b
    Example: accord execution resume 3fa1 --home ann
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        stopped, record = find_stop(machine, stop)
        action, title = ResumeExecution(stopped), f"resume {record.stop.scope}"
        propose_and_approve(out, member, session, machine, action, title=title)


@group.command()
@home_option
@with_output
def status(out: Output, home: Path) -> None:
    """List what members have stopped, and what goes on again.

    \b
    Example: accord execution status --home ann
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    listed = [_describe(id_, record) for id_, record in machine.board.stops.items()]
    rows = [
        (
            item["stop"],
            item["scope"],
            item["member"],
            "resumed" if item["resumed"] else "stopped",
            item["reason"],
        )
        for item in listed
    ]
    stopped = any(not record.resumed for record in machine.board.stops.values())
    out.result(
        {"stopped": stopped, "stops": [*listed]},
        table(("stop", "scope", "by", "state", "reason"), rows) if rows else "nothing is stopped",
    )


def _describe(id_: Digest, record: StopRecord) -> dict[str, JSONValue]:
    return {
        "stop": id_,
        "scope": record.stop.scope,
        "member": record.stop.member,
        "reason": record.stop.reason,
        "time": format_time(record.stop.time),
        "index": record.index,
        "resumed": record.resumed,
    }


@group.command()
@click.argument("policy")
@click.argument("service")
@click.option(
    "--hours",
    type=click.IntRange(1, MAX_HOURS),
    default=24,
    show_default=True,
    help="How long it may be used.",
)
@click.option("-o", "--out", "target", type=PATH, required=True, help="Where the token goes.")
@home_option
@with_output
def token(out: Output, policy: str, service: str, hours: int, target: Path, home: Path) -> None:
    """Issue a token for one start of a SERVICE of POLICY that is a singleton.

    Whoever has the file may use it, once. Owners of the policy's assets, and members with the
    role operator, may issue tokens.

    \b
    Example: accord execution token train trainer -o token --home ann
    """
    member = MemberHome.load(home, service=service_url())
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
    with member.connect() as session:
        issued = issue_token(member, session, policy=policy, service=service, expires=expires)
    with writing(target):
        write_whole(target, issued.hex().encode() + b"\n", mode=PRIVATE)
    out.fact(f"{member.name} issued a token for {service} of {policy}")
    out.result(
        {"file": str(target), "expires": format_time(expires)},
        [f"token    {target}", f"expires  {format_time(expires)}"],
    )
