# SPDX-License-Identifier: Apache-2.0
"""`accord shield`: the entry point in a TEE."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from accord.cli._options import PATH, read_digest, simulated_option, storage_option, with_output
from accord.cli._output import Output


@click.group("shield")
def group() -> None:
    """The launcher in a TEE: it attests, receives, opens, confines and runs."""


@group.command()
@click.option("--service-url", required=True, help="URL of the trust service.")
@click.option("--board", required=True, help="Genesis digest of the board.")
@click.option("--policy", required=True, help="Name of the policy.")
@click.option("--service", required=True, help="Service of that policy to run.")
@click.option("--memory", type=PATH, help="Mount point of private memory [default: a new one].")
@simulated_option
@storage_option
@with_output
def run(
    out: Output,
    service_url: str,
    board: str,
    policy: str,
    service: str,
    memory: Path | None,
    simulated: Path,
    storage: Path,
) -> None:
    """Run one service of an enacted policy to its end.

    Nothing given here is trusted: what runs, on what, and who reads the outputs comes from
    the attested trust service.

    \b
    Example:
      accord shield run --service-url https://trust.example:8443 --board sha256:… \\
        --policy hospitals --service train --storage operator/storage \\
        --simulated simulated-hardware/host-2
    """
    from accord.evidence import Role
    from accord.shield import Job, launch
    from accord.testing import SimulatedPlatform, simulated_measurements

    attester = SimulatedPlatform.load(simulated).attester(simulated_measurements(Role.SHIELD))
    out.warn("SIMULATED TEE: root on this machine can read everything")
    with tempfile.TemporaryDirectory(prefix="accord-shield-") as place:
        job = Job(
            url=service_url,
            board=read_digest(board, option="--board"),
            policy=policy,
            service=service,
            storage=storage,
            memory=memory or Path(place) / "memory",
        )
        report = launch(job, attester, progress=out.fact)
    out.result(
        {
            "run": report.run,
            "assurance": report.assurance.value,
            "channel": report.channel,
            "index": report.index,
            "outputs": [
                {"name": item.name, "volume_id": item.volume_id, "tag": item.tag}
                for item in report.outputs
            ],
            "service_measurements": report.service_measurements,
            "shield_measurements": report.shield_measurements,
            "program_seconds": round(report.seconds, 3),
            "release_timing": report.timing,
        },
        [
            f"run        {report.run}",
            f"assurance  {report.assurance.value.upper()}",
            f"channel    {report.channel}",
            *(f"output     {item.name} {item.tag}" for item in report.outputs),
        ],
    )
