# SPDX-License-Identifier: Apache-2.0
"""Where the trust service keeps its state: the interface (docs/spec/store.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from accord.encoding import sha256


@dataclass(frozen=True, slots=True, repr=False)
class Stored:
    """An entry with what belongs to it."""

    entry: bytes
    objects: Mapping[str, bytes] = field(default_factory=dict)
    """Bodies by digest; one that is there already is kept."""

    secrets: Mapping[str, bytes] = field(default_factory=dict)
    """Values by name; each replaces the one before it. An empty one stands for what was erased."""

    def __post_init__(self) -> None:
        for digest, body in self.objects.items():
            if sha256(body) != digest:
                message = f"object {digest} has another digest"
                raise RuntimeError(message)


class Store(Protocol):
    """What the trust service keeps: a log per board, its bodies and secrets, and settings.

    Its methods may be called from several threads. Each board has one writer at a time: who
    called `acquire` last. The number that came with it, its fence, is shown at every `append`.
    """

    def boards(self) -> list[str]:
        """The boards that have entries, by genesis digest, sorted."""
        ...

    def size(self, board: str) -> int:
        """How many entries a board has by now, those of other writers included."""
        ...

    def entries(self, board: str, start: int = 0) -> Iterator[bytes]:
        """The entries of a board from ``start`` on, in order, as many as there are now."""
        ...

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        """Stores entries from index ``first`` on: all of them, durably, or nothing.

        Raises ``NotWriterError`` where the board was acquired anew since, and
        ``StoreConflictError`` unless ``first`` is the next index.
        """
        ...

    def scrub(self) -> None:
        """Rids the disk of values that were replaced, as far as a program can."""
        ...

    def object(self, board: str, digest: str) -> bytes | None:
        """The body with this digest, if the board has it."""
        ...

    def secret(self, board: str, name: str) -> bytes | None:
        """The latest value of a secret of the board, if it has one."""
        ...

    def setting(self, name: str) -> bytes | None:
        """A value that belongs to the service as a whole."""
        ...

    def set_setting(self, name: str, value: bytes) -> None:
        """Sets such a value, durably."""
        ...

    def default_setting(self, name: str, value: bytes) -> bytes:
        """The value that is there, or else this one, durably: of several callers one decides."""
        ...

    def replace_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        """Sets it where it still is what the caller saw (``None``: not there), durably.

        Whether it did.
        """
        ...

    def acquire(self, board: str, holder: str) -> int:
        """Makes ``holder``, a URL, the writer of the board; returns its fence.

        A fence is larger than every one before it on this board. Raises ``NotWriterError``,
        which names the holder, while the lease of another one runs.
        """
        ...

    def renew(self, board: str, fence: int) -> None:
        """Extends the lease. Raises ``NotWriterError`` where the board was acquired anew."""
        ...

    def release_writer(self, board: str, fence: int) -> None:
        """Ends the lease at once, so that another one can acquire the board."""
        ...

    def projection(self, board: str) -> tuple[int, bytes] | None:
        """What `save_projection` left last, with the size it was told."""
        ...

    def save_projection(self, board: str, size: int, data: bytes) -> None:
        """Keeps something that can be computed from the first ``size`` entries."""
        ...

    def drop_projections(self, board: str) -> None:
        """Forgets it; everything can be computed from the entries."""
        ...

    def close(self) -> None:
        """Lets go of the store; nothing else may be called afterwards."""
        ...
