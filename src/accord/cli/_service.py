# SPDX-License-Identifier: Apache-2.0
"""`accord service`: the trust service as a process, and attesting it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli._options import (
    PATH,
    read_digest,
    simulated_option,
    with_output,
    writing,
)
from accord.cli._output import Output
from accord.cli._service_backup import RESTORING, backup, restore
from accord.cli._service_handover import follow, handover
from accord.cli._service_owner import claim, configure
from accord.cli._service_pins import pins_options, read_pins

if TYPE_CHECKING:
    from accord.attesters import Transmit
    from accord.client import ServicePins
    from accord.evidence import AttestationResult, Attester, Claims
    from accord.identity import Keyset
    from accord.policy import Channel
    from accord.service import MonotonicCounter, Store

MAX_PORT = 65535


@click.group("service")
def group() -> None:
    """The trust service: run it on any host, believe it only when it is attested."""


group.add_command(backup)
group.add_command(restore)
group.add_command(handover)
group.add_command(follow)
group.add_command(claim)
group.add_command(configure)


@group.command()
@simulated_option
@click.option("--state", type=PATH, help="Folder of its encrypted state.")
@click.option(
    "--database",
    envvar="ACCORD_DATABASE",
    metavar="CONNINFO",
    help="PostgreSQL instead of --state; with a password, use ACCORD_DATABASE.",
)
@click.option(
    "--counter",
    type=click.Choice(("tpm", "simulated")),
    help="Notice older copies of --state by a counter: this machine's TPM, or a software one.",
)
@click.option("--listen", default="127.0.0.1:8443", show_default=True, metavar="HOST:PORT")
@click.option("--url-file", type=PATH, help="Write the URL here once connections are accepted.")
@click.option("--log-file", default="-", metavar="FILE", help="Where its log goes; - is stderr.")
@click.option(
    "--log-level",
    type=click.Choice(("error", "warning", "info")),
    default="warning",
    show_default=True,
    help="info: a line for each request.",
)
@click.option("--open-metrics", is_flag=True, help="Show /metrics to all, not only to this host.")
@click.option("--kbs-board", metavar="DIGEST", help="Answer guests of the Key Broker protocol.")
@click.option("--kbs-collateral", type=PATH, help="Cache of endorsements for those guests.")
@click.option(
    "--allow-private-peers",
    is_flag=True,
    help="Call services that members name also on this host and its own network.",
)
@click.option("--until-eof", is_flag=True, help="End when standard input does (supervisors).")
@with_output
def run(
    out: Output,
    simulated: Path,
    state: Path | None,
    database: str | None,
    counter: str | None,
    listen: str,
    url_file: Path | None,
    log_file: str,
    log_level: str,
    kbs_board: str | None,
    kbs_collateral: Path | None,
    *,
    open_metrics: bool,
    allow_private_peers: bool,
    until_eof: bool,
) -> None:
    """Run the trust service until interrupted. Killed at any moment, it goes on where it was.

    \b
    Example: accord service run --simulated simulated-hardware/host-1 --state trust-service
    """
    from accord.collateral import CollateralCache
    from accord.evidence import Role
    from accord.identity import write_whole
    from accord.service import serve
    from accord.testing import SimulatedPlatform, simulated_measurements

    host, _, port = listen.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        message = f"{listen!r} is not HOST:PORT"
        raise click.BadParameter(message, param_hint="--listen")
    platform = SimulatedPlatform.load(simulated)
    attester = platform.attester(simulated_measurements(Role.SERVICE))
    out.warn("SIMULATED TEE: root on this machine can read everything")
    if log_file != "-":
        with writing(Path(log_file)):
            Path(log_file).touch(mode=0o600)
    if counter is not None and database is not None:
        raise click.UsageError("--counter goes with --state: other processes share a database")
    store = _open_store(state, database, attester)

    if until_eof:
        threading.Thread(target=_end_with_standard_input, daemon=True).start()

    def ready(url: str) -> None:
        if url_file is not None:
            with writing(url_file):
                write_whole(url_file, url.encode())
        out.result({"url": url, "simulated": True}, f"listening at {url}")

    try:
        with writing(Path(listen)):
            serve(
                store=store,
                attester=attester,
                host=host,
                port=int(port),
                ready=ready,
                log_file=log_file,
                log_level=log_level,
                open_metrics=open_metrics,
                kbs_board=None
                if kbs_board is None
                else read_digest(kbs_board, option="--kbs-board"),
                allow_private_peers=allow_private_peers,
                restoring=None if state is None else state / RESTORING,
                counter=_open_counter(counter, simulated, attester),
                kbs_collateral=None if kbs_collateral is None else CollateralCache(kbs_collateral),
            )
    finally:
        store.close()


def _open_store(state: Path | None, database: str | None, attester: Attester) -> Store:
    """Raises ``click.UsageError`` unless one place was named, and what the store raises."""
    from accord.service import STORE_LABEL, SQLiteStore, open_postgres

    key = attester.seal_key(STORE_LABEL)
    if state is not None and database is not None:
        raise click.UsageError("only one of --state and --database (or ACCORD_DATABASE)")
    if database is not None:
        return open_postgres(database, key)
    if state is None:
        raise click.UsageError("say where its state is: --state or --database")
    with writing(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return SQLiteStore(state / "state.db", key)


def _open_counter(kind: str | None, simulated: Path, attester: Attester) -> MonotonicCounter | None:
    """The counter of this machine; its password comes from the TEE, and is never stored."""
    if kind is None:
        return None
    from accord.attesters import AUTH_BYTES, TPMCounter, opened
    from accord.testing import SoftwareTPM

    @contextmanager
    def switched_on() -> Iterator[Transmit]:
        with SoftwareTPM(simulated / "counter-tpm") as tpm:
            yield tpm.transmit

    auth = attester.seal_key("accord/trust-service/counter/v1")[:AUTH_BYTES]
    return TPMCounter(auth, connect=opened if kind == "tpm" else switched_on)


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


@group.command("openapi")
@with_output
def openapi_(out: Output) -> None:
    """Print the OpenAPI 3.1 document of the HTTP interface.

    \b
    Example: accord service openapi > openapi.json
    """
    from accord.service import openapi

    document = openapi()
    out.result(document, json.dumps(document, indent=2, sort_keys=True).splitlines())


@group.command()
@click.option("--url", envvar="ACCORD_SERVICE", help="Its URL (or ACCORD_SERVICE).")
@click.option("--home", type=PATH, envvar="ACCORD_HOME", help="Your identity (or ACCORD_HOME).")
@click.option("--board", metavar="DIGEST", help="The board whose founders' conditions apply.")
@pins_options
@with_output
def attest(
    out: Output, /, url: str | None, home: Path | None, board: str | None, **named: Any
) -> None:
    """Attest the trust service: by a board's conditions, or by what you name yourself.

    Anybody can; with --home the conditions are those that your board's founders signed.

    \b
    Examples:
      accord service attest --home hospital-a
      accord service attest --url https://trust.example:8443 --board sha256:…
      accord service attest --url https://trust.example:8443 --trust service.json
    """
    from accord.client import MemberHome, TrustSession

    pins = read_pins(**named)
    if pins is not None:
        _attest_pinned(out, _needed(url), pins)
        return
    if board is not None:
        digest = read_digest(board, option="--board")
        session = TrustSession.open(_needed(url), digest)
        address = _needed(url)
    elif home is not None:
        member = MemberHome.load(home, service=url)
        session, address = member.connect(), member.service
    else:
        raise click.UsageError(
            "say which service is meant: --home, --board, --trust, --measurement or --identity"
        )
    with session:
        claims, code = session.result.claims, "is in the genesis"
        _show(out, address, claims, session.keyset, session.result, session.channel, code)


def _needed(url: str | None) -> str:
    if url is None:
        raise click.UsageError("--url is missing")
    return url


def _attest_pinned(out: Output, url: str, pins: ServicePins) -> None:
    from accord.client import AttestedService

    with AttestedService.attest(url, pins) as service:
        code = "is one that you named" if service.result else "was NOT compared with anything"
        _show(out, url, service.claims, service.keyset, service.result, service.channel, code)


def _show(
    out: Output,
    url: str,
    claims: Claims,
    keyset: Keyset,
    result: AttestationResult | None,
    channel: Channel,
    code: str,
) -> None:
    out.fact(f"hardware   {claims.family.value}, TCB {claims.tcb_status}")
    name = "mrtd" if "mrtd" in claims.measurements else min(claims.measurements, default="nothing")
    measured = claims.measurements.get(name, b"").hex()[:16]
    out.fact(f"code       {name} {measured}… {code}")
    out.fact(f"binding    nonce fresh, TLS key in the evidence (channel {channel})")
    out.fact(f"identity   {keyset.verify_key.key_id}")
    if claims.assurance.value == "simulated":
        out.warn("assurance  SIMULATED: no hardware protects it")
    out.result(
        {
            "url": url,
            "identity": keyset.verify_key.key_id,
            "assurance": claims.assurance.value,
            "channel": channel.value,
            "result": result.to_json() if result is not None else None,
        },
        f"verified: trust service {url} ({claims.assurance.value})",
    )
