# SPDX-License-Identifier: Apache-2.0
"""One SQLite file used by one process: locked, durable, its errors turned into ours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from accord.errors import AccordError, StoreBusyError, StoreIntegrityError, StoreUnavailableError

Row = tuple[Any, ...]
"""A row as SQLite returns it: from a damaged file, any column can have any type."""

_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""Errors of SQLite that speak of the machine; every other one speaks of the file."""

_PRAGMAS = (
    "locking_mode = EXCLUSIVE",  # before WAL: then there is no shared-memory file
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "secure_delete = ON",
)


class SQLiteFile:
    """A connection to ``path`` that nobody else has.

    A new file is filled by ``make`` under another name and then renamed, so that a file which
    is there is always complete. After a failed transaction no other one is begun: what reached
    the disk is then unknown, and only opening the file again shows it.
    """

    def __init__(self, path: Path, *, make: Callable[[SQLiteFile], None]) -> None:
        """Raises ``StoreBusyError``, ``StoreIntegrityError`` or ``StoreUnavailableError``."""
        self.path = path
        self._failed = False
        with self._machine():
            self._lock_file = os.open(_beside(path, ".lock"), _NEW, 0o600)
        try:
            self._lock()
            if self._is_new():
                self._make(make)
            self._db = self._connect(path)
        except BaseException:
            os.close(self._lock_file)
            raise

    def query(self, statement: str, *values: Any) -> list[Row]:
        """All rows of one statement."""
        with self._sqlite():
            return self._db.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside reaches the disk before it is left, or nothing does."""
        if self._failed:
            raise StoreUnavailableError(path=self.path, detail="an earlier write failed")
        self.query("BEGIN IMMEDIATE")
        try:
            yield
            self.query("COMMIT")
        except BaseException:
            self._failed = True
            with contextlib.suppress(sqlite3.Error):
                self._db.rollback()
            raise

    def close(self) -> None:
        """Closes the file and lets go of its lock."""
        try:
            with self._sqlite():
                self._db.close()
        finally:
            os.close(self._lock_file)

    def changed(self, detail: str) -> StoreIntegrityError:
        """The error that says that somebody else wrote to the file."""
        return StoreIntegrityError(path=self.path, detail=detail)

    def _lock(self) -> None:
        """The kernel lets go of the lock when the process ends, however it ends."""
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise StoreBusyError(path=self.path) from exc

    def _is_new(self) -> bool:
        if self.path.exists():
            # SQLite would take it for a new database.
            if self.path.is_file() and self.path.stat().st_size == 0:
                raise self.changed("the file is empty")
            return False
        if any(companion.exists() for companion in _companions(self.path)):
            raise self.changed("its main file is missing")
        return True

    def _make(self, make: Callable[[SQLiteFile], None]) -> None:
        part = _beside(self.path, ".part")
        with self._machine():
            for leftover in (part, *_companions(part)):
                leftover.unlink(missing_ok=True)
            # Made here, so that only its owner can ever read it; SQLite's files follow it.
            os.close(os.open(part, _NEW | os.O_EXCL, 0o600))
        self._db = self._connect(part)
        try:
            with self.transaction():
                make(self)
        finally:
            with self._sqlite():
                self._db.close()
        with self._machine():
            part.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _connect(self, path: Path) -> sqlite3.Connection:
        with self._sqlite():
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                found = [db.execute(f"PRAGMA {pragma}").fetchall() for pragma in _PRAGMAS]
            except BaseException:
                db.close()
                raise
        if found[:2] != [[("exclusive",)], [("wal",)]]:
            db.close()
            raise StoreUnavailableError(path=self.path, detail="no write-ahead log on this disk")
        return db

    @contextlib.contextmanager
    def _sqlite(self) -> Iterator[None]:
        """Turns what SQLite reports into our errors."""
        try:
            yield
        except sqlite3.Error as exc:
            raise self._error(exc) from exc
        except UnicodeDecodeError as exc:  # an error message that quotes a damaged schema
            raise self.changed("text that is not UTF-8") from exc

    def _error(self, error: sqlite3.Error) -> AccordError:
        # Errors of Python's own layer have no code: text that is not UTF-8, for instance.
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if primary in _UNAVAILABLE:
            return StoreUnavailableError(path=self.path, detail=str(error))
        return self.changed(str(error))

    @contextlib.contextmanager
    def _machine(self) -> Iterator[None]:
        """Turns what the operating system reports into our errors."""
        try:
            yield
        except OSError as exc:
            raise StoreUnavailableError(path=self.path, detail=exc.strerror) from exc


_NEW = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _companions(path: Path) -> tuple[Path, ...]:
    """The files that SQLite may keep beside ``path``."""
    return tuple(_beside(path, suffix) for suffix in ("-wal", "-shm", "-journal"))
