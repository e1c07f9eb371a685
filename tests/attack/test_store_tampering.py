# SPDX-License-Identifier: Apache-2.0
"""Somebody with the disk reads, changes, moves or removes what the store put there."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accord.encoding import sha256
from accord.errors import (
    AccordError,
    StoreBusyError,
    StoreIntegrityError,
    StoreKeyError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from accord.service._sqlite_store import SQLiteStore
from accord.service._store import Stored

KEY = bytes(range(32))
BOARD = sha256(b"board")
OTHER = sha256(b"other board")
BODY = b"PLAINTEXT evidence of a chip"
MORE = b"PLAINTEXT collateral"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store with two boards, bodies, secrets and settings."""
    path = tmp_path / "store.db"
    with closing(SQLiteStore(path, KEY)) as store:
        fill(store)
    return path


def add(
    store: SQLiteStore,
    board: str,
    index: int,
    entry: bytes,
    *,
    objects: Mapping[str, bytes] | None = None,
    secrets: Mapping[str, bytes] | None = None,
) -> None:
    fence = store.acquire(board, "writer")
    store.append(board, index, [Stored(entry, objects or {}, secrets or {})], fence=fence)


def fill(store: SQLiteStore) -> None:
    for index in range(4):
        entry = b"PLAINTEXT entry %d" % index
        secrets = {"PLAINTEXT-name": b"PLAINTEXT secret %d" % index}
        add(store, BOARD, index, entry, secrets=secrets)
        add(store, OTHER, index, entry, secrets=secrets)
    objects: dict[str, bytes] = {sha256(BODY): BODY, sha256(MORE): MORE}
    add(store, BOARD, 4, b"PLAINTEXT", objects=objects, secrets={"second": b"PLAINTEXT"})
    store.set_setting("PLAINTEXT-setting", b"PLAINTEXT value")
    store.set_setting("second", b"PLAINTEXT value")


def read_all(path: Path) -> list[object]:
    """Everything that `fill` put there, as it is read back."""
    with closing(SQLiteStore(path, KEY)) as store:
        return [
            store.boards(),
            *(list(store.entries(board)) for board in (BOARD, OTHER)),
            *(store.secret(board, "PLAINTEXT-name") for board in (BOARD, OTHER)),
            store.secret(BOARD, "second"),
            store.object(BOARD, sha256(BODY)),
            store.object(BOARD, sha256(MORE)),
            store.setting("PLAINTEXT-setting"),
            store.setting("second"),
        ]


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def test_no_plaintext_is_in_any_file(tmp_path: Path) -> None:
    """Neither contents nor names nor digests are on the disk, open or closed, WAL included."""
    path = tmp_path / "store.db"
    needles = [b"PLAINTEXT", b"second", sha256(BODY).encode(), bytes.fromhex(sha256(BODY)[7:]), KEY]
    with closing(SQLiteStore(path, KEY)) as store:
        fill(store)
        assert (tmp_path / "store.db-wal").stat().st_size > 0
        for file in tmp_path.iterdir():
            assert [needle for needle in needles if needle in file.read_bytes()] == []
    for file in tmp_path.iterdir():
        assert [needle for needle in needles if needle in file.read_bytes()] == []


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    """No file of the store is readable by others, from the first moment on."""
    with closing(SQLiteStore(tmp_path / "store.db", KEY)) as store:
        fill(store)
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db.lock": 0o600}


