# SPDX-License-Identifier: Apache-2.0
"""`accord secret`: values that you share with policies, and what policies have. Never a value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from accord.board import AssetKind
from accord.cli._asset import erase_option, offer_state, offered, read_terms, withdraw_offer
from accord.cli._options import (
    PATH,
    home_option,
    read_file,
    read_stdin,
    service_url,
    with_output,
)
from accord.cli._output import Output, table
from accord.client import MemberHome, deposit_secret, rotate_secret
from accord.encoding import JSONValue
from accord.errors import NoPolicyError, NoSuchSecretError
from accord.policy import Policy, SecretSpec, carried_over
from accord.release import Machine
from accord.secrets import MAX_DEPOSIT


@click.group("secret")
def group() -> None:
    """Secrets: deposit yours under your terms, see which there are. Values are never shown."""


def _value_options(command: Any) -> Any:
    """The two ways in for a value; an argument would be in the list of processes."""
    command = click.option("--stdin", is_flag=True, help="Read the value from standard input.")(
        command
    )
    return click.option("--file", type=PATH, help="Read the value from a file, byte for byte.")(
        command
    )


def _read_value(file: Path | None, *, stdin: bool) -> bytes:
    if (file is None) is not stdin:
        raise click.UsageError("give the value with --file or with --stdin, one of them")
    return read_stdin(limit=MAX_DEPOSIT) if file is None else read_file(file, limit=MAX_DEPOSIT)


@group.command()
@click.argument("name")
@_value_options
@click.option("--terms", type=PATH, required=True, help="YAML: for whom, for what, how often.")
@home_option
@with_output
def put(out: Output, name: str, file: Path | None, terms: Path, home: Path, *, stdin: bool) -> None:
    """Deposit a value as your secret NAME, under your terms.

    The value is sealed to the trust service after it was attested. The log has the digest of a
    salt and the value. Every byte counts, a line break at the end too.

    \b
    Example:
      accord secret put db-password --stdin --terms terms.yaml --home hospital-a < password
    """
    agreed, value = read_terms(terms), _read_value(file, stdin=stdin)
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        offer, index = deposit_secret(member, session, machine, name, value, terms=agreed)
        member.read(session)  # The home remembers a log that has the offer.
    offered(out, offer, index)


@group.command()
@click.argument("name")
@_value_options
@click.option("--terms", type=PATH, help="Other terms [default: those of the offer it replaces].")
@home_option
@with_output
def rotate(
    out: Output, name: str, file: Path | None, terms: Path | None, home: Path, *, stdin: bool
) -> None:
    """Deposit another value for your secret NAME; uses are counted anew.

    No vote is needed: policies name the secret, not its value. Services that run keep the old
    one until they end.

    \b
    Example: accord secret rotate db-password --file password --home hospital-a
    """
    agreed = read_terms(terms) if terms is not None else None
    value = _read_value(file, stdin=stdin)
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        offer, index = rotate_secret(member, session, machine, name, value, terms=agreed)
        member.read(session)
    offered(out, offer, index)


@group.command()
@click.argument("name")
@erase_option
@home_option
@with_output
def withdraw(out: Output, name: str, home: Path, *, erase: bool) -> None:
    """Withdraw your secret NAME: from now on it is released to nobody.

    \b
    Example: accord secret withdraw db-password --erase --home hospital-a
    """
    withdraw_offer(out, name, home, erase=erase)


@group.command("list")
@home_option
@with_output
def list_(out: Output, home: Path) -> None:
    """List the secrets of all policies in force, and those that members deposited.

    \b
    Example: accord secret list --home clinic
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    listed = [*_of_policies(machine), *_deposited(machine)]
    columns = ("secret", "kind", "source", "state")
    out.result({"secrets": listed}, table(columns, [[row[c] for c in columns] for row in listed]))


def _of_policies(machine: Machine) -> Iterator[dict[str, JSONValue]]:
    for name, versions in machine.board.policies.items():
        policy = versions[-1]
        before = versions[-2].secrets if len(versions) > 1 else {}
        fates = carried_over(before, policy.secrets)
        for secret, spec in policy.secrets.items():
            yield {
                "secret": f"{name}/{secret}",
                "kind": spec.kind.value,
                "source": _source(spec),
                "state": f"{fates[secret]} by {policy.digest[:19]}…",
                "public": secret in machine.board.public.get(name, {}),
            }


def _source(spec: SecretSpec) -> str:
    if spec.asset is not None:
        return f"asset {spec.asset}"
    if spec.policy is None:
        return "the trust service"
    where = f" on {spec.service.board[:19]}…" if spec.service is not None else ""
    return f"policy {spec.policy}/{spec.secret}{where}"


def _deposited(machine: Machine) -> Iterator[dict[str, JSONValue]]:
    for record in machine.board.assets.values():
        if record.offer.kind is AssetKind.SECRET:
            used = machine.uses.get(record.offered_by, 0)
            yield {
                "secret": record.offer.name,
                "kind": "deposited",
                "source": f"member {record.offer.owner}",
                "state": f"{offer_state(machine, record)},"
                f" {used} of {record.offer.terms.max_uses} uses",
                "public": False,
            }


@group.command()
@click.argument("policy")
@click.argument("name", required=False)
@home_option
@with_output
def public(out: Output, policy: str, name: str | None, home: Path) -> None:
    """Print the certificates and public keys of POLICY, as the log has them.

    The certificate of a policy's own authority is called `authority`.

    \b
    Example: accord secret public train authority --home clinic > authority.pem
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    enacted = machine.board.policy(policy)
    if enacted is None:
        raise NoPolicyError(policy=policy)
    parts = _public_parts(machine, enacted, name)
    out.result(
        {"policy": policy, "version": enacted.digest, "public": parts},
        [line for part in parts.values() for line in part.splitlines()],
    )


def _public_parts(machine: Machine, policy: Policy, name: str | None) -> dict[str, str]:
    parts = dict(machine.board.public.get(policy.name, {}))
    if name is None:
        return parts
    if name not in parts:
        raise NoSuchSecretError(policy=policy.name, secret=f"{name} with a public part")
    return {name: parts[name]}
