# SPDX-License-Identifier: Apache-2.0
"""`accord service handover` and `follow`: a board moves to another running trust service."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli._options import home_option, with_output
from accord.cli._output import Output


@click.command()
@home_option
@click.option("--from", "source", required=True, metavar="URL", help="The service that has it.")
@click.option("--to", "target", required=True, metavar="URL", help="The service that goes on.")
@with_output
def handover(out: Output, home: Path, source: str, target: str) -> None:
    """Move your board from one running trust service to another; programs keep their leases.

    The members have voted that they accept both (`service.replace`). Each attests the other.
    You are a founder of the board, or a member who owns the new service. Cut off anywhere, run
    it again: until the log names the new service nothing has happened, then it is the only one.

    \b
    Example:
      accord service handover --home hospital-a --from https://old.example:8443 \\
        --to https://new.example:8443
    """
    from accord.client import MemberHome, follow_board, hand_over

    member = MemberHome.load(home, service=source)
    with member.connect() as session:
        out.fact(f"service attested: {source}")
        done = hand_over(member, session, source=source, target=target)
    out.fact("the other one was attested, and the charter in force accepts it")
    follow_board(member, url=target)
    out.fact("its log continues what this home saw last")
    out.result(
        {
            "board": member.genesis.digest,
            "size": done.size + 1,
            "service": target,
            "log_key": done.key.key_id,
        },
        [
            f"board  {member.genesis.digest}",
            f"log    goes on at {target}, signed by {done.key.key_id}",
            "the other members run: accord service follow",
        ],
    )


@click.command()
@home_option
@click.option("--to", "url", metavar="URL", help="Where, if the service before is gone.")
@with_output
def follow(out: Output, home: Path, url: str | None) -> None:
    """Use the service to which your board was handed over: attested, and with the same log.

    The service before says who that is. Without it, name the address: your home must then have
    read of the vote that accepted the new service.

    \b
    Example: accord service follow --home hospital-b
    """
    from accord.client import MemberHome, follow_board

    moved = follow_board(MemberHome.load(home), url=url)
    out.result(
        {"board": moved.genesis.digest, "service": moved.service},
        f"{moved.genesis.digest}: attested, and its log goes on, at {moved.service}",
    )
