# SPDX-License-Identifier: Apache-2.0
"""A strict reader of CBOR (RFC 8949): definite lengths, no key twice, nothing after the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accord.errors import MalformedError, TooLargeError

CBORValue = Any
"""What a CBOR document holds: int, bytes, str, bool, None, list, dict and `Tagged`."""

MAX_CBOR_BYTES = 1 << 20
"""Largest document decoded unless the caller says otherwise, as for JSON."""

_MAX_DEPTH = 32
_SIMPLE = 7
_SIMPLE_VALUES = {20: False, 21: True, 22: None}
_LONGER = {24: 1, 25: 2, 26: 4, 27: 8}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value under a tag, which is left to the caller: no tag is obeyed while decoding."""

    tag: int
    value: CBORValue


def decode_cbor(data: bytes, *, what: str, limit: int = MAX_CBOR_BYTES) -> CBORValue:
    """The one value that ``data`` holds; floats and indefinite lengths are refused.

    That the encoding is the shortest is *not* checked: hash or verify ``data`` itself.

    Raises ``TooLargeError`` or ``MalformedError``.
    """
    if len(data) > limit:
        raise TooLargeError(what=what, limit=limit)
    decoder = _Decoder(data, what)
    value = decoder.value()
    if decoder.at != len(data):
        raise decoder.error("bytes follow its end")
    return value


class _Decoder:
    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self.at = data, what, 0
        self._depth = 0
        self._readers: dict[int, Callable[[int], CBORValue]] = {
            2: self._take,
            3: self._text,
            4: lambda size: [self.value() for _ in range(self._count(size))],
            5: self._map,
            6: lambda tag: Tagged(tag, self.value()),
        }

    def error(self, detail: str) -> MalformedError:
        return MalformedError(what=self._what, detail=f"not CBOR at byte {self.at}: {detail}")

    def value(self) -> CBORValue:
        major, number = self._head()
        if major < min(self._readers):
            return -1 - number if major else number
        if major in self._readers:
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise self.error("nested too deeply")
            value = self._readers[major](number)
            self._depth -= 1
            return value
        if number not in _SIMPLE_VALUES:
            raise self.error("an unknown simple value")
        return _SIMPLE_VALUES[number]

    def _head(self) -> tuple[int, int]:
        first = self._take(1)[0]
        major, low = first >> 5, first & 31
        if major == _SIMPLE and low >= min(_LONGER):
            raise self.error("a float or an unknown simple value")
        if low in _LONGER:
            return major, int.from_bytes(self._take(_LONGER[low]), "big")
        if low > max(_LONGER):
            raise self.error("an indefinite length")
        return major, low

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise self.error(f"cut, {end - len(self._data)} bytes are missing")
        taken, self.at = self._data[self.at : end], end
        return taken

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as exc:
            raise self.error("text is not UTF-8") from exc

    def _count(self, number: int) -> int:
        """Each item has a byte at least: a longer list is a lie, and would cost memory."""
        if number > len(self._data) - self.at:
            raise self.error("more items than bytes")
        return number

    def _map(self, size: int) -> dict[CBORValue, CBORValue]:
        found: dict[CBORValue, CBORValue] = {}
        for _ in range(self._count(size)):
            key = self.value()
            if isinstance(key, bool) or not isinstance(key, int | str | bytes):
                raise self.error("a key is neither number, text nor bytes")
            if key in found:
                raise self.error("a key appears twice")
            found[key] = self.value()
        return found
