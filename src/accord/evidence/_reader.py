# SPDX-License-Identifier: Apache-2.0
"""Takes binary structures apart from the front; whatever is missing is an error."""

from __future__ import annotations

from typing import Literal

from accord.errors import EvidenceMalformedError


class Reader:
    """Bytes being read, with the byte order of their format and a name for errors.

    All readers raise ``EvidenceMalformedError`` where ``data`` is too short.
    """

    def __init__(self, data: bytes, what: str, order: Literal["little", "big"] = "little") -> None:
        self._data, self._at, self._what, self._order = data, 0, what, order

    @property
    def left(self) -> int:
        """How many bytes are still to be read."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise EvidenceMalformedError(
                what=self._what, detail=f"cut at byte {len(self._data)}, expected at least {end}"
            )
        value, self._at = self._data[self._at : end], end
        return value

    def number(self, size: int) -> int:
        """An unsigned number of ``size`` bytes in the reader's byte order."""
        return int.from_bytes(self.take(size), self._order)

    def expect(self, size: int, expected: int, field: str) -> None:
        """A number that can only be ``expected``."""
        found = self.number(size)
        if found != expected:
            raise EvidenceMalformedError(
                what=self._what, detail=f"{field} is {found}, expected {expected}"
            )

    def sized(self, size: int) -> bytes:
        """A length of ``size`` bytes, and as many bytes as it says."""
        return self.take(self.number(size))

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.left)

    def end(self) -> None:
        """Refuses bytes that nobody read."""
        if self.left:
            raise EvidenceMalformedError(
                what=self._what, detail=f"{self.left} bytes follow its end"
            )
