# SPDX-License-Identifier: Apache-2.0
"""One log in memory: entries in order, and the tree over them."""

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
from accord.ledger._entry import Entry
from accord.ledger._merkle import MerkleTree, leaf_hash


class Ledger:
    """An append-only sequence of entries with its Merkle tree. It does no I/O.

    Knows order, time and hashes; what the entries *say* is for the reader to judge.
    """

    __slots__ = ("_entries", "_last_time", "_tree")

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._tree = MerkleTree()
        self._last_time: datetime | None = None

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

    def extend(self, data: bytes) -> Entry:
        """Adds the next entry from its bytes, checked as `append` does, and returns it read."""
        entry = Entry.from_bytes(data)
        self._check(entry)
        self._push(entry, data)
        return entry

    @property
    def size(self) -> int:
        return len(self._entries)

    @property
    def last_time(self) -> datetime | None:
        """When the last entry was recorded; ``None`` for the empty log."""
        return self._last_time

    def root(self, size: int | None = None) -> bytes:
        """The Merkle root over the first ``size`` entries, over all of them by default."""
        return self._tree.root(size)

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

    def encode_next(self, entry: Entry) -> bytes:
        """The bytes of ``entry`` if it may come next, without appending it.

        For writers that store the bytes durably first and `append` only then.
        Raises what `append` raises.
        """
        self._check(entry)
        data = entry.to_bytes()
        # An entry that cannot be read back would make the log unreadable for good.
        Entry.from_bytes(data)
        return data

    def append(self, entry: Entry) -> None:
        """Adds ``entry``, which must carry the next index and must not go back in time.

        Raises ``EntryOrderError``, ``EntryTimeError``, and ``TooLargeError`` or
        ``MalformedError`` for an entry that could not be read back.
        """
        self._push(entry, self.encode_next(entry))

    def checkpoint(self, origin: str) -> Checkpoint:
        """What this log, under the name ``origin``, has to sign now."""
        return Checkpoint(origin, self.size, self.root())

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """See `MerkleTree.inclusion_proof`."""
        return self._tree.inclusion_proof(index, size)

    def consistency_proof(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """See `MerkleTree.consistency_proof`."""
        return self._tree.consistency_proof(old, new)

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

    def _push(self, entry: Entry, data: bytes) -> None:
        self._entries.append(data)
        self._tree.append(leaf_hash(data))
        self._last_time = entry.time
