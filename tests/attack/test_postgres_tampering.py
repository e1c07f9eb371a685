# SPDX-License-Identifier: Apache-2.0
"""Whoever runs the database reads, changes, moves or removes what the store put there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from tests.support.postgres import Postgres, running_postgres

from accord.encoding import sha256
from accord.errors import (
    NotWriterError,
    StoreConflictError,
    StoreIntegrityError,
    StoreKeyError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from accord.service._postgres_store import PostgresStore
from accord.service._store import Stored

KEY = bytes(range(32))
BOARD = sha256(b"board")
OTHER = sha256(b"other board")
BODY = b"PLAINTEXT evidence of a chip"
MORE = b"PLAINTEXT collateral"


@pytest.fixture
def dsn(postgres: Postgres) -> str:
    """A database with a store of two boards, bodies, secrets and settings."""
    dsn = postgres.database()
    with closing(PostgresStore(dsn, KEY)) as store:
        fill(store)
    return dsn


@pytest.fixture
def store(dsn: str) -> Iterator[PostgresStore]:
    """A store that has read everything, and stays open while the database is changed."""
    with closing(PostgresStore(dsn, KEY)) as store:
        read(store)
        yield store


def fill(store: PostgresStore) -> None:
    for board in (BOARD, OTHER):
        fence = store.acquire(board, "PLAINTEXT-writer" if board == OTHER else "writer")
        batch = [
            Stored(b"PLAINTEXT entry %d" % index, {}, {"PLAINTEXT-name": b"PLAINTEXT %d" % index})
            for index in range(4)
        ]
        store.append(board, 0, batch, fence=fence)
    add(store, 4, secrets={"second": b"PLAINTEXT"}, bodies=(BODY, MORE))
    store.save_projection(BOARD, 5, b"PLAINTEXT state")
    store.save_projection(OTHER, 4, b"PLAINTEXT state")
    store.set_setting("PLAINTEXT-setting", b"PLAINTEXT value")
    store.set_setting("second", b"PLAINTEXT value")


def add(
    store: PostgresStore,
    index: int,
    *,
    secrets: dict[str, bytes] | None = None,
    bodies: tuple[bytes, ...] = (),
) -> None:
    stored = Stored(b"PLAINTEXT", {sha256(body): body for body in bodies}, secrets or {})
    store.append(BOARD, index, [stored], fence=store.acquire(BOARD, "writer"))


def read(store: PostgresStore) -> list[object]:
    """Everything that `fill` put there, as it is read back."""
    return [
        store.boards(),
        *(list(store.entries(board)) for board in (BOARD, OTHER)),
        *(store.secret(board, "PLAINTEXT-name") for board in (BOARD, OTHER)),
        store.secret(BOARD, "second"),
        store.object(BOARD, sha256(BODY)),
        store.object(BOARD, sha256(MORE)),
        store.projection(BOARD),
        store.projection(OTHER),
        store.setting("PLAINTEXT-setting"),
        store.setting("second"),
    ]


def read_more(store: PostgresStore) -> None:
    read(store)
    store.object(BOARD, sha256(b"another"))


def change(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as db:
        for statement in statements:
            db.execute(statement.encode())


def test_what_was_stored_is_read(dsn: str, store: PostgresStore) -> None:
    """Without anybody's doing nothing is refused: the tests below change one thing each."""
    with closing(PostgresStore(dsn, KEY)) as again:
        assert read(again) == read(store)


def test_no_plaintext_is_in_any_table(dsn: str) -> None:
    """Neither contents nor names nor digests; only boards and writers are named."""
    needles = ["PLAINTEXT", "second", sha256(BODY)[7:], KEY.hex()]
    needles += [needle.encode().hex() for needle in needles]
    with psycopg.connect(dsn) as db:
        for table in ("store", "board", "entry", "object", "secret", "setting", "projection"):
            rows = db.execute(f"SELECT * FROM accord.{table}".encode()).fetchall()  # noqa: S608
            shown = str([[v.hex() if isinstance(v, bytes) else v for v in row] for row in rows])
            assert rows
            assert [needle for needle in needles if needle in shown] == []