TAMPERINGS = {
    "entry moved to the end": "UPDATE entry SET place = 9 WHERE place = 0",
    "first entry removed": "DELETE FROM entry WHERE place = 0",
    "last entry removed": "DELETE FROM entry WHERE place = 4",
    "entry in the middle removed": "DELETE FROM entry WHERE place = 2",
    "entry copied to the end": "INSERT INTO entry SELECT board, 5, sealed FROM entry"
    " WHERE place = 4",
    "entry of another board": "UPDATE entry SET sealed = (SELECT b.sealed FROM entry b"
    " WHERE b.place = entry.place AND b.board != entry.board) WHERE place = 2",
    "entries exchanged": "UPDATE entry SET sealed = (SELECT b.sealed FROM entry b"
    " WHERE b.place = 3 - entry.place AND b.board = entry.board) WHERE place IN (1, 2)",
    "entry of the wrong type": "UPDATE entry SET sealed = x'' WHERE place = 1",
    "board removed": "DELETE FROM entry WHERE board = (SELECT min(board) FROM entry)",
    "board renamed": "UPDATE entry SET board = 'sha256:00' WHERE board ="
    " (SELECT min(board) FROM entry)",
    "everything removed": "DELETE FROM entry",
    "object removed": "DELETE FROM object WHERE rowid = 1",
    "objects exchanged": "UPDATE object SET sealed = (SELECT b.sealed FROM object b"
    " WHERE b.rowid = 3 - object.rowid)",
    "object added": "INSERT INTO object SELECT board, x'00', sealed FROM object LIMIT 1",
    "secret removed": "DELETE FROM secret WHERE rowid = (SELECT max(rowid) FROM secret)",
    "secret flipped": "UPDATE secret SET sealed = zeroblob(40)",
    "secrets exchanged": "UPDATE secret SET sealed = (SELECT b.sealed FROM secret b"
    " WHERE b.rowid != secret.rowid)",
    "secret without a value": "UPDATE secret SET sealed = NULL",
    "setting removed": "DELETE FROM setting WHERE rowid = (SELECT max(rowid) FROM setting)",
    "settings exchanged": "UPDATE setting SET sealed = (SELECT b.sealed FROM setting b"
    " WHERE b.rowid != setting.rowid)",
    "setting without a value": "UPDATE setting SET sealed = NULL",
    "head removed": "UPDATE store SET head = NULL",
    "head exchanged": "UPDATE store SET head = proof",
    "header removed": "DELETE FROM store",
    "header twice": "INSERT INTO store SELECT * FROM store",
    "header of the wrong type": "UPDATE store SET salt = NULL",
    "table added": "CREATE TABLE more (a)",
    "table removed": "DROP TABLE setting",
    "trigger added": "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry; END",
    "table hidden by a view": "CREATE VIEW v AS SELECT * FROM entry",
}


