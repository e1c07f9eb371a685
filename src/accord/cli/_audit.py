# SPDX-License-Identifier: Apache-2.0
"""`accord audit`: re-executing a log, once or for as long as it grows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from accord.bundle import VerifiedLog, log_not_proven, named_evidence, verify_bundle_log, verify_log
from accord.cli._options import PATH, home_option, read_digest, service_url, with_output, writing
from accord.cli._output import Output
from accord.client import Auditor, MemberHome, Seen, read_objects
from accord.encoding import JSONValue, format_time
from accord.errors import FileAccessError, LogSizeError, UnreachableError
from accord.identity import statement_kind, write_whole
from accord.jobs import read_proved
from accord.ledger import Entry, verify_cose_receipt
from accord.release import log_origin, state_digest


@click.group("audit")
def group() -> None:
    """Logs: execute every entry again, and verify what it rests on."""


def must_be_folder(path: Path) -> Path:
    """Raises ``FileAccessError``."""
    if not path.is_dir():
        raise FileAccessError(action="read", path=path, detail="no such folder")
    return path


_home = click.option("--home", type=PATH, envvar="ACCORD_HOME", help="Your identity and board.")


@group.command()
@click.argument("bundle", type=PATH, required=False)
@_home
@click.option("--genesis", help="Genesis digest of the board that you hold; for a bundle.")
@with_output
def replay(out: Output, bundle: Path | None, home: Path | None, genesis: str | None) -> None:
    """Execute a log again, of BUNDLE offline or of the board of --home.

    Every signature, vote, term and use is checked again, and the evidence of every start,
    release, renewal and automated vote. The state digest is the same for whoever did it.

    \b
    Example:
      accord audit replay bundle --genesis sha256:…
      accord audit replay --home clinic
    """
    if bundle is not None:
        pinned = read_digest(genesis, option="--genesis") if genesis is not None else None
        _, log = verify_bundle_log(must_be_folder(bundle), genesis=pinned)
    elif home is not None:
        member = MemberHome.load(home, service=service_url())
        log, pinned = _board_log(member), member.genesis.digest
    else:
        raise click.UsageError("give a bundle or --home")
    _tell(out, log, pinned=pinned is not None)


def _board_log(member: MemberHome) -> VerifiedLog:
    with member.connect() as session:
        replayed, note = read_proved(member, session)
        entries = list(replayed.ledger.entries())
        objects = read_objects(session, member, named_evidence(entries))
    return verify_log(entries, note=note, objects=objects, genesis=member.genesis.digest)


def _tell(out: Output, log: VerifiedLog, *, pinned: bool) -> None:
    machine, ledger = log.machine, log.replayed.ledger
    kinds = Counter(_kinds(ledger.entries()))
    not_proven = list(log_not_proven(log, pinned=pinned))
    for point in not_proven:
        out.warn(f"not proven: {point}")
    document: dict[str, Any] = {
        "schema": "accord.audit.v1",
        "board": machine.board.board,
        "entries": log.size,
        "root": ledger.root().hex(),
        "state": state_digest(machine),
        "evidence": len(log.replayed.proofs),
        "cosigned": sorted(log.cosigned),
        "kinds": dict(sorted(kinds.items())),
        "not_proven": not_proven,
    }
    out.result(
        document,
        [
            f"board     {machine.board.board}",
            f"entries   {log.size}, every one executed again",
            f"evidence  {len(log.replayed.proofs)} pieces, every one verified",
            f"cosigned  {', '.join(sorted(log.cosigned)) or 'by nobody (solo)'}",
            f"root      {ledger.root().hex()}",
            f"state     {state_digest(machine)}",
        ],
    )


@group.command()
@home_option
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look once and end.")
@with_output
def watch(out: Output, home: Path, interval: float, *, once: bool) -> None:
    """Follow the log of your board: verify every new entry, its evidence and the checkpoint.

    Ends with exit code 7 as soon as the log does not continue what your home has seen of it,
    with 3 if an entry does not hold. Your home keeps the last checkpoint that held. A service
    that cannot be reached is asked again, except with --once.

    \b
    Example: accord audit watch --home clinic --interval 5
    """
    auditor = Auditor(MemberHome.load(home, service=service_url()))
    while True:
        try:
            seen = auditor.look()
        except UnreachableError as exc:
            if once:
                raise
            out.note(f"{exc.code} {exc}")
        else:
            _follow(out, seen)
            if once:
                _look_result(out, auditor, seen)
                return
        time.sleep(interval)


@group.command()
@click.argument("index", type=click.IntRange(0))
@click.option("--out", "path", type=PATH, required=True, help="Where the receipt goes.")
@home_option
@with_output
def receipt(out: Output, index: int, path: Path, home: Path) -> None:
    """Fetch a receipt that entry INDEX is in the log, and verify it.

    A COSE message (RFC 9942), for tools that know those. On a board with witnesses a quorum
    has seen the entry by then; who, is not in the receipt: a bundle says that.

    \b
    Example: accord audit receipt 12 --out entry-12.cose --home clinic
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        ledger, machine, _ = member.read(session)
        if index >= ledger.size or machine.log_key is None:
            raise LogSizeError(size=ledger.size, covered=index + 1)
        data = session.receipt(index, member.identity.signer)
    origin = log_origin(machine.board.board, machine.board.generation())
    entry = ledger.entry_bytes(index)
    tree = verify_cose_receipt(data, entry, origin=origin, key=machine.log_key)
    with writing(path):
        write_whole(path, data)
    out.fact(f"entry {index} is in the tree of {tree.size} entries with root {tree.root.hex()}")
    document: dict[str, JSONValue] = {
        "index": index,
        "origin": origin,
        "size": tree.size,
        "root": tree.root.hex(),
    }
    out.result(document, f"receipt  {path}")


def _follow(out: Output, seen: Seen) -> None:
    for entry in seen.entries:
        out.fact(
            f"entry {entry.index}  {format_time(entry.time)}  {statement_kind(entry.envelope)}"
        )
    if seen.entries:
        out.fact(f"{seen.size} entries, root {seen.root.hex()}")
        if seen.cosigned is None:
            out.warn("no quorum of witnesses has cosigned this checkpoint yet")


def _look_result(out: Output, auditor: Auditor, seen: Seen) -> None:
    cosigned = None if seen.cosigned is None else sorted(seen.cosigned)
    document: dict[str, Any] = {
        "schema": "accord.audit-watch.v1",
        "board": auditor.home.genesis.digest,
        "entries": seen.size,
        "root": seen.root.hex(),
        "evidence": seen.evidence,
        "cosigned": cosigned,
    }
    out.result(document, f"{seen.size} entries hold")


def _kinds(entries: Iterable[bytes]) -> Iterable[str]:
    return (statement_kind(Entry.from_bytes(data).envelope) for data in entries)
