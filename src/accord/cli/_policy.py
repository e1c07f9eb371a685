# SPDX-License-Identifier: Apache-2.0
"""`accord policy`: checking offline, and what is in force."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli._options import PATH, home_option, read_file, service_url, with_output
from accord.cli._output import Output
from accord.client import MemberHome
from accord.errors import NoPolicyError
from accord.policy import Policy, diff, parse_policy


@click.group("policy")
def group() -> None:
    """Policies: who may run what on whose data, and who reads what comes out."""


def _show(out: Output, policy: Policy) -> None:
    sentences = [change.sentence for change in diff(None, policy)]
    out.result(
        {"digest": policy.digest, "policy": policy.to_json(), "sentences": sentences},
        [f"policy  {policy.name}", f"digest  {policy.digest}", *sentences],
    )


@group.command()
@click.argument("file", type=PATH)
@with_output
def check(out: Output, file: Path) -> None:
    """Check a policy FILE offline and say in sentences what it allows.

    \b
    Example: accord policy check policy.yaml
    """
    _show(out, parse_policy(read_file(file)))


@group.command()
@click.argument("name")
@home_option
@with_output
def show(out: Output, name: str, home: Path) -> None:
    """Show the version of policy NAME that is in force.

    \b
    Example: accord policy show hospitals --home clinic
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    policy = machine.board.policy(name)
    if policy is None:
        raise NoPolicyError(policy=name)
    _show(out, policy)
