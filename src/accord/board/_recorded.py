# SPDX-License-Identifier: Apache-2.0
"""Where each statement of a log stands: for every entry there ever was, so in little memory."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from accord.encoding import Digest

_PREFIX = "sha256:"


class Recorded(MutableMapping[Digest, int]):
    """Indexes of entries by the digests of their statements, in the order they came.

    A digest takes 65 bytes instead of the 120 of its text.
    """

    __slots__ = ("_indexes",)

    def __init__(self) -> None:
        self._indexes: dict[bytes, int] = {}

    def __getitem__(self, statement: Digest) -> int:
        return self._indexes[_raw(statement)]

    def __setitem__(self, statement: Digest, index: int) -> None:
        self._indexes[_raw(statement)] = index

    def __delitem__(self, statement: Digest) -> None:
        del self._indexes[_raw(statement)]

    def __iter__(self) -> Iterator[Digest]:
        return (Digest(_PREFIX + raw.hex()) for raw in self._indexes)

    def __len__(self) -> int:
        return len(self._indexes)


def _raw(statement: Digest) -> bytes:
    return bytes.fromhex(statement.removeprefix(_PREFIX))
