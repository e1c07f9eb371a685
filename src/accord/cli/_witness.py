# SPDX-License-Identifier: Apache-2.0
"""`accord witness`: a stakeholder's own witness of the logs that matter to them."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli._options import PATH, read_digest, with_output, writing
from accord.cli._output import Output, table
from accord.encoding import JSONValue, format_time

if TYPE_CHECKING:
    from accord.witness import Examiner, FormerKey, WatchedLog, WitnessKey

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
    log. For a board that is known this changes the address of its service, and nothing else:
    not the key, see `accord witness rekey`, and not how far its log was cosigned.

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
        names = [item for item in store.logs() if log.board and item.board == log.board]
        # Where members resolved a fork the log goes on under another name.
        kept = next((item for item in names if not item.retired), kept)
        former = store.former_keys(kept.origin)
    finally:
        store.close()
    if kept.key != log.key:
        out.warn(
            f"the service signs with {log.key.key_id}: `accord witness serve --replay` follows "
            "the log to that key, or name it with `accord witness rekey`"
        )
    out.result(_log_json(kept, former), f"witnessing {kept.origin}, signed by {kept.key.key_id}")


@group.command()
@_folder
@click.option("--origin", required=True, help="The origin line of a log that is witnessed.")
@click.option("--vkey", required=True, help="Verifier key with which the log goes on.")
@with_output
def rekey(out: Output, folder: Path, origin: str, vkey: str) -> None:
    """Name the key with which a log goes on, on your own word.

    For logs whose operator announced a new key, and for boards that were recovered on another
    machine: a witness that serves with --replay finds that out by itself, from the members'
    signatures. Here nothing is proved: compare the key with what other members see. What was
    cosigned is kept, and must be continued. The earlier key stays in `accord witness status`.

    \b
    Example:
      accord witness rekey witness --origin example.com/log --vkey example.com/log+a1b2c3d4+AQ…
    """
    from accord.ledger import parse_vkey
    from accord.witness import WitnessKey, WitnessStore

    WitnessKey.load(folder)
    name, key = parse_vkey(vkey)
    store = WitnessStore(folder)
    try:
        kept = store.rekey(origin, name, key)
        former = store.former_keys(origin)
    finally:
        store.close()
    out.result(
        _log_json(kept, former), f"{kept.origin} goes on at {kept.size}, signed by {key.key_id}"
    )


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
    from accord.release import log_origin
    from accord.witness import WatchedLog

    digest = read_digest(board, option="--board")
    with TrustSession.open(service, digest) as session:
        key = session.keyset.verify_key
    origin = log_origin(digest)
    return WatchedLog(origin, origin, key, digest, service)


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

    RETIRED is a log that goes on under another name since its members resolved a fork, FORKED
    one that showed two histories.

    \b
    Example: accord witness status witness
    """
    from accord.witness import WitnessKey, WitnessStore

    key = WitnessKey.load(folder)
    store = WitnessStore(folder)
    try:
        logs = [(log, store.former_keys(log.origin)) for log in store.logs()]
    finally:
        store.close()
    for log, _ in logs:
        if log.other:
            out.warn(f"{log.origin} has two histories: both signed checkpoints are in --json")
    rows = [
        (log.origin, log.size, log.root.hex()[:16], _when(log.time) or "never", _state(log))
        for log, _ in logs
    ]
    out.result(
        {**_public(key), "logs": [_log_json(log, former) for log, former in logs]},
        [
            f"witness  {key.name}",
            f"vkey     {key.vkey}",
            *table(("LOG", "SIZE", "ROOT", "COSIGNED", "STATE"), rows),
            *(_former_line(item) for _, former in logs for item in former),
        ],
    )


def _when(time: int) -> str | None:
    return format_time(datetime.fromtimestamp(time, UTC)) if time else None


def _state(log: WatchedLog) -> str:
    if log.retired:
        return "RETIRED"
    return "FORKED" if log.other else "watched"


def _former_line(former: FormerKey) -> str:
    who = "you named the next one" if former.by_hand else "the log names the next one"
    return f"{former.origin} was signed by {former.key.key_id} up to {former.size}: {who}"


def _log_json(log: WatchedLog, former: Sequence[FormerKey]) -> dict[str, JSONValue]:
    from accord.ledger import vkey

    return {
        "origin": log.origin,
        "key": log.key.key_id,
        "vkey": vkey(log.name, log.key),
        "board": log.board or None,
        "service": log.service or None,
        "size": log.size,
        "root": log.root.hex(),
        "cosigned": _when(log.time),
        "checkpoint": log.note.decode() or None,
        "contradiction": log.other.decode() or None,
        "retired": log.retired,
        "former_keys": [
            {
                "key": item.key.key_id,
                "vkey": vkey(item.name, item.key),
                "size": item.size,
                "cosigned": _when(item.time),
                "by_hand": item.by_hand,
            }
            for item in former
        ],
    }
