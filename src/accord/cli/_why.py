# SPDX-License-Identifier: Apache-2.0
"""`accord why`: who gets a secret or an asset, and through which chain of consent."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import click

from accord.cli._options import home_option, service_url, with_output
from accord.cli._output import Output
from accord.cli._tree import Node, draw
from accord.client import MemberHome
from accord.encoding import format_time, parse_time
from accord.errors import NoPolicyError, NoSuchSecretError, UnknownAssetError
from accord.policy import AttestationVariant, variant_terms
from accord.release import (
    Allowance,
    Enacted,
    Explanation,
    Machine,
    Recipient,
    explain_asset,
    explain_secret,
)


@click.command("why")
@click.argument("subject", metavar="POLICY/SECRET|OWNER/ASSET")
@home_option
@with_output
def group(out: Output, subject: str, home: Path) -> None:
    """Explain who gets a secret or an asset, and on whose word.

    The log is replayed: every chain ends with the votes and terms that allow it, each with the
    entry that it stands in.

    \b
    Examples:
      accord why train/db-password --home clinic
      accord why hospital-a/records --home clinic --json
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    now = datetime.now(UTC)
    found = explanations(machine, subject, parse_time(format_time(now), what="now"))
    out.result(
        {"schema": "accord.why.v1", "explanations": [item.to_json() for item in found]},
        [line for item in found for line in draw(_node(item))],
    )


def explanations(machine: Machine, subject: str, now: datetime) -> list[Explanation]:
    """A policy's secret and an asset may have the same name: then both.

    Raises ``NoSuchSecretError`` where there is neither.
    """
    found = []
    with contextlib.suppress(UnknownAssetError):
        found.append(explain_asset(machine, subject, now=now))
    policy, _, secret = subject.rpartition("/")
    with contextlib.suppress(NoPolicyError, NoSuchSecretError, UnknownAssetError):
        explained = explain_secret(machine, policy, secret, now=now)
        found += [explained] if explained not in found else []
    if not found:
        raise NoSuchSecretError(policy=policy or "(none)", secret=secret)
    return found


def _node(item: Explanation) -> Node:
    below: list[Node] = [_recipient(recipient) for recipient in item.recipients]
    if not below:
        below.append(("nobody gets it: no service in force names it", ()))
    below += [(f"elsewhere: {words}", ()) for words in item.elsewhere]
    below += [(f"computed from it: {asset}", ()) for asset in item.derived]
    below += [
        (f"stopped: {it.stop.scope} by {it.stop.member}, entry {it.index}: {it.stop.reason}", ())
        for it in item.stops
    ]
    return f"{item.subject}: {item.origin}", below


def _recipient(item: Recipient) -> Node:
    now = "released" if item.refusal is None else f"REFUSED: {item.refusal}"
    readers = [f"{output} for {', '.join(members)}" for output, members in item.readers]
    below: list[Node] = [
        (f"as: {', '.join(item.given_as)}", ()),
        ("through:", [(step, ()) for step in item.chain]),
        ("only inside:", [(_variant(variant), ()) for variant in item.attestation]),
        (f"needs: {', '.join(item.factors)}", ()),
        (f"results: {'; '.join(readers) or 'none'}", ()),
    ]
    if item.network_open:
        below.append(("the network is OPEN: the program may send it anywhere", ()))
    if item.allowances:
        below.append(("terms:", [(_allowance(allowance), ()) for allowance in item.allowances]))
    below += [_enacted(enacted) for enacted in item.enacted]
    rules = [(f"{source}: {json.dumps(rule.to_json())}", ()) for source, rule in item.changed_by]
    below += [("could be changed by:", rules), (f"now: {now}", ())]
    return f"service {item.service} of policy {item.policy} {item.version}", below


def _variant(variant: AttestationVariant) -> str:
    terms = [f"{what} {' or '.join(values)}" for what, values in variant_terms(variant)]
    simulated = " SIMULATED" if variant.simulated else ""
    return f"{variant.family}{simulated}, {'; '.join(terms)}"


def _allowance(item: Allowance) -> str:
    if item.withdrawn:
        return f"{item.asset}: withdrawn"
    until = format_time(item.not_after)
    return f"{item.asset}: {item.uses_left} more uses until {until}, entry {item.entry}"


def _enacted(item: Enacted) -> Node:
    votes: list[Node] = [
        (f"{member}: {choice}, entry {entry}", ()) for member, choice, entry in item.votes
    ]
    words = f"policy {item.policy} by proposal {item.proposal}, entry {item.entry}"
    return words, votes
