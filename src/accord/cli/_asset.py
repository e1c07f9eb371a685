# SPDX-License-Identifier: Apache-2.0
"""`accord asset`: what owners offer, and under which terms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from accord.board import AssetOffer, AssetRecord, Terms
from accord.cli._options import PATH, home_option, read_file, service_url, with_output
from accord.cli._output import Output, table
from accord.client import MemberHome, offer_asset, withdraw_asset
from accord.encoding import Fields, JSONValue, format_time
from accord.policy import parse_yaml
from accord.release import Lineage, Machine


@click.group("asset")
def group() -> None:
    """Assets: offer them under your terms, withdraw them at any time."""


def read_terms(path: Path) -> Terms:
    """An owner's terms from a YAML file. Raises ``FileAccessError`` or ``MalformedError``."""
    return Terms.from_fields(Fields(parse_yaml(read_file(path), what=str(path)), "terms"))


def offer_state(machine: Machine, record: AssetRecord) -> str:
    """Whether an offer holds: its owner may have withdrawn it, or be another by now."""
    owner = machine.board.members.get(record.offer.owner)
    if record.withdrawn:
        return "withdrawn"
    if owner is None:
        return "void: its owner has left"
    if owner.identity.verify_key.key_id != record.owner_key:
        return "void: its owner has another key, and must offer it again"
    return "on offer"


@group.command()
@click.argument("name")
@click.option("--terms", type=PATH, required=True, help="YAML: for whom, for what, how often.")
@click.option("--volume", help="Name of the sealed volume [default: the same as the asset].")
@home_option
@with_output
def register(out: Output, name: str, terms: Path, volume: str | None, home: Path) -> None:
    """Offer the latest sealed version of your asset NAME, and deposit its key.

    The key is sealed to the trust service after it was attested, for this offer alone.

    \b
    Example: accord asset register records --terms terms.yaml --home hospital-a
    """
    agreed = read_terms(terms)
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        offer, index = offer_asset(member, session, machine, name, agreed, volume=volume or name)
        member.read(session)  # The home remembers a log that has the offer.
    offered(out, offer, index)


def offered(out: Output, offer: AssetOffer, index: int) -> None:
    """Says that an offer is in the log."""
    out.fact(f"{offer.name} is on offer, entry {index}")
    out.result({"index": index, "offer": offer.to_json()}, f"tag  {offer.tag}")


def erase_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option of both commands that withdraw."""
    return click.option(
        "--erase",
        is_flag=True,
        help="Erase what the trust service keeps of it, too: keys and values of all its offers.",
    )(command)


@group.command()
@click.argument("name")
@erase_option
@home_option
@with_output
def withdraw(out: Output, name: str, home: Path, *, erase: bool) -> None:
    """Withdraw your asset NAME: from now on nothing of it is released, no lease is renewed.

    Lists every result that it went into, through all runs of the board, and every run that
    still holds it. Neither can be called back. Backups that were made before keep what --erase
    erases.

    \b
    Example: accord asset withdraw records --erase --home hospital-a
    """
    withdraw_offer(out, name, home, erase=erase)


def withdraw_offer(out: Output, name: str, home: Path, *, erase: bool) -> None:
    """Withdraws an asset of either kind, and says so."""
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        index = withdraw_asset(member, session, machine, name, erase=erase)
        # A rollback to before the withdrawal is noticed from now on.
        _, machine, _ = member.read(session)
    asset, lineage = f"{member.name}/{name}", Lineage(machine)
    derived, live = lineage.derived(asset), lineage.live(asset, now=datetime.now(UTC))
    out.fact(f"{asset} is withdrawn, entry {index}")
    if erase:
        out.fact("the trust service says that it erased what it kept of it")
        out.warn("backups that were made before still hold it")
    for run in live:
        until = "until it ends" if run.lease_until is None else format_time(run.lease_until)
        out.warn(f"{run.run} still holds it ({until})")
    for item in derived:
        between = f", through {item.runs_between} more" if item.runs_between else ""
        out.warn(f"{item.run}/{item.output} was made with it{between}")
    document: dict[str, JSONValue] = {
        "index": index,
        "asset": asset,
        "erased": erase,
        "derived": [item.to_json() for item in derived],
        "live": [run.to_json() for run in live],
    }
    out.result(document, f"index  {index}")


@group.command("list")
@home_option
@with_output
def list_(out: Output, home: Path) -> None:
    """List the board's assets with their terms and uses.

    \b
    Example: accord asset list --home clinic --json
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    listed = [_describe(machine, item) for item in machine.board.assets.values()]
    out.result(
        {"assets": listed},
        table(
            ("asset", "kind", "state", "uses", "minimum", "tag"),
            [
                (
                    item["asset"],
                    item["kind"],
                    item["state"],
                    f"{item['uses']} of {item['terms']['max_uses']}",
                    item["terms"]["min_assurance"],
                    item["tag"],
                )
                for item in listed
            ],
        ),
    )


def _describe(machine: Machine, record: AssetRecord) -> dict[str, JSONValue]:
    offer = record.offer
    return {
        "asset": offer.name,
        "kind": offer.kind.value,
        "owner": offer.owner,
        "state": offer_state(machine, record),
        "tag": offer.tag,
        "withdrawn": record.withdrawn,
        "uses": machine.uses.get(record.offered_by, 0),
        "terms": offer.terms.to_json(),
    }
