# SPDX-License-Identifier: Apache-2.0
"""`accord recovery`: a member's share of the root secret, and bringing a board back with it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli._options import home_option, service_url, with_output
from accord.cli._output import Output
from accord.encoding import JSONValue, base64_encode
from accord.errors import LogKeyNeededError, NoRecoveryPlanError, SharesMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accord.client import MemberHome, RecoveryOffer, SeenRecovery, TrustSession

SHOWN = 16
"""How many hex digits of a boot, a digest or a root people compare."""


@click.group("recovery")
def group() -> None:
    """Bring a board back on another machine: enough members look, and give their shares."""


@contextmanager
def _session(home: Path) -> Iterator[tuple[MemberHome, TrustSession]]:
    from accord.client import MemberHome

    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        yield member, session


def _document(offer: RecoveryOffer) -> dict[str, JSONValue]:
    header = offer.header
    return {
        "board": header.board,
        "boot": base64_encode(offer.boot),
        "epoch": header.epoch,
        "size": header.size,
        "root": header.root.hex(),
        "opened": offer.opened,
        "given": list(offer.given),
        "missing": list(offer.missing),
    }


def _lines(offer: RecoveryOffer) -> list[str]:
    header = offer.header
    return [
        f"board    {header.board}",
        f"log      {header.size} entries, root {header.root.hex()[:SHOWN]}…, epoch {header.epoch}",
        f"boot     {offer.boot.hex()[:SHOWN]}…",
        f"given    {', '.join(offer.given) or 'no share yet'}",
        f"missing  {_missing(offer)}",
    ]


def _missing(offer: RecoveryOffer) -> str:
    if not offer.opened:
        return "somebody who opens the log: accord recovery show"
    return ", ".join(offer.missing) or "nothing: accord recovery open"


def _told(out: Output, session: TrustSession, seen: SeenRecovery) -> None:
    code = session.result.claims
    out.fact(f"service attested: {code.family.value}, {code.assurance.value}")
    out.fact("the charter in force names such a service")
    out.fact(f"log replayed: {seen.ledger.size} entries, the latest of {seen.ledger.last_time}")
    out.fact("it continues what this home saw last")
    if code.assurance.value == "simulated":
        out.warn("assurance  SIMULATED: no hardware protects it")


@group.command()
@home_option
@with_output
def check(out: Output, home: Path) -> None:
    """Check that you hold your share: that it opens, and is the one in the log.

    \b
    Example: accord recovery check --home hospital-a
    """
    from accord.client import own_share

    with _session(home) as (member, session):
        _, machine, _ = member.read(session)
        shares = machine.root_shares
        if shares is None:
            raise NoRecoveryPlanError(board=session.board)
        own_share(member.identity, shares)
    out.fact("your share opens, and is the one that the log speaks of")
    out.result(
        {
            "board": session.board,
            "epoch": shares.epoch,
            "threshold": shares.threshold,
            "holders": sorted(shares.shares),
        },
        f"{shares.threshold} of {len(shares.shares)} members bring the board back "
        f"(epoch {shares.epoch}): {', '.join(sorted(shares.shares))}",
    )


@group.command()
@home_option
@with_output
def show(out: Output, home: Path) -> None:
    """Attest the new service, open and replay its log, compare it with what you saw last.

    Refused where your home has seen more than the backup holds, or another log.

    \b
    Example: accord recovery show --home hospital-a
    """
    from accord.client import recovery_offer, see_recovery

    with _session(home) as (member, session):
        seen = see_recovery(member, session)
        _told(out, session, seen)
        offer = recovery_offer(session)
    out.result(_document(offer), _lines(offer))


@group.command()
@home_option
@with_output
def share(out: Output, home: Path) -> None:
    """Look as `show` does, then give your share to this boot of this service.

    The share is sealed to the boot: started again, the service knows nothing of it.

    \b
    Example: accord recovery share --home hospital-a
    """
    from accord.client import give_share, see_recovery

    with _session(home) as (member, session):
        seen = see_recovery(member, session)
        _told(out, session, seen)
        offer = give_share(member, session, seen)
    out.result(_document(offer), _lines(offer))


@group.command("open")
@home_option
@with_output
def open_(out: Output, home: Path) -> None:
    """Let the board go on, once enough members gave their shares.

    \b
    Example: accord recovery open --home hospital-a
    """
    from accord.client import open_board

    with _session(home) as (member, session):
        open_board(session)
        ledger, machine, _ = member.read(session)
    key = machine.log_key.key_id if machine.log_key else ""
    out.result(
        {"board": session.board, "size": ledger.size, "log_key": key},
        [f"board  {session.board}", f"log    goes on with {ledger.size} entries, signed by {key}"],
    )


@group.command()
@home_option
@with_output
def status(out: Output, home: Path) -> None:
    """Show how far the recovery is; ends with 6 while shares are missing.

    \b
    Example: accord recovery status --home hospital-a
    """
    from accord.client import recovery_offer

    with _session(home) as (_, session):
        offer = recovery_offer(session)
    out.result(_document(offer), _lines(offer))
    if not offer.opened:
        raise LogKeyNeededError(board=session.board)
    if offer.missing:
        raise SharesMissingError(missing=", ".join(offer.missing))
