# SPDX-License-Identifier: Apache-2.0
"""`accord doctor`: which TEEs and tools this machine has."""

from __future__ import annotations

from pathlib import Path

import click

from accord.attesters import Machine, survey
from accord.cli._options import PATH, with_output
from accord.cli._output import Output, table


@click.command("doctor")
@click.option("--root", type=PATH, default=Path("/"), hidden=True)
@with_output
def group(out: Output, root: Path) -> None:
    """List which TEEs this machine can attest with, which tools it has, and what is missing.

    Looks at devices, files, programs and packages; asks no TEE for evidence, uses no network.
    Always ends with 0: a machine without any TEE is a fine machine to verify on.

    \b
    Example: accord doctor
    """
    findings = survey(Machine(root=root))
    rows = [
        (item.name, "present" if item.present else "absent", item.what, item.detail)
        for item in findings
    ]
    lines = table(("name", "state", "what", "detail"), rows)
    for item in findings:
        if item.present:
            lines += [f"! {item.name}: {lack}" for lack in item.missing]
    out.result(
        {"schema": "accord.doctor.v1", "findings": [item.to_json() for item in findings]}, lines
    )
