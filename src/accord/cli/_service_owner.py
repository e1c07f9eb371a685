# SPDX-License-Identifier: Apache-2.0
"""`accord service claim` and `configure`: what the owner of a trust service decides."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli._options import home_option, with_output
from accord.cli._output import Output
from accord.cli._service_pins import pins_options, read_pins

if TYPE_CHECKING:
    from accord.client import Counter, ServiceClaim, ServiceConfig, ServicePins


@click.command()
@click.option("--url", required=True, help="URL of the trust service.")
@home_option
@pins_options
@with_output
def claim(out: Output, /, url: str, home: Path, **named: Any) -> None:
    """Claim a fresh trust service: it founds no board before somebody owns it.

    It is attested first, by what you name. The first claim holds for ever; claiming again with
    the same key changes nothing. An owner can read no secret of any board.

    \b
    Example: accord service claim --url https://trust.example:8443 --trust service.json --home me
    """
    from accord.client import AttestedService
    from accord.identity import FileIdentity

    owner = FileIdentity.load(home)
    with AttestedService.attest(url, _pins_needed(named)) as service:
        out.fact("trust service attested")
        held = service.claim(owner)
        owned = service.owner()
        _show_owner(out, service.identity, held, owned.config, owned.counter)


@click.command()
@click.option("--url", required=True, help="URL of the trust service.")
@home_option
@click.option(
    "--founding",
    type=click.Choice(["anyone", "owner"]),
    help="Whose boards it takes on: with `owner`, those of which your key is a founder.",
)
@click.option("--max-boards", type=click.IntRange(0, 1_000_000), help="How many it takes on.")
@click.option(
    "--accept-counter",
    type=click.IntRange(0),
    metavar="VALUE",
    help="Take its store for the latest one, although its counter is at VALUE.",
)
@click.option(
    "--requests-per-s",
    type=click.IntRange(10, 1_000_000),
    help="What it answers to one address, or about one board.",
)
@pins_options
@with_output
def configure(
    out: Output,
    /,
    url: str,
    home: Path,
    founding: str | None,
    max_boards: int | None,
    requests_per_s: int | None,
    accept_counter: int | None,
    **named: Any,
) -> None:
    """Set what your trust service takes on and answers; boards that are there already stay.

    What is not named stays as it is.

    \b
    Example:
      accord service configure --url https://trust.example:8443 --trust service.json --home me \\
        --founding owner
    """
    from accord.client import AttestedService, Founding
    from accord.errors import NotClaimedError
    from accord.identity import FileIdentity

    owner = FileIdentity.load(home)
    with AttestedService.attest(url, _pins_needed(named)) as service:
        config = service.configure(
            owner,
            founding=None if founding is None else Founding(founding),
            max_boards=max_boards,
            requests_per_s=requests_per_s,
            counter=accept_counter,
        )
        owned = service.owner()
        if owned.claim is None:
            raise NotClaimedError
        _show_owner(out, service.identity, owned.claim, config, owned.counter)


def _pins_needed(named: dict[str, Any]) -> ServicePins:
    pins = read_pins(**named)
    if pins is None:
        raise click.UsageError("say which service is meant: --trust, --measurement or --identity")
    return pins


def _show_owner(
    out: Output, service: str, held: ServiceClaim, config: ServiceConfig, counter: Counter | None
) -> None:
    owner = held.owner
    lines = [
        f"service   {service}",
        f"owner     {owner.name}, {owner.verify_key.key_id}",
        f"founding  {config.founding.value}, at most {config.max_boards} boards",
        f"requests  {config.requests_per_s} a second for one address or board",
    ]
    if counter is not None:
        expected = "nothing" if counter.expected is None else counter.expected
        lines.append(f"counter   {counter.value}, the store knows {expected}: {counter.standing}")
    out.result(
        {
            "service": service,
            "owner": owner.to_json(),
            "founding": config.founding.value,
            "max_boards": config.max_boards,
            "requests_per_s": config.requests_per_s,
            "counter": None if counter is None else asdict(counter),
        },
        lines,
    )
