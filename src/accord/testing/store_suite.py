# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: S101 - a contract suite asserts
"""What every `Store` must do: a class to derive tests from, whatever runs them."""

from __future__ import annotations

import concurrent.futures
import contextlib

from accord.encoding import sha256
from accord.errors import StoreConflictError
from accord.service._store import Store

BOARD = sha256(b"the genesis of a board")
OTHER = sha256(b"the genesis of another board")


def expect(error: type[Exception], store: Store, board: str, index: int, entry: bytes) -> None:
    """That appending raises ``error``."""
    try:
        store.append(board, index, entry, objects={}, secrets={})
    except error:
        return
    message = f"expected {error.__name__}"
    raise AssertionError(message)


class StoreSuite:
    """Derive from it and give `make`; each test gets an empty store."""

    def make(self) -> Store:
        """An empty store."""
        raise NotImplementedError

    def reopen(self, store: Store) -> Store:
        """The store after a restart; the same one where nothing survives a restart."""
        return store

    def test_an_empty_store_has_nothing(self) -> None:
        """Nothing is found where nothing was put."""
        store = self.make()
        assert store.boards() == []
        assert list(store.entries(BOARD)) == []
        assert store.object(BOARD, sha256(b"body")) is None
        assert store.secret(BOARD, "key") is None
        assert store.setting("key") is None
        store.close()

    def test_entries_come_back_in_order(self) -> None:
        """What was appended is read in the same order, across pages and restarts."""
        store = self.make()
        expected = [b"entry %d" % index for index in range(600)]
        for index, entry in enumerate(expected):
            store.append(BOARD, index, entry, objects={}, secrets={})
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == expected
        store.close()

    def test_boards_share_nothing(self) -> None:
        """Entries, bodies and secrets of one board are not found in another."""
        store = self.make()
        body = b"evidence"
        store.append(BOARD, 0, b"one", objects={sha256(body): body}, secrets={"key": b"k1"})
        store.append(OTHER, 0, b"two", objects={}, secrets={"key": b"k2"})
        store = self.reopen(store)
        assert store.boards() == sorted([BOARD, OTHER])
        assert list(store.entries(OTHER)) == [b"two"]
        assert (store.secret(BOARD, "key"), store.secret(OTHER, "key")) == (b"k1", b"k2")
        assert store.object(BOARD, sha256(body)) == body
        assert store.object(OTHER, sha256(body)) is None
        store.close()

    def test_only_the_next_index_is_taken(self) -> None:
        """A repeated or skipped index is a conflict, and leaves nothing behind."""
        store = self.make()
        expect(StoreConflictError, store, BOARD, 1, b"too early")
        assert store.boards() == []
        store.append(BOARD, 0, b"first", objects={}, secrets={})
        for index in (0, 2, -1):
            expect(StoreConflictError, store, BOARD, index, b"other")
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == [b"first"]
        store.close()

    def test_a_conflict_stores_no_part_of_the_request(self) -> None:
        """Bodies and secrets of a refused entry are not there."""
        store = self.make()
        body = b"evidence"
        store.append(BOARD, 0, b"first", objects={}, secrets={})
        with contextlib.suppress(StoreConflictError):
            store.append(BOARD, 0, b"again", objects={sha256(body): body}, secrets={"key": b"k"})
        assert store.object(BOARD, sha256(body)) is None
        assert store.secret(BOARD, "key") is None
        store.close()

    def test_the_latest_secret_wins(self) -> None:
        """A secret is replaced by the one that comes with a later entry."""
        store = self.make()
        store.append(BOARD, 0, b"a", objects={}, secrets={"key": b"old", "kept": b"same"})
        store.append(BOARD, 1, b"b", objects={}, secrets={"key": b"new"})
        store = self.reopen(store)
        assert (store.secret(BOARD, "key"), store.secret(BOARD, "kept")) == (b"new", b"same")
        store.close()

    def test_an_object_is_stored_once(self) -> None:
        """The same body may come with several entries."""
        store = self.make()
        objects: dict[str, bytes] = {
            sha256(body): body for body in (b"evidence", b"collateral", b"")
        }
        store.append(BOARD, 0, b"a", objects=objects, secrets={})
        store.append(BOARD, 1, b"b", objects=objects, secrets={})
        store = self.reopen(store)
        assert {digest: store.object(BOARD, digest) for digest in objects} == objects
        store.close()

    def test_an_object_under_a_false_digest_is_a_bug(self) -> None:
        """The caller cannot file a body under another digest."""
        store = self.make()
        try:
            store.append(BOARD, 0, b"a", objects={sha256(b"x"): b"y"}, secrets={})
        except RuntimeError:
            assert store.boards() == []
            store.close()
            return
        message = "expected RuntimeError"
        raise AssertionError(message)

    def test_settings_are_replaced(self) -> None:
        """A setting has its last value, whatever it is."""
        store = self.make()
        store.set_setting("sealed-key", b"first")
        store.set_setting("empty", b"")
        store.set_setting("sealed-key", b"second")
        store = self.reopen(store)
        assert (store.setting("sealed-key"), store.setting("empty")) == (b"second", b"")
        store.close()

    def test_empty_and_large_entries_come_back(self) -> None:
        """Neither no bytes nor two megabytes are special."""
        store = self.make()
        expected = [b"", bytes(range(256)) * 8192]
        for index, entry in enumerate(expected):
            store.append(BOARD, index, entry, objects={}, secrets={})
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == expected
        store.close()

    def test_reading_does_not_see_what_comes_later(self) -> None:
        """An iteration ends where the log ended when it began."""
        store = self.make()
        store.append(BOARD, 0, b"a", objects={}, secrets={})
        reading = store.entries(BOARD)
        assert next(reading) == b"a"
        store.append(BOARD, 1, b"b", objects={}, secrets={})
        assert list(reading) == []
        store.close()

    def test_of_concurrent_writers_one_wins(self) -> None:
        """Threads that append the same index get one success; the others are told."""
        store = self.make()

        def attempt(number: int) -> bytes | None:
            entry = b"writer %d" % number
            try:
                store.append(BOARD, 0, entry, objects={}, secrets={})
            except StoreConflictError:
                return None
            return entry

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            winners = [entry for entry in pool.map(attempt, range(8)) if entry is not None]
        assert list(store.entries(BOARD)) == winners
        assert len(winners) == 1
        store.close()

    def test_a_closed_store_is_a_bug_to_use(self) -> None:
        """Using a closed store is a mistake of the program; closing twice is none."""
        store = self.make()
        store.close()
        store.close()
        expect(RuntimeError, store, BOARD, 0, b"late")
