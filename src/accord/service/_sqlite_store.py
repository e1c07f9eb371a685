# SPDX-License-Identifier: Apache-2.0
"""A store in one SQLite file (docs/spec/store.md)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from accord.encoding import JSONValue, canonical_json, parse_digest
from accord.errors import (
    StoreConflictError,
    StoreKeyError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from accord.service._fences import Fences
from accord.service._sqlite_file import Row, SQLiteFile
from accord.service._store import Stored
from accord.service._store_chain import PAGE, Chain, follow, open_record, seal_batch
from accord.service._store_seal import FORMAT, KEY_BYTES, Seal, StateDigest, link

_SCHEMA = {
    "store": "CREATE TABLE store (format TEXT, salt BLOB, proof BLOB, head BLOB) STRICT",
    "projection": (
        "CREATE TABLE projection (board TEXT PRIMARY KEY, size INTEGER, sealed BLOB) STRICT"
    ),
    "entry": (
        "CREATE TABLE entry (board TEXT, place INTEGER, sealed BLOB,"
        " PRIMARY KEY (board, place)) STRICT"
    ),
    "object": (
        "CREATE TABLE object (board TEXT, name BLOB, sealed BLOB, PRIMARY KEY (board, name)) STRICT"
    ),
    "secret": (
        "CREATE TABLE secret (board TEXT, name BLOB, sealed BLOB, PRIMARY KEY (board, name)) STRICT"
    ),
    "setting": "CREATE TABLE setting (name BLOB PRIMARY KEY, sealed BLOB) STRICT",
}


class SQLiteStore:
    """A store in one SQLite file that holds ciphertext only.

    A record that was changed, moved, exchanged or removed is refused when the store is opened
    or the record is read. An *older copy of the whole store* is not recognised: that takes
    witnesses. Neither is the loss of the newest commits through damage to the write-ahead log,
    which amounts to the same. Numbers, sizes and times of records are visible.

    After a write has failed the store refuses further writes, since what reached the disk is
    then unknown; opening it again shows.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        """Opens the store at ``path``, or makes it.

        Raises ``StoreBusyError``, ``StoreKeyError``, ``StoreIntegrityError``,
        ``StoreUnavailableError`` or ``UnsupportedFormatError``.
        """
        if len(key) != KEY_BYTES:
            message = f"a store key has {KEY_BYTES} bytes"
            raise RuntimeError(message)
        self._lock = threading.Lock()
        self._closed = False
        self._boards: dict[str, Chain] = {}
        self._settings: dict[bytes, int] = {}
        self._fences = Fences()
        self._file = SQLiteFile(path, make=lambda file: _make(file, key))
        try:
            self._seal = self._header(key)
            self._digest = self._load()
        except BaseException:
            self._file.close()
            raise

    # --- reading ---------------------------------------------------------------------------

    def boards(self) -> list[str]:
        with self._open():
            return sorted(self._boards)

    def size(self, board: str) -> int:
        with self._open():
            return self._boards.get(board, Chain()).size

    def entries(self, board: str, start: int = 0) -> Iterator[bytes]:
        with self._open():
            known = self._boards.get(board, Chain())
            size, last = known.size, known.last
            previous = b""
            if 0 < start <= size:
                previous = link(self._rows(board, start - 1, start)[0][1])
        for begin in range(start, size, PAGE):
            with self._open():
                rows = self._rows(board, begin, min(begin + PAGE, size))
            for place, sealed in rows:
                yield open_record(
                    self._seal, board, place, sealed, previous=previous, changed=self._file.changed
                ).entry
                previous = link(sealed)
        if start <= size and previous != last:
            raise self._file.changed("the last entry is another one")

    def object(self, board: str, digest: str) -> bytes | None:
        name = self._seal.mask("object", board, digest)
        with self._open():
            rows = self._file.query(
                "SELECT sealed FROM object WHERE board = ? AND name = ?", board, name
            )
        if rows:
            return self._opened(rows, "object", board, name.hex())
        if self._names_object(board, name):
            raise self._file.changed("a body is missing")
        return None

    def secret(self, board: str, name: str) -> bytes | None:
        mask = self._seal.mask("secret", board, name)
        with self._open():
            if board not in self._boards or mask not in self._boards[board].secrets:
                return None
            expected = self._boards[board].secrets[mask]
            rows = self._file.query(
                "SELECT sealed FROM secret WHERE board = ? AND name = ?", board, mask
            )
        value = self._opened(rows, "secret", board, mask.hex())
        if link(rows[0][0]) != expected:
            raise self._file.changed("a secret is not the latest one")
        return value

    def setting(self, name: str) -> bytes | None:
        mask = self._seal.mask("setting", name)
        with self._open():
            return self._setting(mask)

    def _setting(self, mask: bytes) -> bytes | None:
        if mask not in self._settings:
            return None
        expected = self._settings[mask]
        rows = self._file.query("SELECT sealed FROM setting WHERE name = ?", mask)
        value = self._opened(rows, "setting", mask.hex())
        if self._setting_mark(mask, rows[0][0]) != expected:
            raise self._file.changed("a setting is not the latest one")
        return value

    # --- writing ---------------------------------------------------------------------------

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        parse_digest(board, what="board")
        with self._open():
            self._fences.check(board, fence)
            known = self._boards.get(board, Chain())
            if first != known.size:
                raise StoreConflictError(index=first, board=board, expected=known.size)
            sealed = seal_batch(self._seal, board, known, batch)
            before = self._board_mark(board, known.size, known.last)
            after = self._board_mark(board, sealed.size, sealed.last)
            digest = self._digest.swapped(before, after)
            insert = self._file.query
            with self._file.transaction():
                for place, entry in enumerate(sealed.entries, first):
                    insert("INSERT INTO entry VALUES (?, ?, ?)", board, place, entry)
                for mask, body in sealed.objects.items():
                    insert("INSERT OR IGNORE INTO object VALUES (?, ?, ?)", board, mask, body)
                for mask, value in sealed.secrets.items():
                    insert("INSERT OR REPLACE INTO secret VALUES (?, ?, ?)", board, mask, value)
                self._write_head(digest)
            # What is known changes only after the disk has it.
            sealed.extend(known)
            self._boards[board], self._digest = known, digest

    def scrub(self) -> None:
        # What is freed is overwritten (secure_delete); the write-ahead log still has it.
        with self._open():
            [[busy, _, _]] = self._file.query("PRAGMA wal_checkpoint(TRUNCATE)")
            if busy:
                raise StoreUnavailableError(path=self._file.path, detail="its log stays as it is")

    def set_setting(self, name: str, value: bytes) -> None:
        mask = self._seal.mask("setting", name)
        with self._open():
            self._set(mask, value)

    def default_setting(self, name: str, value: bytes) -> bytes:
        mask = self._seal.mask("setting", name)
        with self._open():
            if mask not in self._settings:
                self._set(mask, value)
        return self.setting(name) or b""

    def replace_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        mask = self._seal.mask("setting", name)
        with self._open():
            if self._setting(mask) != expected:
                return False
            self._set(mask, value)
            return True

    def _set(self, mask: bytes, value: bytes) -> None:
        sealed = self._seal.seal(value, "setting", mask.hex())
        mark = self._setting_mark(mask, sealed)
        digest = self._digest.swapped(self._settings.get(mask, 0), mark)
        with self._file.transaction():
            self._file.query("INSERT OR REPLACE INTO setting VALUES (?, ?)", mask, sealed)
            self._write_head(digest)
        self._settings[mask], self._digest = mark, digest

    # --- the writer and what it can compute again ------------------------------------------

    def acquire(self, board: str, holder: str) -> int:
        with self._open():
            return self._fences.acquire(board, holder)

    def renew(self, board: str, fence: int) -> None:
        with self._open():
            self._fences.check(board, fence)

    def release_writer(self, board: str, fence: int) -> None:
        with self._open():
            self._fences.release(board, fence)

    def projection(self, board: str) -> tuple[int, bytes] | None:
        with self._open():
            rows = self._file.query("SELECT size, sealed FROM projection WHERE board = ?", board)
        if not rows:
            return None
        size = rows[0][0]
        return size, self._opened([rows[0][1:]], "projection", board, size)

    def save_projection(self, board: str, size: int, data: bytes) -> None:
        with self._open():
            sealed = self._seal.seal(data, "projection", board, size)
            with self._file.transaction():
                self._file.query(
                    "INSERT OR REPLACE INTO projection VALUES (?, ?, ?)", board, size, sealed
                )

    def drop_projections(self, board: str) -> None:
        with self._open(), self._file.transaction():
            self._file.query("DELETE FROM projection WHERE board = ?", board)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._file.close()

    # --- opening ---------------------------------------------------------------------------

    def _header(self, key: bytes) -> Seal:
        """The keys of the store, if the file is one and ``key`` is its key."""
        tables = self._file.query("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        if not any(name == "store" for name, _ in tables):
            raise UnsupportedFormatError(what="store", found="no header", expected=FORMAT)
        rows = self._file.query("SELECT * FROM store")
        if len(rows) != 1:
            raise self._file.changed("its header is missing")
        if rows[0][0] != FORMAT:
            raise UnsupportedFormatError(what="store", found=repr(rows[0][0]), expected=FORMAT)
        # Also refuses triggers and views: nothing runs in this database but our statements.
        if len(tables) != len(_SCHEMA) or dict(tables) != _SCHEMA:
            raise self._file.changed("its tables are not those of its format")
        _, salt, proof, _ = rows[0]
        if not isinstance(salt, bytes) or not isinstance(proof, bytes):
            raise self._file.changed("its header is damaged")
        seal = Seal(key, salt=salt)
        if seal.open(proof, "proof") is None:
            raise StoreKeyError(path=self._file.path)
        return seal

    def _load(self) -> StateDigest:
        """Reads everything once and compares it with the head; the verified digest."""
        # (1) The file is a sound SQLite database; that covers the types of key columns too.
        if self._file.query("PRAGMA integrity_check(1)") != [("ok",)]:
            raise self._file.changed("the database is damaged")
        digest = StateDigest()
        # (2) Every board has entries 0, 1, 2, ... and each opens after the one before it.
        expected: set[Row] = set()
        for board, count in self._file.query("SELECT board, count(*) FROM entry GROUP BY board"):
            known = Chain()
            for start in range(0, count, PAGE):
                rows = [row[1] for row in self._rows(board, start, min(start + PAGE, count))]
                bodies = follow(self._seal, board, known, rows, changed=self._file.changed)
                expected.update((board, name) for name in bodies)
            digest = digest.swapped(0, self._board_mark(board, known.size, known.last))
            self._boards[board] = known
        # (3) Bodies and secrets are those that the entries brought: none gone, none added.
        if set(self._file.query("SELECT board, name FROM object")) != expected:
            raise self._file.changed("bodies are missing or added")
        values = [
            (board, name, link(sealed) if isinstance(sealed, bytes) else None)
            for board, name, sealed in self._file.query("SELECT board, name, sealed FROM secret")
        ]
        if set(values) != {
            (b, name, at) for b, known in self._boards.items() for name, at in known.secrets.items()
        }:
            raise self._file.changed("secrets are missing, added or old")
        # (4) Boards and settings are together what the last commit left.
        for name, sealed in self._file.query("SELECT name, sealed FROM setting"):
            if not isinstance(sealed, bytes):
                raise self._file.changed("a setting is damaged")
            self._settings[name] = self._setting_mark(name, sealed)
            digest = digest.swapped(0, self._settings[name])
        head = self._opened(self._file.query("SELECT head FROM store"), "head")
        if head != canonical_json(digest.to_hex()):
            raise self._file.changed("parts of it are from different times")
        return digest

    # --- records ---------------------------------------------------------------------------

    def _rows(self, board: str, start: int, end: int) -> list[Row]:
        rows = self._file.query(
            "SELECT place, sealed FROM entry WHERE board = ? AND place >= ? AND place < ?"
            " ORDER BY place",
            *(board, start, end),
        )
        if [row[0] for row in rows] != list(range(start, end)):
            raise self._file.changed(f"entries {start} to {end - 1} are not all there")
        if not all(isinstance(row[1], bytes) for row in rows):
            raise self._file.changed("an entry has another type")
        return rows

    def _names_object(self, board: str, name: bytes) -> bool:
        """Whether an entry brought this body: a search through all, for what should be there."""
        known = Chain()
        for start in range(0, self.size(board), PAGE):
            with self._open():
                rows = self._rows(board, start, min(start + PAGE, self._boards[board].size))
            sealed = [row[1] for row in rows]
            if name in follow(self._seal, board, known, sealed, changed=self._file.changed):
                return True
        return False

    def _opened(self, rows: list[Row], *place: JSONValue) -> bytes:
        """The plaintext of the one sealed field in ``rows``, which must be there."""
        sealed = rows[0][0] if len(rows) == 1 else None
        plaintext = self._seal.open(sealed, *place) if isinstance(sealed, bytes) else None
        if plaintext is None:
            raise self._file.changed(f"a record of kind {place[0]} is missing or not genuine")
        return plaintext

    def _write_head(self, digest: StateDigest) -> None:
        head = self._seal.seal(canonical_json(digest.to_hex()), "head")
        self._file.query("UPDATE store SET head = ?", head)

    def _board_mark(self, board: str, size: int, last: bytes) -> int:
        """What a board with these entries adds to the digest; no entries, nothing."""
        return self._seal.mark("board", board, size, last.hex()) if size else 0

    def _setting_mark(self, name: bytes, sealed: bytes) -> int:
        return self._seal.mark("setting", name.hex(), link(sealed).hex())

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                message = "the store is closed"
                raise RuntimeError(message)
            yield


def _make(file: SQLiteFile, key: bytes) -> None:
    """Fills a new file: the tables, a salt, a proof of the key, and the digest of nothing."""
    salt = os.urandom(KEY_BYTES)
    seal = Seal(key, salt=salt)
    head = seal.seal(canonical_json(StateDigest().to_hex()), "head")
    for statement in _SCHEMA.values():
        file.query(statement)
    row = (FORMAT, salt, seal.seal(b"", "proof"), head)
    file.query("INSERT INTO store VALUES (?, ?, ?, ?)", *row)
