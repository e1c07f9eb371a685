# SPDX-License-Identifier: Apache-2.0
"""A store in a PostgreSQL database, for several processes (docs/spec/store.md)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg

from accord.encoding import JSONValue, canonical_json, parse_digest
from accord.errors import (
    NotWriterError,
    StoreConflictError,
    StoreKeyError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from accord.service._postgres_pool import Connections, Row
from accord.service._postgres_tables import (
    ACQUIRE,
    END,
    HOLD,
    MAKING,
    SETTINGS,
    make,
)
from accord.service._store import Stored
from accord.service._store_chain import (
    PAGE,
    Chain,
    SealedBatch,
    follow,
    open_record,
    seal_batch,
)
from accord.service._store_seal import FORMAT, KEY_BYTES, Seal, StateDigest, link

LEASE_S = 10
"""How long a writer that says nothing keeps others from taking over."""


@dataclass(slots=True)
class _Known:
    """What this process has read of a board; the lock is for its own threads."""

    chain: Chain = field(default_factory=Chain)
    lock: threading.Lock = field(default_factory=threading.Lock)


class PostgresStore:
    """A store in a database that holds ciphertext only, and may be run by anybody.

    A record that was changed, moved, exchanged or removed is refused when it is read. An older
    state of a *whole board* is recognised only by a process that has seen a newer one, and an
    older state of all settings not at all: that takes witnesses. Boards commit independently.
    """

    def __init__(self, conninfo: str, key: bytes, *, lease_s: float = LEASE_S) -> None:
        """Opens the store, or makes it.

        Raises ``StoreKeyError``, ``StoreIntegrityError``, ``StoreUnavailableError`` or
        ``UnsupportedFormatError``.
        """
        if len(key) != KEY_BYTES:
            message = f"a store key has {KEY_BYTES} bytes"
            raise RuntimeError(message)
        self._lease = f"{lease_s} s"
        self._lock = threading.Lock()
        self._boards: dict[str, _Known] = {}
        self._pool = Connections(conninfo)
        try:
            self._seal = self._header(key)
        except BaseException:
            self._pool.close()
            raise

    # --- reading ---------------------------------------------------------------------------

    def boards(self) -> list[str]:
        boards = {row[0] for row in self._pool.query("SELECT board FROM accord.board")}
        if boards != {
            row[0] for row in self._pool.query("SELECT DISTINCT board FROM accord.entry")
        }:
            raise self._pool.changed("entries and boards do not agree")
        return sorted(boards)

    def size(self, board: str) -> int:
        return self._followed(board)[0]

    def entries(self, board: str, start: int = 0) -> Iterator[bytes]:
        size, last = self._followed(board)
        previous = b""
        if 0 < start <= size:
            previous = link(self._rows(board, start - 1, start)[0])
        for begin in range(start, size, PAGE):
            rows = self._rows(board, begin, min(begin + PAGE, size))
            for place, sealed in enumerate(rows, begin):
                yield open_record(
                    self._seal, board, place, sealed, previous=previous, changed=self._pool.changed
                ).entry
                previous = link(sealed)
        if start <= size and previous != last:
            raise self._pool.changed("the last entry is another one")

    def object(self, board: str, digest: str) -> bytes | None:
        name = self._seal.mask("object", board, digest)
        rows = self._pool.query(
            "SELECT sealed FROM accord.object WHERE board = %s AND name = %s", board, name
        )
        if rows:
            return self._opened(rows, "object", board, name.hex())
        if self._names_object(board, name):
            raise self._pool.changed("a body is missing")
        return None

    def secret(self, board: str, name: str) -> bytes | None:
        mask = self._seal.mask("secret", board, name)
        self._followed(board)
        known = self._known(board)
        with known.lock:
            expected = known.chain.secrets.get(mask)
        if expected is None:
            return None
        rows = self._pool.query(
            "SELECT sealed FROM accord.secret WHERE board = %s AND name = %s", board, mask
        )
        value = self._opened(rows, "secret", board, mask.hex())
        if link(rows[0][0]) != expected:
            raise self._pool.changed("a secret is not the latest one")
        return value

    def setting(self, name: str) -> bytes | None:
        mask = self._seal.mask("setting", name)
        found, _ = self._checked_settings(self._pool.query(SETTINGS))
        return self._opened([(found[mask],)], "setting", mask.hex()) if mask in found else None

    # --- writing ---------------------------------------------------------------------------

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        parse_digest(board, what="board")
        known = self._known(board)
        with known.lock:
            chain = Chain(known.chain.size, known.chain.last)
        if chain.size != first:
            self.renew(board, fence)
            chain.size, chain.last = self._followed(board)
            if chain.size != first:
                raise StoreConflictError(index=first, board=board, expected=chain.size)
        sealed = seal_batch(self._seal, board, chain, batch)
        with self._pool.connection() as db, db.pipeline(), db.transaction():
            self._hold(db, board, fence)
            self._move_head(db, board, first, sealed)
            self._insert(db, board, first, sealed)
        # What is known changes only after the disk has it; another thread may have read it.
        with known.lock:
            if known.chain.size == first:
                sealed.extend(known.chain)

    def scrub(self) -> None:
        # Written anew: a plain VACUUM leaves the bytes of old rows in their pages.
        with self._pool.connection() as db:
            db.execute("VACUUM (FULL) accord.secret")

    def set_setting(self, name: str, value: bytes) -> None:
        self._set(name, value, lambda _: True)

    def default_setting(self, name: str, value: bytes) -> bytes:
        self._set(name, value, lambda now: now is None)
        found = self.setting(name)
        return value if found is None else found

    def replace_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        return self._set(name, value, lambda now: now == expected)

    def _set(self, name: str, value: bytes, wanted: Callable[[bytes | None], bool]) -> bool:
        """Sets it if ``wanted`` says so of what is there; whether it did."""
        mask = self._seal.mask("setting", name)
        sealed = self._seal.seal(value, "setting", mask.hex())
        with self._pool.connection() as db, db.transaction():
            db.execute("SELECT 1 FROM accord.store FOR UPDATE")
            rows = db.execute(SETTINGS, binary=True).fetchall()
            found, digest = self._checked_settings(rows)
            there = mask in found
            if not wanted(self._opened([(found[mask],)], "setting", mask.hex()) if there else None):
                return False
            digest = digest.swapped(self._mark(mask, found.get(mask)), self._mark(mask, sealed))
            head = self._seal.seal(canonical_json(digest.to_hex()), "head")
            db.execute(
                "INSERT INTO accord.setting VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
                (mask, sealed),
            )
            db.execute("UPDATE accord.store SET head = %s", (head,))
        return True

    def _checked_settings(self, rows: list[Row]) -> tuple[dict[bytes, bytes], StateDigest]:
        """All settings as they are sealed, if they are together what was set last."""
        found = {name: sealed for _, name, sealed in rows if isinstance(name, bytes)}
        digest = StateDigest()
        for name, sealed in found.items():
            digest = digest.swapped(0, self._mark(name, sealed))
        head = self._opened([row[:1] for row in rows[:1]], "head")
        if head != canonical_json(digest.to_hex()):
            raise self._pool.changed("settings are missing, added or old")
        return found, digest

    def _mark(self, name: bytes, sealed: bytes | None) -> int:
        if sealed is None:
            return 0
        return self._seal.mark("setting", name.hex(), link(sealed).hex())

    def close(self) -> None:
        self._pool.close()

    # --- the writer and what it can compute again ------------------------------------------

    def acquire(self, board: str, holder: str) -> int:
        values = {"board": board, "holder": holder, "lease": self._lease}
        with self._pool.connection() as db:
            row = db.execute(ACQUIRE, values).fetchone()
            if row is None:
                raise self._not_writer(db, board)
        return int(row[0])

    def renew(self, board: str, fence: int) -> None:
        with self._pool.connection() as db:
            self._hold(db, board, fence)

    def release_writer(self, board: str, fence: int) -> None:
        with self._pool.connection() as db:
            db.execute(END, (board, fence))

    def projection(self, board: str) -> tuple[int, bytes] | None:
        rows = self._pool.query(
            "SELECT size, sealed FROM accord.projection WHERE board = %s", board
        )
        if not rows:
            return None
        size = rows[0][0]
        return size, self._opened([rows[0][1:]], "projection", board, size)

    def save_projection(self, board: str, size: int, data: bytes) -> None:
        sealed = self._seal.seal(data, "projection", board, size)
        with self._pool.connection() as db:
            db.execute(
                "INSERT INTO accord.projection VALUES (%s, %s, %s) ON CONFLICT (board)"
                " DO UPDATE SET size = excluded.size, sealed = excluded.sealed",
                (board, size, sealed),
            )

    def drop_projections(self, board: str) -> None:
        with self._pool.connection() as db:
            db.execute("DELETE FROM accord.projection WHERE board = %s", (board,))

    # --- opening ---------------------------------------------------------------------------

    def _header(self, key: bytes) -> Seal:
        """The keys of the store, if the database is one and ``key`` is its key."""
        if self._pool.query("SHOW fsync") != [("on",)]:
            raise StoreUnavailableError(path=self._pool.path, detail="fsync is off")
        with self._pool.connection() as db, db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (MAKING,))
            if db.execute("SELECT to_regclass('accord.store')").fetchone() == (None,):
                make(db, key)
        rows = self._pool.query("SELECT format, salt, proof FROM accord.store")
        if len(rows) != 1:
            raise self._pool.changed("its header is missing")
        found, salt, proof = rows[0]
        if found != FORMAT:
            raise UnsupportedFormatError(what="store", found=repr(found), expected=FORMAT)
        if not isinstance(salt, bytes) or not isinstance(proof, bytes):
            raise self._pool.changed("its header is damaged")
        seal = Seal(key, salt=salt)
        if seal.open(proof, "proof") is None:
            raise StoreKeyError(path=self._pool.path)
        return seal

    # --- records ---------------------------------------------------------------------------

    def _known(self, board: str) -> _Known:
        with self._lock:
            return self._boards.setdefault(board, _Known())

    def _followed(self, board: str) -> tuple[int, bytes]:
        """Reads what was appended since, by whomever; size and newest link afterwards."""
        known = self._known(board)
        with known.lock:
            chain = known.chain
            rows = self._pool.query("SELECT size, head FROM accord.board WHERE board = %s", board)
            size, last = self._opened_head(board, rows) if rows else (0, b"")
            if size < chain.size:
                raise self._pool.changed("a board was put back to an earlier state")
            while chain.size < size:
                sealed = self._rows(board, chain.size, min(chain.size + PAGE, size))
                follow(self._seal, board, chain, sealed, changed=self._pool.changed)
            if chain.last != last:
                raise self._pool.changed("the last entry is another one")
            return size, last

    def _opened_head(self, board: str, rows: list[Row]) -> tuple[int, bytes]:
        size, head = rows[0]
        digest = self._opened([(head,)], "head", board, size)
        return size, digest

    def _rows(self, board: str, start: int, end: int) -> list[bytes]:
        rows = self._pool.query(
            "SELECT place, sealed FROM accord.entry"
            " WHERE board = %s AND place >= %s AND place < %s ORDER BY place",
            *(board, start, end),
        )
        if [row[0] for row in rows] != list(range(start, end)):
            raise self._pool.changed(f"entries {start} to {end - 1} are not all there")
        if not all(isinstance(row[1], bytes) for row in rows):
            raise self._pool.changed("an entry has another type")
        return [row[1] for row in rows]

    def _opened(self, rows: list[Row], *place: JSONValue) -> bytes:
        """The plaintext of the one sealed field in ``rows``, which must be there."""
        sealed = rows[0][0] if len(rows) == 1 else None
        plaintext = self._seal.open(sealed, *place) if isinstance(sealed, bytes) else None
        if plaintext is None:
            raise self._pool.changed(f"a record of kind {place[0]} is missing or not genuine")
        return plaintext

    def _names_object(self, board: str, name: bytes) -> bool:
        """Whether an entry brought this body: a search through all, for what should be there."""
        size, _ = self._followed(board)
        chain = Chain()
        for start in range(0, size, PAGE):
            rows = self._rows(board, start, min(start + PAGE, size))
            if name in follow(self._seal, board, chain, rows, changed=self._pool.changed):
                return True
        return False

    def _hold(self, db: psycopg.Connection[Row], board: str, fence: int) -> None:
        """That ``fence`` is the newest one; its lease is extended, and its row locked."""
        if db.execute(HOLD, (self._lease, board, fence)).fetchone() is None:
            raise self._not_writer(db, board)

    def _not_writer(self, db: psycopg.Connection[Row], board: str) -> NotWriterError:
        row = db.execute("SELECT holder FROM accord.writer WHERE board = %s", (board,)).fetchone()
        return NotWriterError(board=board, writer=(row and row[0]) or "nobody")

    def _move_head(
        self, db: psycopg.Connection[Row], board: str, first: int, sealed: SealedBatch
    ) -> None:
        head = self._seal.seal(sealed.last, "head", board, sealed.size)
        if first:
            done = db.execute(
                "UPDATE accord.board SET size = %s, head = %s WHERE board = %s AND size = %s"
                " RETURNING size",
                (sealed.size, head, board, first),
            ).fetchone()
        else:
            done = db.execute(
                "INSERT INTO accord.board VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
                " RETURNING size",
                (board, sealed.size, head),
            ).fetchone()
        if done is None:
            raise StoreConflictError(index=first, board=board, expected="another one")

    @staticmethod
    def _insert(db: psycopg.Connection[Row], board: str, first: int, sealed: SealedBatch) -> None:
        # Arrays: one statement for each table, however many records there are.
        places = list(range(first, sealed.size))
        db.execute(
            "INSERT INTO accord.entry SELECT %s, * FROM unnest(%b::bigint[], %b::bytea[])",
            (board, places, list(sealed.entries)),
        )
        if sealed.objects:
            db.execute(
                "INSERT INTO accord.object SELECT %s, * FROM unnest(%b::bytea[], %b::bytea[])"
                " ON CONFLICT DO NOTHING",
                (board, list(sealed.objects), list(sealed.objects.values())),
            )
        if sealed.secrets:
            db.execute(
                "INSERT INTO accord.secret SELECT %s, * FROM unnest(%b::bytea[], %b::bytea[])"
                " ON CONFLICT (board, name) DO UPDATE SET sealed = excluded.sealed",
                (board, list(sealed.secrets), list(sealed.secrets.values())),
            )
