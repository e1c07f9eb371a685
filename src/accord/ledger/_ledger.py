# SPDX-License-Identifier: Apache-2.0
"""One log: the tree over its entries, and the entries for those who keep them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from accord.encoding import format_time
from accord.errors import (
    ConsistencyError,
    EntryOrderError,
    EntryTimeError,
    LogSizeError,
)
from accord.ledger._checkpoint import Checkpoint
from accord.ledger._entry import Entry, leaf
from accord.ledger._merkle import HASH_BYTES, TILE_WIDTH, MerkleTree, leaf_hash


class LogHead:
    """What a log has come to: its size, its last time and the tree over it. It does no I/O.

    Knows order, time and hashes; what the entries *say* is for the reader to judge. The
    entries themselves are not kept: see `Ledger`.
    """

    __slots__ = ("_last_time", "_tree")

    def __init__(self) -> None:
        self._tree = MerkleTree()
        self._last_time: datetime | None = None

    def extend(self, data: bytes) -> Entry:
        """Adds the next entry from its bytes, checked as `append` does, and returns it read."""
        entry = Entry.from_bytes(data)
        self._check(entry)
        self._push(entry.time, data)
        return entry

    def rehash(self, data: bytes) -> None:
        """Adds the next entry of a log that was checked before, by its hash alone.

        Neither form, place nor time of the entry is checked: the caller compares the root.
        """
        self._push(self._last_time, data)

    @property
    def size(self) -> int:
        return self._tree.size

    @property
    def last_time(self) -> datetime | None:
        """When the last entry was recorded; ``None`` for the empty log."""
        return self._last_time

    def root(self, size: int | None = None) -> bytes:
        """The Merkle root over the first ``size`` entries, over all of them by default."""
        return self._tree.root(size)

    def encode_next(self, entry: Entry) -> bytes:
        """The bytes of ``entry`` if it may come next, without appending it.

        For writers that ask others before they `accept` it. Raises what `append` raises.
        """
        self._check(entry)
        # An entry that cannot be read back would make the log unreadable for good.
        return entry.to_readable_bytes()

    def accept(self, entry: Entry, data: bytes) -> None:
        """Adds ``entry``, of which ``data`` are the bytes that `encode_next` returned.

        Raises ``EntryOrderError`` or ``EntryTimeError`` where another one came in between.
        """
        self._check(entry)
        self._push(entry.time, data)

    def append(self, entry: Entry) -> None:
        """Adds ``entry``, which must carry the next index and must not go back in time.

        Raises ``EntryOrderError``, ``EntryTimeError``, and ``TooLargeError`` or
        ``MalformedError`` for an entry that could not be read back.
        """
        self._push(entry.time, self.encode_next(entry))

    def checkpoint(self, origin: str, size: int | None = None) -> Checkpoint:
        """What this log, under the name ``origin``, has to sign about its first entries."""
        size = self.size if size is None else size
        return Checkpoint(origin, size, self.root(size))

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """See `MerkleTree.inclusion_proof`."""
        return self._tree.inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """See `MerkleTree.consistency_proof`."""
        return self._tree.consistency_proof(old, new)

    def leaf_hash(self, index: int) -> bytes:
        """The hash of leaf ``index``. Raises ``TileMissingError`` where there is none."""
        tile, place = divmod(index, TILE_WIDTH)
        return self._tree.tile(0, tile, place + 1)[-HASH_BYTES:]

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes:
        """See `MerkleTree.tile`. What it shows to everybody are hashes of hashes."""
        return self._tree.tile(level, index, width)

    def verify_extends(self, checkpoint: Checkpoint) -> None:
        """That the log starts with exactly the entries that ``checkpoint`` covers.

        The log may have grown since. Raises ``LogSizeError`` where entries are missing,
        ``ConsistencyError`` where they are other ones.
        """
        if checkpoint.size > self.size:
            raise LogSizeError(size=self.size, covered=checkpoint.size)
        if self.root(checkpoint.size) != checkpoint.root:
            raise ConsistencyError(old_size=checkpoint.size, new_size=self.size)

    def verify_complete(self, checkpoint: Checkpoint) -> None:
        """That the log is exactly the entries that ``checkpoint`` covers, no more and no less.

        Raises ``LogSizeError`` or ``ConsistencyError``.
        """
        if checkpoint.size != self.size:
            raise LogSizeError(size=self.size, covered=checkpoint.size)
        self.verify_extends(checkpoint)

    def _check(self, entry: Entry) -> None:
        if entry.index != self.size:
            raise EntryOrderError(index=entry.index, expected=self.size)
        if self._last_time is not None and entry.time < self._last_time:
            raise EntryTimeError(
                index=entry.index,
                time=format_time(entry.time),
                previous=format_time(self._last_time),
            )

    def _push(self, time: datetime | None, data: bytes) -> None:
        self._tree.append(leaf_hash(leaf(data)))
        self._last_time = time


class Ledger(LogHead):
    """A log whose entries are kept in memory: for those who read or verify all of it."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[bytes] = []

    @classmethod
    def from_entries(cls, entries: Iterable[bytes]) -> Ledger:
        """The log of these entries, each checked as if it were appended now.

        Whether the log is whole or genuine is *not* checked: see `verify_complete`.
        Raises ``EntryOrderError``, ``EntryTimeError`` or what parsing raises.
        """
        ledger = cls()
        for data in entries:
            ledger.extend(data)
        return ledger

    def entry(self, index: int) -> Entry:
        """The entry at ``index``. Raises ``RuntimeError`` where there is none."""
        return Entry.from_bytes(self.entry_bytes(index))

    def entry_bytes(self, index: int) -> bytes:
        """The bytes of the entry at ``index``. Raises ``RuntimeError`` where there is none."""
        if not 0 <= index < self.size:
            message = f"no entry {index} in a log of {self.size}"
            raise RuntimeError(message)
        return self._entries[index]

    def entries(self) -> Iterator[bytes]:
        """The bytes of all entries, in order."""
        return iter(self._entries)

    def _push(self, time: datetime | None, data: bytes) -> None:
        super()._push(time, data)
        self._entries.append(data)
