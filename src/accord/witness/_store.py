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

    def close(self) -> None:
        self._db.close()

    def add(self, log: WatchedLog) -> WatchedLog:
        """Begins to witness ``log``; again it changes nothing, and returns what is kept.

        Where it is a log that is witnessed, under the name that it has after a fork was
        resolved, nothing is cosigned under the earlier name any more.
        Raises ``LogConflictError`` where it is witnessed with another key or service.
        """
        with self._lock, self._errors(), self._transaction():
            found = self._find("origin", log.origin)
            if found is None:
                before = self._find("origin", earlier_origin(log.origin) or "")
                if before is not None and (before.name, before.key) == (log.name, log.key):
                    self._put(replace(before, retired=True))
                self._put(log)
                return log
            if (found.name, found.key, found.board) != (log.name, log.key, log.board):
                raise LogConflictError(origin=log.origin)
            return found

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

    def change(self, origin: str, to: Callable[[WatchedLog], WatchedLog]) -> WatchedLog:
        """Replaces a log by what ``to`` makes of it, or changes nothing where that raises.

        Nobody changes it in between. Raises ``LogNotWitnessedError`` and what ``to`` raises.
        """
        with self._lock, self._errors(), self._transaction():
            found = self._find("origin", origin)
            if found is None:
                raise LogNotWitnessedError(origin=origin)
            changed = to(found)
            self._put(changed)
            return changed

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
