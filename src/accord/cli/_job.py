# SPDX-License-Identifier: Apache-2.0
"""`accord job`: runs as the log has them, and their outputs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from accord.cli._options import (
    PATH,
    home_option,
    service_url,
    storage_option,
    with_output,
    writing,
)
from accord.cli._output import Output, table
from accord.client import MemberHome
from accord.encoding import JSONValue, format_time
from accord.errors import FileAccessError, NoSuchRunError
from accord.jobs import fetch_output
from accord.release import RunRecord


@click.group("job")
def group() -> None:
    """Runs: what was released, what went in, what came out, and for whom."""


def _state(record: RunRecord) -> str:
    """How a run ended; one that has not may have lost its lease."""
    if record.statement is not None:
        return record.statement.outcome.value
    if record.lease_until is not None and datetime.now(UTC) >= record.lease_until:
        return "lease ended"
    return "released"


def _describe(record: RunRecord) -> dict[str, JSONValue]:
    release, ended = record.release, record.statement
    until = record.lease_until
    return {
        "run": release.run,
        "policy": release.policy,
        "service": release.service,
        "assurance": release.assurance.value,
        "entry": record.index,
        "state": _state(record),
        "channel": release.channel.value,
        "lease_until": format_time(until) if until is not None else None,
        "inputs": [use.asset for use in release.uses],
        "secrets": [use.to_json() for use in release.secrets],
        "outputs": [
            {
                "name": item.name,
                "tag": item.tag,
                "readers": [reader for reader, _ in item.sealed_keys],
            }
            for item in (ended.outputs if ended else ())
        ],
    }


@group.command("list")
@home_option
@with_output
def list_(out: Output, home: Path) -> None:
    """List all runs of the board.

    \b
    Example: accord job list --home clinic
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    runs = [_describe(record) for record in machine.runs.values()]
    columns = ("run", "policy", "service", "assurance", "state")
    out.result({"runs": runs}, table(columns, [[run[c] for c in columns] for run in runs]))


@group.command()
@click.argument("run")
@home_option
@with_output
def show(out: Output, run: str, home: Path) -> None:
    """Show one RUN.

    \b
    Example: accord job show run-0123456789abcdef0123456789abcdef --home clinic
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    if run not in machine.runs:
        raise NoSuchRunError(run=run)
    said = _describe(machine.runs[run])
    outputs = [f"{item['name']} for {', '.join(item['readers'])}" for item in said["outputs"]]
    secrets = [f"{item['name']} of {item['source']}" for item in said["secrets"]]
    out.result(
        said,
        [
            *(f"{key.ljust(10)} {said[key]}" for key in ("run", "policy", "service", "state")),
            f"assurance  {said['assurance'].upper()}",
            f"channel    {said['channel']}",
            f"lease      {said['lease_until'] or 'to its end'}",
            f"inputs     {', '.join(said['inputs']) or '-'}",
            f"secrets    {', '.join(secrets) or '-'}",
            f"outputs    {'; '.join(outputs) or '-'}",
        ],
    )


@group.command()
@click.argument("run")
@click.argument("output")
@click.option("--to", "target", type=PATH, required=True, help="A new folder for the plaintext.")
@home_option
@storage_option
@with_output
def fetch(out: Output, run: str, output: str, target: Path, home: Path, storage: Path) -> None:
    """Decrypt OUTPUT of RUN with your own key, if it was made for you.

    \b
    Example:
      accord job fetch run-0123456789abcdef0123456789abcdef model --to model \\
        --home clinic --storage operator/storage
    """
    if target.exists():
        raise FileAccessError(action="write", path=target, detail="it exists already")
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    with writing(target):
        version = fetch_output(member, machine, run=run, output=output, storage=storage, to=target)
    out.fact(f"{output} of {run} is the version in the log")
    out.result({"tag": version.tag, "files": version.files}, f"tag  {version.tag}")