SWAP = "UPDATE accord.{0} SET sealed = (SELECT b.sealed FROM accord.{0} b WHERE {1}) WHERE {2}"
TAMPERINGS = {
    "entry flipped": "UPDATE accord.entry SET sealed = '\\x00' WHERE place = 1",
    "first entry removed": "DELETE FROM accord.entry WHERE place = 0",
    "entry in the middle removed": "DELETE FROM accord.entry WHERE place = 2",
    "last entry removed": "DELETE FROM accord.entry WHERE place = 4",
    "entry moved to the end": "UPDATE accord.entry SET place = 9 WHERE place = 0",
    "entry of another board": SWAP.format(
        "entry", "b.place = entry.place AND b.board <> entry.board", "place = 2"
    ),
    "entries exchanged": SWAP.format(
        "entry", "b.place = 3 - entry.place AND b.board = entry.board", "place IN (1, 2)"
    ),
    "all entries removed": "DELETE FROM accord.entry",
    "board without its head": "DELETE FROM accord.board WHERE size = 4",
    "head flipped": "UPDATE accord.board SET head = '\\x00'",
    "head says another size": "UPDATE accord.board SET size = size - 1",
    "heads exchanged": "UPDATE accord.board SET head ="
    " (SELECT b.head FROM accord.board b WHERE b.board <> board.board)",
    "object removed": "DELETE FROM accord.object WHERE name ="
    " (SELECT name FROM accord.object ORDER BY name LIMIT 1)",
    "objects exchanged": SWAP.format("object", "b.name <> object.name", "true"),
    "object flipped": "UPDATE accord.object SET sealed = '\\x00'",
    "secret removed": "DELETE FROM accord.secret",
    "secret flipped": "UPDATE accord.secret SET sealed = '\\x00'",
    "secrets exchanged": SWAP.format(
        "secret", "b.board <> secret.board AND b.name <> secret.name LIMIT 1", "true"
    ),
    "setting removed": "DELETE FROM accord.setting WHERE name ="
    " (SELECT name FROM accord.setting ORDER BY name LIMIT 1)",
    "settings removed": "DELETE FROM accord.setting",
    "setting added": "INSERT INTO accord.setting VALUES ('\\x00', '\\x00')",
    "settings' head flipped": "UPDATE accord.store SET head = '\\x00'",
    "setting flipped": "UPDATE accord.setting SET sealed = '\\x00'",
    "settings exchanged": SWAP.format("setting", "b.name <> setting.name", "true"),
    "projection flipped": "UPDATE accord.projection SET sealed = '\\x00'",
    "projections exchanged": SWAP.format("projection", "b.board <> projection.board", "true"),
    "projection of another size": "UPDATE accord.projection SET size = size - 1",
    "column of another type": "ALTER TABLE accord.entry ALTER sealed TYPE TEXT USING 'x'",
    "table removed": "DROP TABLE accord.secret",
    "header twice": "INSERT INTO accord.store SELECT * FROM accord.store",
    "header removed": "DELETE FROM accord.store",
    "header of another type": "ALTER TABLE accord.store ALTER salt TYPE TEXT USING 'x'",
}


