# SPDX-License-Identifier: Apache-2.0
"""`accord sim`: simulated hardware."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli._options import PATH, with_output, writing
from accord.cli._output import Output


@click.group("sim")
def group() -> None:
    """Simulated hardware: real evidence bytes under a test root, and no protection at all."""


@group.command()
@click.argument("home", type=PATH)
@with_output
def vendor(out: Output, home: Path) -> None:
    """Make a CPU vendor in HOME: its root key, certificates and collateral.

    \b
    Example: accord sim vendor simulated-hardware/vendor
    """
    from accord.testing import SimulatedVendor

    with writing(home):
        made = SimulatedVendor.create(home)
    out.warn("SIMULATED: whoever holds this folder can forge evidence")
    out.result({"anchor": made.root_digest, "simulated": True}, f"anchor  {made.root_digest}")


@group.command()
@click.argument("home", type=PATH)
@click.option("--vendor", "vendor_home", type=PATH, required=True, help="The vendor's folder.")
@with_output
def platform(out: Output, home: Path, vendor_home: Path) -> None:
    """Make a machine of that vendor in HOME: what its silicon would hold.

    \b
    Example: accord sim platform simulated-hardware/host-1 --vendor simulated-hardware/vendor
    """
    from accord.testing import SimulatedPlatform

    with writing(home):
        made = SimulatedPlatform.create(home, vendor_home)
    out.warn("SIMULATED: whoever holds this folder can forge evidence")
    out.result(
        {"anchor": made.vendor.root_digest, "simulated": True},
        f"anchor  {made.vendor.root_digest}",
    )
