# SPDX-License-Identifier: Apache-2.0
"""`accord service`: the trust service as a process, and attesting it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path

import click

from accord.cli._options import (
    PATH,
    home_option,
    service_url,
    simulated_option,
    with_output,
    writing,
)
from accord.cli._output import Output

MAX_PORT = 65535


@click.group("service")
def group() -> None:
    """The trust service: run it on any host, believe it only when it is attested."""


@group.command()
@simulated_option
@click.option("--state", type=PATH, required=True, help="Folder of its encrypted state.")
@click.option("--listen", default="127.0.0.1:8443", show_default=True, metavar="HOST:PORT")
@click.option("--url-file", type=PATH, help="Write the URL here once connections are accepted.")
@click.option("--until-eof", is_flag=True, help="End when standard input does (supervisors).")
@with_output
def run(
    out: Output,
    simulated: Path,
    state: Path,
    listen: str,
    url_file: Path | None,
    *,
    until_eof: bool,
) -> None:
    """Run the trust service until interrupted. Killed at any moment, it goes on where it was.

    \b
    Example: accord service run --simulated simulated-hardware/host-1 --state trust-service
    """
    from accord.evidence import Role
    from accord.identity import write_whole
    from accord.service import STORE_LABEL, SQLiteStore, serve
    from accord.testing import SimulatedPlatform, simulated_measurements

    host, _, port = listen.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        message = f"{listen!r} is not HOST:PORT"
        raise click.BadParameter(message, param_hint="--listen")
    platform = SimulatedPlatform.load(simulated)
    attester = platform.attester(simulated_measurements(Role.SERVICE))
    out.warn("SIMULATED TEE: root on this machine can read everything")
    with writing(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = SQLiteStore(state / "state.db", attester.seal_key(STORE_LABEL))

    if until_eof:
        threading.Thread(target=_end_with_standard_input, daemon=True).start()

    def ready(url: str) -> None:
        if url_file is not None:
            with writing(url_file):
                write_whole(url_file, url.encode())
        out.result({"url": url, "simulated": True}, f"listening at {url}")

    try:
        with writing(Path(listen)):
            serve(store=store, attester=attester, host=host, port=int(port), ready=ready)
    finally:
        store.close()


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


@group.command()
@home_option
@with_output
def attest(out: Output, home: Path) -> None:
    """Attest the trust service by the conditions that your board's founders signed.

    \b
    Example: accord service attest --home hospital-a
    """
    from accord.client import CHANNEL_LEVEL, MemberHome

    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        claims = session.result.claims
        out.fact(f"hardware   {claims.family.value}, TCB {claims.tcb_status}")
        out.fact(f"code       mrtd {claims.measurements['mrtd'].hex()[:16]}… is in the genesis")
        out.fact(f"binding    nonce fresh, TLS key in the evidence (channel {CHANNEL_LEVEL})")
        if claims.assurance.value == "simulated":
            out.warn("assurance  SIMULATED: no hardware protects it")
        out.result(
            {
                "url": member.service,
                "assurance": claims.assurance.value,
                "channel": CHANNEL_LEVEL,
                "result": session.result.to_json(),
            },
            f"verified: trust service {member.service} ({claims.assurance.value})",
        )
