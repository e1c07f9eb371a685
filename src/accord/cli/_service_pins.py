# SPDX-License-Identifier: Apache-2.0
"""What a command line says of a trust service before anybody looks: its code, its key, roots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli._options import PATH, read_digest, read_file
from accord.encoding import Fields, JSONValue, parse_digest, parse_json
from accord.evidence import PRODUCTION_ROOTS
from accord.policy import AttestationVariant

if TYPE_CHECKING:
    from accord.client import ServicePins

_OPTIONS = (
    click.option("--trust", type=PATH, help="JSON of `accord attest reference --role service`."),
    click.option(
        "--measurement",
        "measurements",
        multiple=True,
        metavar="NAME=HEX",
        help="A register of a TDX service, for instance mrtd; once per register.",
    ),
    click.option("--identity", metavar="KEYID", help="Id of the key that signs its logs."),
    click.option(
        "--anchor",
        "anchors",
        multiple=True,
        metavar="DIGEST",
        help="A root to trust, instead of the hardware vendors'.",
    ),
    click.option(
        "--accept-simulated", is_flag=True, help="With --measurement: NOT HARDWARE is fine."
    ),
)


def pins_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that `read_pins` reads, all by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_pins(
    *,
    trust: Path | None,
    measurements: tuple[str, ...],
    identity: str | None,
    anchors: tuple[str, ...],
    accept_simulated: bool,
) -> ServicePins | None:
    """What was named; ``None`` where nothing was that tells one service from another.

    Raises ``click.BadParameter``, ``FileAccessError`` or ``MalformedError``.
    """
    from accord.client import ServicePins

    digests = [read_digest(text, option="--anchor") for text in anchors]
    variants: list[JSONValue] = []
    if trust is not None:
        reference = Fields(parse_json(read_file(trust), what=str(trust)), str(trust))
        digests += [parse_digest(value, what=where) for where, value in reference.items("anchors")]
        variants += [value for _, value in reference.items("attestation")]
        reference.end()
    if measurements:
        registers: dict[str, JSONValue] = {}
        for item in measurements:
            name, separator, value = item.partition("=")
            if not separator:
                raise click.BadParameter(
                    f"expected NAME=HEX, found {item!r}", param_hint="--measurement"
                )
            registers[name] = [value]
        variants.append({"family": "tdx", "simulated": accept_simulated, "measurements": registers})
    if not variants and identity is None:
        return None
    return ServicePins(
        tuple(digests or PRODUCTION_ROOTS),
        tuple(AttestationVariant.from_fields(Fields(item, "service")) for item in variants),
        None if identity is None else read_digest(identity, option="--identity"),
    )