@pytest.mark.parametrize("statement", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_changed_records_are_refused(path: Path, statement: str) -> None:
    """Whatever is changed through SQL is found when the store is opened, or when it is read."""
    change(path, statement)
    with pytest.raises(StoreIntegrityError):
        read_all(path)


@pytest.mark.parametrize("value", ["NULL", "x'ff'", "7", "CAST(x'ff' AS TEXT)"])
@pytest.mark.parametrize("column", ["entry.board", "entry.place", "setting.name", "object.name"])
def test_keys_of_another_type_are_refused(path: Path, column: str, value: str) -> None:
    """A hand-made file may hold any type in any column, whatever its schema promises."""
    table, name = column.split(".")
    schema = f"UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = '{table}'"  # noqa: S608
    change(path, "PRAGMA writable_schema = ON", schema)
    change(path, f"UPDATE {table} SET {name} = {value} WHERE rowid = 1")  # noqa: S608
    schema = f"UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = '{table}'"  # noqa: S608
    change(path, "PRAGMA writable_schema = ON", schema)
    with pytest.raises(StoreIntegrityError):
        read_all(path)


@pytest.mark.parametrize("table", ["entry", "secret", "setting", "object"])
def test_one_table_put_back_to_an_earlier_state_is_refused(path: Path, table: str) -> None:
    """An old copy of a part is recognised by what the rest says."""
    old = path.with_name("old.db")
    shutil.copy(path, old)
    with closing(SQLiteStore(path, KEY)) as store:
        body = b"another"
        add(store, BOARD, 5, b"e", objects={sha256(body): body}, secrets={"second": b"new"})
        store.set_setting("second", b"new")
    change(
        path,
        f"ATTACH '{old}' AS old",
        f"DELETE FROM main.{table}",  # noqa: S608 - names from above
        f"INSERT INTO main.{table} SELECT * FROM old.{table}",  # noqa: S608 - names from above
    )
    with pytest.raises(StoreIntegrityError):
        read_all(path)


@pytest.mark.parametrize("table", ["entry", "secret", "object"])
def test_one_board_put_back_to_an_earlier_state_is_refused(path: Path, table: str) -> None:
    """Rolling back one board, with all its records, does not agree with the head."""
    old = path.with_name("old.db")
    shutil.copy(path, old)
    with closing(SQLiteStore(path, KEY)) as store:
        add(store, BOARD, 5, b"e", secrets={"second": b"new"})
        add(store, OTHER, 4, b"e")
    statements = [f"ATTACH '{old}' AS old"]
    for name in ("entry", "secret", "object"):
        statements.append(f"DELETE FROM main.{name} WHERE board = '{BOARD}'")  # noqa: S608
        statements.append(
            f"INSERT INTO main.{name} SELECT * FROM old.{name}"  # noqa: S608
            f" WHERE board = '{BOARD}'"
        )
    change(path, *statements)
    with pytest.raises(StoreIntegrityError):
        read_all(path)


def test_a_secret_of_another_branch_is_refused(path: Path) -> None:
    """Two continuations of one copy cannot be mixed: the entry names the very record."""
    branch = path.with_name("branch.db")
    shutil.copy(path, branch)
    for file, value in ((path, b"a"), (branch, b"b")):
        with closing(SQLiteStore(file, KEY)) as store:
            add(store, BOARD, 5, b"e", secrets={"second": value})
    change(
        path,
        f"ATTACH '{branch}' AS branch",
        "DELETE FROM main.secret",
        "INSERT INTO main.secret SELECT * FROM branch.secret",
    )
    with pytest.raises(StoreIntegrityError):
        read_all(path)


def test_a_whole_older_copy_is_not_recognised(path: Path) -> None:
    """The limit of the store, stated: rollback of everything takes witnesses to be found."""
    old = path.with_name("old.db")
    shutil.copy(path, old)
    with closing(SQLiteStore(path, KEY)) as store:
        add(store, BOARD, 5, b"e")
    shutil.copy(old, path)
    with closing(SQLiteStore(path, KEY)) as store:
        assert len(list(store.entries(BOARD))) == 5


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_never_changes_what_is_read(path: Path, data: st.DataObject) -> None:
    """A flipped bit is refused with an error of the catalogue, or meant nothing."""
    original = path.read_bytes()
    expected = read_all(path)
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(original) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(changed)
        try:
            found = read_all(path)
        except AccordError as error:
            assert error.code.startswith(("accord-SVC-", "accord-ENC-"))  # noqa: PT017
        else:
            assert found == expected
    finally:
        for file in path.parent.glob("store.db*"):
            file.unlink()
        path.write_bytes(original)


@pytest.mark.parametrize("cut", [1, 512, 4096, 9000])
def test_a_truncated_file_is_refused(path: Path, cut: int) -> None:
    """A file that lost its end does not open."""
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(StoreIntegrityError):
        read_all(path)


def test_an_emptied_file_is_not_a_new_store(path: Path) -> None:
    """A file of no bytes is damage; a new store would forget everything silently."""
    path.write_bytes(b"")
    with pytest.raises(StoreIntegrityError):
        read_all(path)


def test_a_log_without_its_file_is_not_a_new_store(path: Path) -> None:
    """Remains of a store are not written over."""
    path.rename(path.with_name("store.db-wal"))
    with pytest.raises(StoreIntegrityError):
        read_all(path)


def test_a_damaged_write_ahead_log_costs_the_newest_commits_at_most(tmp_path: Path) -> None:
    """SQLite drops what does not check: an earlier state, whole, or an error. Never a mix."""
    path, copy = tmp_path / "store.db", tmp_path / "copy" / "store.db"
    copy.parent.mkdir()
    with closing(SQLiteStore(path, KEY)) as store:
        fill(store)
        main, log = path.read_bytes(), path.with_name("store.db-wal").read_bytes()
    whole = [b"PLAINTEXT entry %d" % index for index in range(4)] + [b"PLAINTEXT"]
    for at in range(0, len(log), len(log) // 40):
        copy.write_bytes(main)
        copy.with_name("store.db-wal").write_bytes(log[:at] + bytes([log[at] ^ 1]) + log[at + 1 :])
        try:
            with closing(SQLiteStore(copy, KEY)) as store:
                found = list(store.entries(BOARD))
            assert found == whole[: len(found)]
        except AccordError as error:
            assert error.code.startswith("accord-SVC-")  # noqa: PT017


def test_a_second_process_is_refused(path: Path) -> None:
    """While one has the store open nobody else gets it; afterwards it opens again."""
    with closing(SQLiteStore(path, KEY)), pytest.raises(StoreBusyError):
        SQLiteStore(path, KEY)
    assert read_all(path)[0] == sorted([BOARD, OTHER])


def test_a_foreign_writer_is_kept_out_by_sqlite_too(path: Path) -> None:
    """A tool that ignores the lock file cannot write while the store is open."""
    with (
        closing(SQLiteStore(path, KEY)),
        closing(sqlite3.connect(path, timeout=0)) as db,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        db.execute("DELETE FROM entry")


def test_another_key_does_not_open_the_store(path: Path) -> None:
    """A wrong key is told apart from damage."""
    with pytest.raises(StoreKeyError):
        SQLiteStore(path, bytes(32))
    assert read_all(path)[0] == sorted([BOARD, OTHER])


def test_a_key_of_another_length_is_a_bug(path: Path) -> None:
    """The store does not stretch keys."""
    with pytest.raises(RuntimeError, match="32 bytes"):
        SQLiteStore(path, b"short")


@pytest.mark.parametrize(
    "statement", ["UPDATE store SET format = 'accord.store.v1'", "DROP TABLE store"]
)
def test_another_format_is_named(path: Path, statement: str) -> None:
    """A store of another version, or another database, is not taken for a damaged one."""
    change(path, statement)
    with pytest.raises(UnsupportedFormatError):
        read_all(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """Bytes of something else are an integrity error, not a traceback."""
    path.write_bytes(b"not a database, but of some length" * 300)
    with pytest.raises(StoreIntegrityError):
        read_all(path)


@pytest.mark.parametrize("place", ["missing/store.db", "file/store.db"])
def test_an_impossible_place_is_reported(tmp_path: Path, place: str) -> None:
    """Where no file can be made the store says so."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError):
        SQLiteStore(tmp_path / place, KEY)


def test_a_directory_in_its_place_is_reported(tmp_path: Path) -> None:
    """A folder of that name is not a store."""
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreUnavailableError):
        SQLiteStore(tmp_path / "store.db", KEY)


def test_an_interrupted_creation_is_begun_again(tmp_path: Path) -> None:
    """What a killed first start left behind is not taken for a store."""
    (tmp_path / "store.db.part").write_bytes(b"half")
    (tmp_path / "store.db.part-wal").write_bytes(b"half")
    with closing(SQLiteStore(tmp_path / "store.db", KEY)) as store:
        assert store.boards() == []


def swap_under(store: SQLiteStore, statement: str, *values: object) -> None:
    store._file.query(statement, *values)


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("DELETE FROM entry WHERE place = 4", lambda s: list(s.entries(BOARD))),
        ("UPDATE entry SET sealed = zeroblob(40)", lambda s: list(s.entries(BOARD))),
        ("DELETE FROM object", lambda s: s.object(BOARD, sha256(BODY))),
        ("DELETE FROM secret", lambda s: s.secret(BOARD, "second")),
        ("DELETE FROM setting", lambda s: s.setting("second")),
    ],
    ids=["entry gone", "entry flipped", "object gone", "secret gone", "setting gone"],
)
def test_records_changed_while_the_store_is_open_are_refused(
    path: Path, statement: str, read: Callable[[SQLiteStore], object]
) -> None:
    """Reading checks again: what was sound at the start may have been changed since."""
    with closing(SQLiteStore(path, KEY)) as store:
        swap_under(store, statement)
        with pytest.raises(StoreIntegrityError):
            read(store)


def test_old_values_put_back_while_the_store_is_open_are_refused(path: Path) -> None:
    """A secret, a setting and a last entry of another time are genuine, and still refused."""
    with closing(SQLiteStore(path, KEY)) as store:
        ((secret,),) = store._file.query(
            "SELECT sealed FROM secret WHERE name = ?", store._seal.mask("secret", BOARD, "second")
        )
        ((setting,),) = store._file.query(
            "SELECT sealed FROM setting WHERE name = ?", store._seal.mask("setting", "second")
        )
        last = store._seal.seal(
            bytes(8) + b"other", "entry", BOARD, 5, store._boards[BOARD].last.hex()
        )
        add(store, BOARD, 5, b"e", secrets={"second": b"new"})
        store.set_setting("second", b"new")
        mask = store._seal.mask("secret", BOARD, "second")
        swap_under(store, "UPDATE secret SET sealed = ? WHERE name = ?", secret, mask)
        mask = store._seal.mask("setting", "second")
        swap_under(store, "UPDATE setting SET sealed = ? WHERE name = ?", setting, mask)
        swap_under(store, "UPDATE entry SET sealed = ? WHERE place = 5", last)
        with pytest.raises(StoreIntegrityError):
            store.secret(BOARD, "second")
        with pytest.raises(StoreIntegrityError):
            store.setting("second")
        with pytest.raises(StoreIntegrityError):
            list(store.entries(BOARD))


def test_after_a_failed_write_nothing_more_is_written(path: Path) -> None:
    """A full disk refuses the entry, and all later ones until the store is opened again."""
    with closing(SQLiteStore(path, KEY)) as store:
        store._file.query("PRAGMA max_page_count = 1")
        with pytest.raises(StoreUnavailableError, match="full"):
            add(store, BOARD, 5, bytes(100_000))
        store._file.query("PRAGMA max_page_count = 100000")
        with pytest.raises(StoreUnavailableError, match="earlier write"):
            add(store, BOARD, 5, b"small")
        assert len(list(store.entries(BOARD))) == 5
    with closing(SQLiteStore(path, KEY)) as store:
        add(store, BOARD, 5, b"small")
        assert len(list(store.entries(BOARD))) == 6


def delete_and_fail(store: SQLiteStore) -> None:
    store._file.query("DELETE FROM entry")
    store._file.query("DELETE FROM nothing")


def test_an_interrupted_write_leaves_nothing(path: Path) -> None:
    """A transaction that fails half-way is rolled back, and the store is read on."""
    with closing(SQLiteStore(path, KEY)) as store:
        with pytest.raises(StoreIntegrityError), store._file.transaction():
            delete_and_fail(store)
        assert len(list(store.entries(BOARD))) == 5


def test_commits_are_flushed_to_the_disk(path: Path) -> None:
    """Durability is a setting that nobody sees when it is lost."""
    with closing(SQLiteStore(path, KEY)) as store:
        assert store._file.query("PRAGMA synchronous") == [(2,)]  # FULL
        assert store._file.query("PRAGMA journal_mode") == [("wal",)]


def test_a_disk_without_a_write_ahead_log_is_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durability is not silently weaker where SQLite falls back to another journal."""
    pragmas = ("locking_mode = EXCLUSIVE", "journal_mode = MEMORY")
    monkeypatch.setattr("accord.service._sqlite_file._PRAGMAS", pragmas)
    with pytest.raises(StoreUnavailableError, match="write-ahead log"):
        SQLiteStore(path.with_name("other.db"), KEY)
