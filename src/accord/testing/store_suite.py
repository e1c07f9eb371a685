# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: S101 - a contract suite asserts
"""What every `Store` must do: a class to derive tests from, whatever runs them."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Mapping

from accord.encoding import sha256
from accord.errors import NotWriterError, StoreConflictError
from accord.service import Store, Stored

BOARD = sha256(b"the genesis of a board")
OTHER = sha256(b"the genesis of another board")


HOLDER = "https://first.example"
RIVAL = "https://second.example"


def add(
    store: Store,
    index: int,
    entry: bytes,
    *,
    board: str = BOARD,
    objects: Mapping[str, bytes] | None = None,
    secrets: Mapping[str, bytes] | None = None,
) -> None:
    """Appends one entry, as the board's writer."""
    fence = store.acquire(board, HOLDER)
    store.append(board, index, [Stored(entry, objects or {}, secrets or {})], fence=fence)


def expect(error: type[Exception], call: Callable[[], object]) -> None:
    """That ``call`` raises ``error``."""
    try:
        call()
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
        fence, first = store.acquire(BOARD, HOLDER), 0
        for size in (1, 2, 256, 341):
            batch = [Stored(entry) for entry in expected[first : first + size]]
            store.append(BOARD, first, batch, fence=fence)
            first += size
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == expected
        assert store.size(BOARD) == len(expected)
        store.close()

    def test_entries_are_read_from_any_place(self) -> None:
        """A reader goes on where it was, over the pages of the store."""
        store = self.make()
        expected = [b"entry %d" % index for index in range(300)]
        fence = store.acquire(BOARD, HOLDER)
        store.append(BOARD, 0, [Stored(entry) for entry in expected], fence=fence)
        for start in (0, 1, 255, 256, 257, 299, 300, 301):
            assert list(store.entries(BOARD, start)) == expected[start:]
        store.close()

    def test_boards_share_nothing(self) -> None:
        """Entries, bodies and secrets of one board are not found in another."""
        store = self.make()
        body = b"evidence"
        add(store, 0, b"one", objects={sha256(body): body}, secrets={"key": b"k1"})
        add(store, 0, b"two", board=OTHER, secrets={"key": b"k2"})
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
        expect(StoreConflictError, lambda: add(store, 1, b"too early"))
        assert store.boards() == []
        add(store, 0, b"first")
        expect(StoreConflictError, lambda: add(store, 0, b"other"))
        expect(StoreConflictError, lambda: add(store, 2, b"other"))
        expect(StoreConflictError, lambda: add(store, -1, b"other"))
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == [b"first"]
        store.close()

    def test_a_conflict_stores_no_part_of_the_request(self) -> None:
        """Bodies and secrets of a refused entry are not there."""
        store = self.make()
        body = b"evidence"
        add(store, 0, b"first")
        with contextlib.suppress(StoreConflictError):
            add(store, 0, b"again", objects={sha256(body): body}, secrets={"key": b"k"})
        assert store.object(BOARD, sha256(body)) is None
        assert store.secret(BOARD, "key") is None
        store.close()

    def test_the_latest_secret_wins(self) -> None:
        """A secret is replaced by the one that comes with a later entry."""
        store = self.make()
        add(store, 0, b"a", secrets={"key": b"old", "kept": b"same"})
        add(store, 1, b"b", secrets={"key": b"new"})
        store = self.reopen(store)
        assert (store.secret(BOARD, "key"), store.secret(BOARD, "kept")) == (b"new", b"same")
        store.close()

    def test_scrubbing_keeps_what_is_in_force(self) -> None:
        """What was erased reads as empty; nothing else is lost, and writing goes on."""
        store = self.make()
        secrets = {"erased": b"value" * 4000, "kept": b"other" * 4000}
        add(store, 0, b"a", objects={sha256(b"body"): b"body"}, secrets=secrets)
        add(store, 1, b"b", secrets={"erased": b""})
        store.scrub()
        add(store, 2, b"c")
        store.scrub()
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == [b"a", b"b", b"c"]
        assert store.object(BOARD, sha256(b"body")) == b"body"
        assert (store.secret(BOARD, "erased"), store.secret(BOARD, "kept")) == (
            b"",
            secrets["kept"],
        )
        store.close()

    def test_an_object_is_stored_once(self) -> None:
        """The same body may come with several entries."""
        store = self.make()
        objects: dict[str, bytes] = {
            sha256(body): body for body in (b"evidence", b"collateral", b"")
        }
        add(store, 0, b"a", objects=objects)
        add(store, 1, b"b", objects=objects)
        store = self.reopen(store)
        assert {digest: store.object(BOARD, digest) for digest in objects} == objects
        store.close()

    def test_an_object_under_a_false_digest_is_a_bug(self) -> None:
        """The caller cannot file a body under another digest."""
        store = self.make()
        try:
            add(store, 0, b"a", objects={sha256(b"x"): b"y"})
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

    def test_a_default_is_set_once(self) -> None:
        """What is there already stays, also where it is empty or others ask meanwhile."""
        store = self.make()
        assert store.default_setting("key", b"first") == b"first"
        assert store.default_setting("key", b"second") == b"first"
        store.set_setting("empty", b"")
        assert store.default_setting("empty", b"second") == b""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(store.default_setting, "raced", b"%d" % n) for n in range(8)]
            found = {call.result() for call in calls}
        store = self.reopen(store)
        assert found == {store.setting("raced")}
        store.close()

    def test_a_setting_is_replaced_only_where_it_is_what_the_caller_saw(self) -> None:
        """Of several who saw the same value one wins; an empty value is not a missing one."""
        store = self.make()
        assert not store.replace_setting("key", b"", b"none was there")
        assert store.replace_setting("key", None, b"")
        assert not store.replace_setting("key", None, b"one is there")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(store.replace_setting, "key", b"", b"%d" % n) for n in range(8)]
            won = [b"%d" % n for n, call in enumerate(calls) if call.result()]
        store = self.reopen(store)
        assert won == [store.setting("key")]
        store.close()

    def test_empty_and_large_entries_come_back(self) -> None:
        """Neither no bytes nor two megabytes are special."""
        store = self.make()
        expected = [b"", bytes(range(256)) * 8192]
        for index, entry in enumerate(expected):
            add(store, index, entry)
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == expected
        store.close()

    def test_reading_does_not_see_what_comes_later(self) -> None:
        """An iteration ends where the log ended when it began."""
        store = self.make()
        add(store, 0, b"a")
        reading = store.entries(BOARD)
        assert next(reading) == b"a"
        add(store, 1, b"b")
        assert list(reading) == []
        store.close()

    def test_of_concurrent_writers_one_wins(self) -> None:
        """Threads that append the same index get one success; the others are told."""
        store = self.make()
        fence = store.acquire(BOARD, HOLDER)

        def attempt(number: int) -> bytes | None:
            entry = b"writer %d" % number
            try:
                store.append(BOARD, 0, [Stored(entry)], fence=fence)
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
        expect(RuntimeError, lambda: add(store, 0, b"late"))

    def test_a_batch_is_stored_whole(self) -> None:
        """Of several entries at once all are there, each with its bodies and secrets."""
        store = self.make()
        body = b"evidence"
        batch = [
            Stored(b"a", {sha256(body): body}, {"key": b"old"}),
            Stored(b"b", {sha256(body): body}, {"key": b"new", "other": b"value"}),
            Stored(b"c"),
        ]
        store.append(BOARD, 0, batch, fence=store.acquire(BOARD, HOLDER))
        store = self.reopen(store)
        assert list(store.entries(BOARD)) == [b"a", b"b", b"c"]
        assert store.object(BOARD, sha256(body)) == body
        assert (store.secret(BOARD, "key"), store.secret(BOARD, "other")) == (b"new", b"value")
        store.close()

    def test_a_writer_that_was_replaced_cannot_append(self) -> None:
        """An old fence is refused, whatever its holder believes, and stores nothing."""
        store = self.make()
        old = store.acquire(BOARD, HOLDER)
        store.append(BOARD, 0, [Stored(b"a")], fence=old)
        store.release_writer(BOARD, old)
        expect(NotWriterError, lambda: store.append(BOARD, 1, [Stored(b"b")], fence=old))
        new = store.acquire(BOARD, RIVAL)
        assert new > old
        expect(NotWriterError, lambda: store.append(BOARD, 1, [Stored(b"b")], fence=old))
        expect(NotWriterError, lambda: store.renew(BOARD, old))
        store.release_writer(BOARD, old)
        store.renew(BOARD, new)
        store.append(BOARD, 1, [Stored(b"c")], fence=new)
        assert list(store.entries(BOARD)) == [b"a", b"c"]
        store.close()

    def test_the_same_holder_acquires_again(self) -> None:
        """A service that was started again does not wait for itself, and fences itself off."""
        store = self.make()
        old = store.acquire(BOARD, HOLDER)
        new = store.acquire(BOARD, HOLDER)
        assert new > old
        expect(NotWriterError, lambda: store.append(BOARD, 0, [Stored(b"a")], fence=old))
        store.append(BOARD, 0, [Stored(b"a")], fence=new)
        store.close()

    def test_nobody_writes_without_a_fence(self) -> None:
        """A number that was never given out is no fence."""
        store = self.make()
        expect(NotWriterError, lambda: store.append(BOARD, 0, [Stored(b"a")], fence=0))
        expect(NotWriterError, lambda: store.append(BOARD, 0, [Stored(b"a")], fence=1))
        expect(NotWriterError, lambda: store.renew(BOARD, 1))
        assert store.boards() == []
        store.close()

    def test_a_projection_is_replaced_and_dropped(self) -> None:
        """The last one is there, of its own board, until it is dropped."""
        store = self.make()
        add(store, 0, b"a")
        assert store.projection(BOARD) is None
        store.save_projection(BOARD, 0, b"old")
        store.save_projection(BOARD, 1, b"new")
        store.save_projection(OTHER, 1, b"other")
        store = self.reopen(store)
        assert store.projection(BOARD) == (1, b"new")
        store.drop_projections(BOARD)
        store = self.reopen(store)
        assert (store.projection(BOARD), store.projection(OTHER)) == (None, (1, b"other"))
        assert list(store.entries(BOARD)) == [b"a"]
        store.close()
