# SPDX-License-Identifier: Apache-2.0
"""Where the trust service keeps its state: the interface (docs/spec/store.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from accord.encoding import sha256


class Store(Protocol):
    """What the trust service keeps: a log per board, its bodies and secrets, and settings."""

    def boards(self) -> list[str]:
        """The boards that have entries, by genesis digest, sorted."""
        ...

    def entries(self, board: str) -> Iterator[bytes]:
        """The entries of a board in order; none for a board that is not there."""
        ...

    def append(
        self,
        board: str,
        index: int,
        entry: bytes,
        *,
        objects: Mapping[str, bytes],
        secrets: Mapping[str, bytes],
    ) -> None:
        """Stores an entry with what belongs to it: all of it, durably, or nothing.

        ``objects`` are bodies by digest; one that is there already is kept. ``secrets`` are
        values by name; each replaces the one before it.

        Raises ``StoreConflictError`` unless ``index`` is the next one.
        """
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

    def close(self) -> None:
        """Lets go of the store; nothing else may be called afterwards."""
        ...


def check_objects(objects: Mapping[str, bytes]) -> None:
    """Raises ``RuntimeError`` where a body is not what its digest says: a bug of the caller."""
    for digest, body in objects.items():
        if sha256(body) != digest:
            message = f"object {digest} has another digest"
            raise RuntimeError(message)
