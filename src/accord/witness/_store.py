# SPDX-License-Identifier: Apache-2.0
"""What a witness must never forget: the latest tree that it cosigned of each log."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accord.errors import (
    LogConflictError,
    LogNotWitnessedError,
    LogRetiredError,
    WitnessedSizeError,
    WitnessStateError,
)
from accord.identity import PRIVATE, VerifyKey
from accord.ledger import EMPTY_ROOT
from accord.witness._head import earlier_origin, origin_digest

STATE_FILE = "witness.db"
_VERSION = 1
_WAIT_S = 10.0

_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF", "cache_size = -256")
_TABLE = """
CREATE TABLE logs (
  origin TEXT PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  key BLOB NOT NULL,
  board TEXT NOT NULL,
  service TEXT NOT NULL,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  note BLOB NOT NULL,
  time INTEGER NOT NULL,
  other BLOB NOT NULL,
  retired INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""
_FORMER_TABLE = """
CREATE TABLE IF NOT EXISTS former_keys (
  origin TEXT NOT NULL,
  name TEXT NOT NULL,
  key BLOB NOT NULL,
  size INTEGER NOT NULL,
  time INTEGER NOT NULL,
  by_hand INTEGER NOT NULL
) STRICT
"""
_COLUMNS = "origin, name, key, board, service, size, root, note, time, other, retired"


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """A log, the key it signs with, and the latest of its trees that was cosigned."""

    origin: str
    name: str
    key: VerifyKey
    board: str = ""
    """Digest of the board whose log it is; empty for other people's logs."""

    service: str = ""
    """Where the board's log can be read; empty for other people's logs."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    note: bytes = b""
    """The latest checkpoint with the log's signature and ours; empty before the first."""

    time: int = 0
    """When it was cosigned (POSIX)."""

    other: bytes = b""
    """A checkpoint signed by the log that contradicts ``note``, the first that was seen."""

    retired: bool = False
    """Whether the log goes on under another name: under this one nothing is cosigned any more."""

    def _values(self) -> tuple[Any, ...]:
        return (
            *(self.origin, self.name, self.key.raw, self.board, self.service),
            *(self.size, self.root, self.note, self.time, self.other, int(self.retired)),
        )


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A key that signed a log before the one that does now."""

    origin: str
    name: str
    key: VerifyKey
    size: int
    """How far the log was cosigned under it."""

    time: int
    """When that was, the last time (POSIX); 0 where nothing was."""

    by_hand: bool
    """Whether the witness's owner named the next key, or the log did."""


class WitnessStore:
    """One SQLite file. What a method changed is on the disk when it returns.

    Several processes may share it: each change reads and writes in one transaction. After a
    write that failed nothing is written any more: what reached the disk is then unknown.
    """

    def __init__(self, home: Path) -> None:
        """Raises ``WitnessStateError``."""
        self.path = home / STATE_FILE
        self._lock = threading.Lock()
        self._failed = False
        with self._errors():
            # Made here, so that only its owner can ever read it; SQLite's files follow it.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
            self._db = sqlite3.connect(
                self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        found = [self._db.execute(f"PRAGMA {pragma}").fetchone() for pragma in _PRAGMAS]
        if found[0] != ("wal",):
            raise WitnessStateError(path=self.path, detail="no write-ahead log on this disk")
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.execute(_TABLE)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise WitnessStateError(path=self.path, detail=f"it has version {version}")
            self._db.execute(_FORMER_TABLE)

    def close(self) -> None:
        self._db.close()

    def add(self, log: WatchedLog) -> WatchedLog:
        """Begins to witness ``log``, and returns what is kept of it.

        Where a board's log is known, only the address of its service is changed, under all
        names that it had: neither its tree nor its key. Where it is a log that is witnessed,
        under the name that it has after a fork was resolved, nothing is cosigned under the
        earlier name any more. Raises ``LogConflictError`` where it is witnessed as another log.
        """
        with self._lock, self._errors(), self._transaction():
            found = self._find("origin", log.origin)
            if found is None:
                before = self._find("origin", earlier_origin(log.origin) or "")
                if before is not None and (before.key == log.key or before.board):
                    self._put(replace(before, retired=True))
                    log = replace(log, board=before.board, service=log.service or before.service)
                self._put(log)
                return log
            same = found.board == log.board if log.board else found.key == log.key
            if found.name != log.name or not same:
                raise LogConflictError(origin=log.origin)
            if log.board:
                query = "UPDATE logs SET service = ? WHERE board = ?"
                self._db.execute(query, (log.service, log.board))
            return self._find("origin", log.origin) or found

    def rekey(self, origin: str, name: str, key: VerifyKey) -> WatchedLog:
        """Has another key sign the log from here on, on its owner's word; its tree stays.

        Raises ``LogNotWitnessedError``, or ``LogRetiredError`` where it has another name now.
        """

        def to(now: WatchedLog) -> WatchedLog:
            if now.retired:
                raise LogRetiredError(origin=origin)
            return replace(now, name=name, key=key)

        return self.change(origin, to, by_hand=True)

    def follow(self, log: WatchedLog, before: WatchedLog) -> WatchedLog:
        """`add` of ``log``, which goes on where ``before`` ended, if that is still its end.

        Raises ``WitnessedSizeError`` where more of it was cosigned meanwhile, and as `add` does.
        """
        with self._lock, self._errors(), self._transaction():
            now = self._find("origin", before.origin)
            if now is None or (now.size, now.root) != (before.size, before.root):
                raise WitnessedSizeError(origin=log.origin, size=0, old=before.size)
            found = self._find("origin", log.origin)
            if found is not None:
                return found
            self._put(replace(now, retired=True))
            self._put(log)
            self._remember(replace(now, origin=log.origin), log)
            return log

    def log(self, origin: str) -> WatchedLog:
        """Raises ``LogNotWitnessedError``."""
        with self._lock, self._errors():
            found = self._find("origin", origin)
        if found is None:
            raise LogNotWitnessedError(origin=origin)
        return found

    def by_digest(self, digest: str) -> WatchedLog | None:
        """The log that `origin_digest` names, if it is witnessed."""
        with self._lock, self._errors():
            return self._find("digest", digest)

    def logs(self) -> list[WatchedLog]:
        """All logs, by origin."""
        with self._lock, self._errors():
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM logs ORDER BY origin").fetchall()  # noqa: S608
            return list(map(self._read, rows))

    def former_keys(self, origin: str) -> list[FormerKey]:
        """Who signed the log before, the first one first."""
        query = "SELECT * FROM former_keys WHERE origin = ? ORDER BY rowid"
        with self._lock, self._errors():
            return [
                FormerKey(name, signed_by, VerifyKey(key), size, time, bool(by_hand))
                for name, signed_by, key, size, time, by_hand in self._db.execute(query, (origin,))
            ]

    def change(
        self, origin: str, to: Callable[[WatchedLog], WatchedLog], *, by_hand: bool = False
    ) -> WatchedLog:
        """Replaces a log by what ``to`` makes of it, or changes nothing where that raises.

        Nobody changes it in between. A key that is replaced is remembered; ``by_hand``: by the
        witness's owner. Raises ``LogNotWitnessedError`` and what ``to`` raises.
        """
        with self._lock, self._errors(), self._transaction():
            found = self._find("origin", origin)
            if found is None:
                raise LogNotWitnessedError(origin=origin)
            changed = to(found)
            self._put(changed)
            self._remember(found, changed, by_hand=by_hand)
            return changed

    def _remember(self, before: WatchedLog, now: WatchedLog, *, by_hand: bool = False) -> None:
        if before.key != now.key:
            values = (before.origin, before.name, before.key.raw, before.size, before.time, by_hand)
            self._db.execute("INSERT INTO former_keys VALUES (?,?,?,?,?,?)", values)

    def _find(self, column: str, value: str) -> WatchedLog | None:
        query = f"SELECT {_COLUMNS} FROM logs WHERE {column} = ?"  # noqa: S608 - our own words
        row = self._db.execute(query, (value,)).fetchone()
        return None if row is None else self._read(row)

    def _put(self, log: WatchedLog) -> None:
        self._db.execute(
            f"INSERT OR REPLACE INTO logs ({_COLUMNS}, digest) "  # noqa: S608 - our own words
            "VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (*log._values(), origin_digest(log.origin)),  # noqa: SLF001 - a class of this module
        )

    def _read(self, row: tuple[Any, ...]) -> WatchedLog:
        origin, name, key, *rest, retired = row
        return replace(WatchedLog(origin, name, VerifyKey(key), *rest), retired=bool(retired))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._failed:
            raise WitnessStateError(path=self.path, detail="an earlier write failed")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        try:
            self._db.execute("COMMIT")
        except BaseException:
            self._failed = True
            with suppress(sqlite3.Error):
                self._db.rollback()
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns what SQLite and the operating system report into our error."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise WitnessStateError(path=self.path, detail=str(exc)) from exc
