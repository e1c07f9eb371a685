# SPDX-License-Identifier: Apache-2.0
"""All stores do what the suite says, and the durable ones survive being killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.postgres import Postgres

from accord.encoding import sha256
from accord.errors import PostgresMissingError
from accord.service._memory_store import MemoryStore
from accord.service._postgres import open_postgres
from accord.service._sqlite_store import SQLiteStore
from accord.service._store import Store
from accord.testing.store_suite import BOARD, StoreSuite

KEY = bytes(range(32))


class TestMemoryStore(StoreSuite):
    """The store in memory."""

    def make(self) -> Store:
        return MemoryStore()


class TestSQLiteStore(StoreSuite):
    """The store in a file."""

    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "store.db"

    def make(self) -> Store:
        return SQLiteStore(self.path, KEY)

    def reopen(self, store: Store) -> Store:
        store.close()
        return SQLiteStore(self.path, KEY)


class TestPostgresStore(StoreSuite):
    """The store in a database."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres: Postgres) -> None:
        self.dsn = postgres.database()

    def make(self) -> Store:
        return open_postgres(self.dsn, KEY)

    def reopen(self, store: Store) -> Store:
        store.close()
        return open_postgres(self.dsn, KEY)


WRITER = """
import sys
from pathlib import Path
from accord.encoding import sha256
from accord.service._postgres import open_postgres
from accord.service._sqlite_store import SQLiteStore
from accord.service._store import Stored

opened = SQLiteStore if sys.argv[1].startswith("/") else open_postgres
store = opened(sys.argv[1] if opened is open_postgres else Path(sys.argv[1]), bytes(range(32)))
board = sys.argv[2]
index = len(list(store.entries(board)))
fence = store.acquire(board, "writer")
while True:
    body = b"body %d" % index
    stored = Stored(b"entry %d" % index, {sha256(body): body}, {"counter": b"%d" % index})
    store.append(board, index, [stored, Stored(b"entry %d" % (index + 1))], fence=fence)
    print(index + 1, flush=True)
    index += 2
"""


def killed_writers(place: str, rounds: int, reopen: Callable[[], Store]) -> Store:
    """Lets writers be killed at random moments; after each everything acknowledged is there."""
    generator = random.Random(1)  # noqa: S311 - when to kill, not a key
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    acknowledged, entries = -1, list[bytes]()
    store = reopen()
    for _ in range(rounds):
        store.close()
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, place, BOARD], stdout=subprocess.PIPE, env=environment
        )
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        time.sleep(generator.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        output, _ = writer.communicate()
        lines = output.split(b"\n")[:-1]  # a line without its end was not acknowledged
        acknowledged = int(lines[-1]) if lines else acknowledged

        store = reopen()
        entries = list(store.entries(BOARD))
        assert len(entries) > acknowledged
        assert len(entries) % 2 == 0  # a batch is there whole
        assert entries == [b"entry %d" % index for index in range(len(entries))]
    last = len(entries) - 2
    body = b"body %d" % last
    assert store.secret(BOARD, "counter") == b"%d" % last
    assert store.object(BOARD, sha256(body)) == body
    return store


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    """After kill -9 at any moment the log is gapless and holds all that was acknowledged."""
    path = tmp_path / "store.db"
    killed_writers(str(path), 10, lambda: SQLiteStore(path, KEY)).close()


def test_nothing_acknowledged_is_lost_when_a_client_of_the_database_is_killed(
    postgres: Postgres,
) -> None:
    """The same where the process that dies is not the one that has the files."""
    dsn = postgres.database()
    killed_writers(dsn, 5, lambda: open_postgres(dsn, KEY)).close()


def test_without_its_driver_the_database_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The extra is named, before anything is connected to."""
    for name in ("psycopg", "accord.service._postgres_store", "accord.service._postgres_pool"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PostgresMissingError):
        open_postgres("dbname=x", KEY)
