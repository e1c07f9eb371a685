# SPDX-License-Identifier: Apache-2.0
"""`accord witness`: a stakeholder's own witness of the logs that matter to them."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli._options import PATH, read_digest, with_output, writing
from accord.cli._output import Output, table
from accord.encoding import JSONValue, format_time

if TYPE_CHECKING:
    from accord.witness import Examiner, WatchedLog, WitnessKey

MAX_PORT = 65535
DEFAULT_PORT = 8460

_folder = click.argument("folder", metavar="DIR", type=PATH)


@click.group("witness")
def group() -> None:
    """Witness logs: what you cosigned, their operators cannot take back or show otherwise."""


@group.command()
@_folder
@click.option("--name", required=True, help="Under which it cosigns; one board knows it once.")
@click.option("--group", "organisation", help="Your organisation; its witnesses count once.")
@click.option("--url", help="Where the trust service will reach it.")
@with_output
def init(out: Output, folder: Path, name: str, organisation: str | None, url: str | None) -> None:
    """Make a witness: a key of its own, and no logs yet.

    Its folder must never be restored from a backup: make a new witness instead.

    \b
    Example: accord witness init witness --name north-1 --url http://north.example:8460
    """
    from accord.witness import PUBLIC_FILE, WitnessKey, WitnessStore

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = WitnessKey.create(folder, name)
    WitnessStore(folder).close()
    place = url or f"http://127.0.0.1:{DEFAULT_PORT}"
    option = f"--witness {folder / PUBLIC_FILE}={place}@{organisation or name}"
    out.result(
        {**_public(key), "file": str(folder / PUBLIC_FILE), "option": option},
        [f"witness  {name}", f"vkey     {key.vkey}", f"founders name it with  {option}"],
    )


def _public(key: WitnessKey) -> dict[str, JSONValue]:
    return {"name": key.name, "vkey": key.vkey}


@group.command()
@_folder
@click.option("--vkey", help="Verifier key of any log in C2SP's formats.")
@click.option("--origin", help="Its origin line; by default the name in --vkey.")
@click.option("--service", help="URL of the trust service of one of our boards.")
@click.option("--board", metavar="DIGEST", help="The board whose log it keeps there.")
@with_output
def add(
    out: Output,
    folder: Path,
    vkey: str | None,
    origin: str | None,
    service: str | None,
    board: str | None,
) -> None:
    """Begin to witness a log: a board's, or any other in C2SP's formats.

    A board's service is attested as the board's founders demand, and says which key signs its
    log. Adding a log again changes nothing; a key is never exchanged.

    \b
    Examples:
      accord witness add witness --service https://trust.example:8443 --board sha256:…
      accord witness add witness --vkey example.com/log+a1b2c3d4+AQ…
    """
    from accord.witness import WitnessKey, WitnessStore

    WitnessKey.load(folder)
    if vkey is not None and service is None and board is None:
        log = _any_log(vkey, origin)
    elif service is not None and board is not None and vkey is None and origin is None:
        log = _board_log(service, board)
        out.fact("trust service attested")
    else:
        raise click.UsageError("say which log: --vkey [--origin], or --service and --board")
    store = WitnessStore(folder)
    try:
        kept = store.add(log)
    finally:
        store.close()
    out.result(_log_json(kept), f"witnessing {kept.origin}, signed by {kept.key.key_id}")


def _any_log(vkey: str, origin: str | None) -> WatchedLog:
    """Raises ``MalformedError`` or ``click.BadParameter``."""
    from accord.ledger import parse_vkey
    from accord.witness import WatchedLog

    name, key = parse_vkey(vkey)
    origin = name if origin is None else origin
    if not origin or not origin.isprintable() or len(origin) > 1024:  # noqa: PLR2004
        message = "expected one printable line"
        raise click.BadParameter(message, param_hint="--origin")
    return WatchedLog(origin, name, key)


def _board_log(service: str, board: str) -> WatchedLog:
    from accord.client import TrustSession
    from accord.release import LOG_NAME, log_origin
    from accord.witness import WatchedLog

    digest = read_digest(board, option="--board")
    with TrustSession.open(service, digest) as session:
        key = session.keyset.verify_key
    return WatchedLog(log_origin(digest), LOG_NAME, key, digest, service)


@group.command()
@_folder
@click.option(
    "--listen", default=f"127.0.0.1:{DEFAULT_PORT}", show_default=True, metavar="HOST:PORT"
)
@click.option("--replay", is_flag=True, help="Cosign a board's log only after re-executing it.")
@click.option("--url-file", type=PATH, help="Write the URL here once connections are accepted.")
@click.option("--verbose", is_flag=True, help="Log what was cosigned, not only refusals.")
@with_output
def serve(
    out: Output,
    folder: Path,
    listen: str,
    url_file: Path | None,
    *,
    replay: bool,
    verbose: bool,
) -> None:
    """Answer logs until interrupted. Killed at any moment, it goes on where it was.

    Its own log is JSON, one object a line, on standard error. Plain HTTP: all that matters is
    signed.

    \b
    Example: accord witness serve witness --listen 0.0.0.0:8460 --replay
    """
    from accord.identity import write_whole
    from accord.witness import Witness, WitnessKey, WitnessStore
    from accord.witness import serve as run

    host, _, port = listen.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        message = f"{listen!r} is not HOST:PORT"
        raise click.BadParameter(message, param_hint="--listen")
    key = WitnessKey.load(folder)
    store = WitnessStore(folder)

    def ready(url: str) -> None:
        if url_file is not None:
            with writing(url_file):
                write_whole(url_file, url.encode())
        out.result({"url": url, **_public(key), "replay": replay}, f"{key.name} listening at {url}")

    def told(line: dict[str, JSONValue]) -> None:
        if verbose or line["level"] != "info":
            line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}
            sys.stderr.write(json.dumps(line) + "\n")
            sys.stderr.flush()

    witness = Witness(
        store,
        key,
        clock=lambda: int(time.time()),
        examiner=_examiner(key) if replay else None,
    )
    try:
        with writing(Path(listen)):
            run(witness, host=host, port=int(port), ready=ready, told=told)
    finally:
        witness.close()


def _examiner(key: WitnessKey) -> Examiner:
    from accord.witness.replay import Replay, ServiceSource

    return Replay(lambda log: ServiceSource(log, key.signer))


@group.command()
@_folder
@with_output
def status(out: Output, folder: Path) -> None:
    """Show what the witness in DIR cosigned last, also while it serves.

    \b
    Example: accord witness status witness
    """
    from accord.witness import WitnessKey, WitnessStore

    key = WitnessKey.load(folder)
    store = WitnessStore(folder)
    try:
        logs = store.logs()
    finally:
        store.close()
    for log in logs:
        if log.other:
            out.warn(f"{log.origin} has two histories: both signed checkpoints are in --json")
    rows = [(log.origin, log.size, log.root.hex()[:16], _when(log) or "never") for log in logs]
    out.result(
        {**_public(key), "logs": [_log_json(log) for log in logs]},
        [
            f"witness  {key.name}",
            f"vkey     {key.vkey}",
            *table(("LOG", "SIZE", "ROOT", "COSIGNED"), rows),
        ],
    )


def _when(log: WatchedLog) -> str | None:
    return format_time(datetime.fromtimestamp(log.time, UTC)) if log.note else None


def _log_json(log: WatchedLog) -> dict[str, JSONValue]:
    from accord.ledger import vkey

    return {
        "origin": log.origin,
        "key": log.key.key_id,
        "vkey": vkey(log.name, log.key),
        "board": log.board or None,
        "service": log.service or None,
        "size": log.size,
        "root": log.root.hex(),
        "cosigned": _when(log),
        "checkpoint": log.note.decode() or None,
        "contradiction": log.other.decode() or None,
    }
