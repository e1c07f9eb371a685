# SPDX-License-Identifier: Apache-2.0
"""Connections to one PostgreSQL database: a few, kept open, their errors turned into ours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from accord.errors import AccordError, StoreIntegrityError, StoreUnavailableError

Row = tuple[Any, ...]
"""A row as the server returns it: whoever runs the server decides what is in it."""

CONNECTIONS = 8
"""Twice the threads that call the store: nobody waits for a connection."""

_CONNECT_S = 10
_STATEMENT_MS = 30_000
_IDLE_MS = 10_000
"""A process that was stopped inside a transaction must not keep the board's row for ever."""

_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "synchronous_commit": "on",
        "default_transaction_isolation": "read\\ committed",
        "statement_timeout": _STATEMENT_MS,
        "lock_timeout": _STATEMENT_MS,
        "idle_in_transaction_session_timeout": _IDLE_MS,
        "client_encoding": "UTF8",
    }.items()
)


class Connections:
    """A pool for threads; a connection on which something failed is not used again."""

    def __init__(self, conninfo: str) -> None:
        """Connects once, to say early what is wrong. Raises ``StoreUnavailableError``."""
        self._conninfo = conninfo
        self.path = _described(conninfo)
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._idle: list[psycopg.Connection[Row]] = []
        self._closed = False
        with self.connection():
            pass

    @contextlib.contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Row]]:
        """A connection in which each statement commits, unless in a transaction."""
        if self._closed:
            message = "the store is closed"
            raise RuntimeError(message)
        with self._slots, self._errors():
            db = self._take()
            try:
                yield db
            except BaseException:
                db.close()
                raise
            self._idle.append(db)

    def query(self, statement: Any, *values: object) -> list[Row]:
        """All rows of one statement that reads; tried again where the connection was lost."""
        try:
            return self._query(statement, *values)
        except StoreUnavailableError:
            return self._query(statement, *values)

    def close(self) -> None:
        """Closes what is idle; nothing may be in use."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def changed(self, detail: str) -> StoreIntegrityError:
        """The error that says that somebody else wrote to the database."""
        return StoreIntegrityError(path=self.path, detail=detail)

    def _query(self, statement: Any, *values: object) -> list[Row]:
        with self.connection() as db:
            return db.execute(statement, values, binary=True).fetchall()

    def _take(self) -> psycopg.Connection[Row]:
        while self._idle:
            db = self._idle.pop()
            if not db.closed:
                return db
        return psycopg.connect(
            self._conninfo, autocommit=True, connect_timeout=_CONNECT_S, options=_OPTIONS
        )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns what the driver reports into our errors."""
        try:
            yield
        except psycopg.Error as exc:
            raise self._error(exc) from exc

    def _error(self, error: psycopg.Error) -> AccordError:
        detail = error.diag.message_primary or str(error).strip() or type(error).__name__
        # Lost, refused, cancelled, full, out of memory: of the machine. The rest: of the data.
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return StoreUnavailableError(path=self.path, detail=detail)
        return self.changed(detail)


def _described(conninfo: str) -> str:
    """Which database this is, without the password that may stand beside."""
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.Error as exc:
        raise StoreUnavailableError(
            path="(PostgreSQL)", detail="not a connection string"
        ) from exc.__class__()
    return f"postgresql://{parts.get('host', 'localhost')}/{parts.get('dbname', '')}"
