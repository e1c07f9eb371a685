# SPDX-License-Identifier: Apache-2.0
"""Debian's PostgreSQL, started for the tests: a cluster of its own on a socket in a folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

PACKAGE = "postgresql"
START_TIMEOUT_S = 30.0


def _program(name: str) -> str:
    """The newest installed one. Not skipped: without it a whole store would go untested."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[-3])
    )
    program = str(found[-1]) if found else shutil.which(name)
    if program is None:
        message = f"the tests need {name}: install the package `{PACKAGE}`"
        raise RuntimeError(message)
    return program


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    message = "there is no user postgres or nobody to run PostgreSQL as"
    raise RuntimeError(message)


@dataclass
class Postgres:
    """A running server; each test gets a database of its own."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def dsn(self, database: str = "postgres") -> str:
        return f"host={self.folder} user=tests dbname={database}"

    def database(self) -> str:
        """The connection string of a new, empty database."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self.dsn(), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}".encode())
        return self.dsn(name)

    def start(self, *, fsync: str = "on") -> None:
        user = _user()
        options = {"fsync": fsync, "listen_addresses": "", "max_connections": "60"}
        options |= {"unix_socket_directories": str(self.folder), "shared_buffers": "32MB"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(_program("postgres"), "-D", str(self.data)),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                user=user,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.dsn()).close()
                return
            if time.monotonic() > deadline or self.process.poll() is not None:
                message = f"PostgreSQL did not start: {(self.folder / 'log').read_text()}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Ends the server at once, as a power cut would: without writing anything more."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=30)
            self.process = None


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A new cluster and its server; both are gone afterwards."""
    # Not below pytest's folder: a socket's path is short, and its owner another one.
    with tempfile.TemporaryDirectory(prefix="accord-pg-", dir="/tmp") as name:
        folder, user = Path(name), _user()
        if user is not None:
            shutil.chown(folder, user)
        subprocess.run(
            [
                _program("initdb"),
                *["-U", "tests", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync", "-D"],
                "data",
            ],
            user=user,
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=100,
        )
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
