# SPDX-License-Identifier: Apache-2.0
"""`accord shield`: the entry point in a TEE."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from accord.cli._options import (
    PATH,
    read_digest,
    read_file,
    read_stdin,
    simulated_option,
    storage_option,
    with_output,
)
from accord.cli._output import Output
from accord.errors import CommandLineError, MalformedError
from accord.policy import Channel
from accord.release import TOKEN_BYTES

_MAX_FACTOR = 1024
"""Largest file with a second factor, in bytes; both have less than a hundred."""

_MAX_OTP = 16

_STDIN = Path("-")


@click.group("shield")
def group() -> None:
    """The launcher in a TEE: it attests, receives, opens, confines and runs."""


@group.command()
@click.option("--service-url", required=True, help="URL of the trust service.")
@click.option("--board", required=True, help="Genesis digest of the board.")
@click.option("--policy", required=True, help="Name of the policy.")
@click.option("--service", required=True, help="Service of that policy to run.")
@click.option("--token-file", type=PATH, help="File with the instance token, - for stdin.")
@click.option("--otp-file", type=PATH, help="File with the one-time password, - for stdin.")
@click.option(
    "--channel",
    type=click.Choice([Channel.L1.value, Channel.L2.value]),
    default=Channel.L2.value,
    show_default=True,
    help="Channel level.",
)
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
    token_file: Path | None,
    otp_file: Path | None,
    channel: str,
    memory: Path | None,
    simulated: Path,
    storage: Path,
) -> None:
    """Run one service of an enacted policy to its end.

    Nothing given here is trusted: what runs, on what, and who reads the outputs comes from
    the attested trust service. Second factors are read from files, because every user of
    this machine can read a command line.

    \b
    Example:
      accord shield run --service-url https://trust.example:8443 --board sha256:… \\
        --policy hospitals --service train --storage operator/storage \\
        --simulated simulated-hardware/host-2
    """
    from accord.evidence import Role
    from accord.shield import Job, launch
    from accord.testing import SimulatedPlatform, simulated_measurements

    token, otp = _read_factors(token_file, otp_file)
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
            channel=Channel(channel),
            token=token,
            otp=otp,
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


def _read_factors(token: Path | None, otp: Path | None) -> tuple[bytes | None, str | None]:
    """The instance token and the one-time password; what they are for is not known here."""
    if token == otp == _STDIN:
        raise CommandLineError(detail="--token-file and --otp-file cannot both be -")
    value = None
    if token is not None:
        try:
            value = bytes.fromhex(_read_factor(token, what="instance token"))
        except ValueError:
            value = b""
        if len(value) != TOKEN_BYTES:
            # What the file has instead is not quoted: it may be another secret.
            detail = f"expected {2 * TOKEN_BYTES} hex digits"
            raise MalformedError(what="instance token", detail=detail)
    password = None if otp is None else _read_factor(otp, what="one-time password")
    if password is not None and not 1 <= len(password) <= _MAX_OTP:
        detail = f"expected 1 to {_MAX_OTP} characters"
        raise MalformedError(what="one-time password", detail=detail)
    return value, password


def _read_factor(path: Path, *, what: str) -> str:
    """One line of text."""
    data = read_stdin(limit=_MAX_FACTOR) if path == _STDIN else read_file(path, limit=_MAX_FACTOR)
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        text = "\n"
    if not text.isprintable():
        raise MalformedError(what=what, detail="expected one line of text")
    return text