@pytest.mark.parametrize("statement", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_changed_records_are_refused(dsn: str, statement: str) -> None:
    """What was changed through SQL is found when the store is opened, or when it is read."""
    change(dsn, statement)
    with pytest.raises(StoreIntegrityError), closing(PostgresStore(dsn, KEY)) as store:
        read(store)


def copied(*tables: str) -> list[str]:
    return [f"CREATE TABLE old_{name} AS SELECT * FROM accord.{name}" for name in tables]  # noqa: S608


def put_back(*tables: str) -> list[str]:
    return [
        part
        for name in tables
        for part in (
            f"DELETE FROM accord.{name}",  # noqa: S608 - names from above
            f"INSERT INTO accord.{name} SELECT * FROM old_{name}",  # noqa: S608
        )
    ]


@pytest.mark.parametrize("table", ["entry", "secret", "object", "board", "setting", "store"])
def test_one_table_put_back_to_an_earlier_state_is_refused(dsn: str, table: str) -> None:
    """An old copy of a part, the head for instance, is recognised by what the rest says."""
    change(dsn, *copied(table))
    with closing(PostgresStore(dsn, KEY)) as store:
        add(store, 5, secrets={"second": b"new"}, bodies=(b"another",))
        store.set_setting("second", b"new")
        assert store.object(BOARD, sha256(b"another")) == b"another"
    change(dsn, *put_back(table))
    with closing(PostgresStore(dsn, KEY)) as store, pytest.raises(StoreIntegrityError):
        read_more(store)


def test_a_board_put_back_under_an_open_store_is_refused(dsn: str, store: PostgresStore) -> None:
    """Whoever has seen the newer state knows that this one is old."""
    tables = ("board", "entry", "secret", "object")
    change(dsn, *copied(*tables))
    add(store, 5, secrets={"second": b"new"})
    change(dsn, *put_back(*tables))
    for call in (
        lambda: store.size(BOARD),
        lambda: store.secret(BOARD, "second"),
        lambda: list(store.entries(BOARD)),
    ):
        with pytest.raises(StoreIntegrityError):
            call()
    with pytest.raises(StoreConflictError):
        add(store, 6)


def test_a_whole_older_board_is_not_recognised_by_a_newcomer(dsn: str) -> None:
    """The limit of the store, stated: that takes witnesses to be found."""
    tables = ("board", "entry", "secret", "object")
    change(dsn, *copied(*tables))
    with closing(PostgresStore(dsn, KEY)) as store:
        add(store, 5)
    change(dsn, *put_back(*tables))
    with closing(PostgresStore(dsn, KEY)) as store:
        assert store.size(BOARD) == 5


def test_another_continuation_under_an_open_store_is_refused(
    dsn: str, store: PostgresStore
) -> None:
    """A fork of what this process has read does not follow it."""
    tables = ("board", "entry", "secret", "object")
    change(dsn, *copied(*tables))
    add(store, 5)
    change(dsn, *put_back(*tables))
    with closing(PostgresStore(dsn, KEY)) as fork:
        add(fork, 5)
        with pytest.raises(StoreIntegrityError):
            store.size(BOARD)
        add(fork, 6)
    with pytest.raises(StoreIntegrityError):
        list(store.entries(BOARD))


def test_records_changed_while_the_store_is_open_are_refused(
    dsn: str, store: PostgresStore
) -> None:
    """Reading checks again: what was sound before may have been changed since."""
    change(dsn, "DELETE FROM accord.object", "DELETE FROM accord.secret")
    with pytest.raises(StoreIntegrityError):
        store.object(BOARD, sha256(BODY))
    with pytest.raises(StoreIntegrityError):
        store.secret(BOARD, "second")
    assert store.object(BOARD, sha256(b"never there")) is None


def test_an_entry_planted_where_the_next_one_belongs_is_refused(
    dsn: str, store: PostgresStore
) -> None:
    """Somebody else's record at the next place stops the writer; it is not written over."""
    change(dsn, f"INSERT INTO accord.entry VALUES ('{BOARD}', 5, '\\x00')")  # noqa: S608
    with pytest.raises(StoreIntegrityError):
        add(store, 5)
    assert store.size(BOARD) == 5


def test_a_head_moved_on_stops_the_writer(dsn: str, store: PostgresStore) -> None:
    """Where the database says another size nothing is stored."""
    change(dsn, "UPDATE accord.board SET size = size + 1")
    with pytest.raises(StoreConflictError):
        add(store, 5)


def test_a_fence_taken_away_stops_the_writer(dsn: str, store: PostgresStore) -> None:
    """Without its row in the table of writers nobody appends."""
    fence = store.acquire(BOARD, "writer")
    change(dsn, "DELETE FROM accord.writer")
    with pytest.raises(NotWriterError, match="nobody"):
        store.append(BOARD, 5, [Stored(b"x")], fence=fence)
    change(dsn, "DELETE FROM accord.writer")
    with pytest.raises(NotWriterError, match="nobody"):
        store.renew(BOARD, fence)


def test_another_key_does_not_open_the_store(dsn: str) -> None:
    """A wrong key is told apart from damage, and one of another length is a bug."""
    with pytest.raises(StoreKeyError):
        PostgresStore(dsn, bytes(32))
    with pytest.raises(RuntimeError, match="32 bytes"):
        PostgresStore(dsn, b"short")


def test_another_format_is_named(dsn: str) -> None:
    """A store of another version is not taken for a damaged one."""
    change(dsn, "UPDATE accord.store SET format = 'accord.store.v1'")
    with pytest.raises(UnsupportedFormatError):
        PostgresStore(dsn, KEY)


def test_a_password_is_not_in_the_error(postgres: Postgres) -> None:
    """Neither a server that is not there nor a string that is none shows the secret in it."""
    for conninfo in (
        f"host={postgres.folder} port=1 password=hunter2 dbname=x",
        "postgresql://user:hunter2@127.0.0.1:1/x",
        "password=hunter2 nonsense",
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            PostgresStore(conninfo, KEY)
        error: BaseException | None = caught.value
        while error is not None:
            assert "hunter2" not in str(error) + repr(error)
            error = error.__cause__ or error.__context__


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """A server that no other module uses, to be stopped."""
    with running_postgres() as server:
        yield server


def test_a_server_that_would_lose_commits_is_refused(mortal: Postgres) -> None:
    """Durability is not silently weaker where somebody switched it off."""
    dsn = mortal.database()
    mortal.stop()
    mortal.start(fsync="off")
    try:
        with pytest.raises(StoreUnavailableError, match="fsync"):
            PostgresStore(dsn, KEY)
    finally:
        mortal.stop()
        mortal.start()


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(mortal: Postgres) -> None:
    """A write into a dead server fails; after its recovery everything before is there."""
    with closing(PostgresStore(mortal.database(), KEY)) as store:
        fill(store)
        add(store, 5)
        expected = read(store)
        mortal.stop()
        try:
            with pytest.raises(StoreUnavailableError):
                add(store, 6)
            with pytest.raises(StoreUnavailableError):
                store.size(BOARD)
        finally:
            mortal.start()
        assert read(store) == expected
        add(store, 6)
        assert store.size(BOARD) == 7
