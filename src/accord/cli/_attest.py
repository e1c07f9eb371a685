# SPDX-License-Identifier: Apache-2.0
"""`accord attest`: reference values."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli._options import simulated_option, with_output
from accord.cli._output import Output
from accord.evidence import Role


@click.group("attest")
def group() -> None:
    """What this installation measures as in a TEE, for genesis and policies to name."""


@group.command()
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="The trust service, or the shield that runs programs.",
)
@simulated_option
@with_output
def reference(out: Output, role: str, simulated: Path) -> None:
    """Print trust anchor and attestation variant of this installation.

    Compute it yourself, from code that you reviewed: a value that somebody sends you proves
    nothing.

    \b
    Example: accord attest reference --role shield --simulated simulated-hardware/host-2
    """
    from accord.testing import SimulatedPlatform, simulated_measurements

    platform = SimulatedPlatform.load(simulated)
    measured = simulated_measurements(Role(role))
    named = {name: [measured[name].hex()] for name in ("mrtd", "rtmr0", "mrconfigid")}
    variant = {"family": "tdx", "simulated": True, "measurements": named}
    out.warn("SIMULATED: measured in software, by the program that is being measured")
    out.result(
        {"anchors": [platform.vendor.root_digest], "attestation": [variant]},
        [
            f"anchor      {platform.vendor.root_digest}",
            *(f"{name.ljust(11)} {values[0]}" for name, values in named.items()),
        ],
    )
