# SPDX-License-Identifier: Apache-2.0
"""A strict reader of CBOR (RFC 8949): definite lengths, no key twice, nothing after the end.

General libraries obey tags (dates, shared references, regular expressions), read undefined
simple values, ignore what follows, and differ in all of it between versions. Here a tag stays
a tag and there is nothing to share. Numbers need not be the shortest: constrained devices may
emit longer ones (RFC 9783, 5.1.1), and whatever is signed is signed as it was encoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accord.errors import MalformedError, TooLargeError

CBORValue = Any
"""What a CBOR document holds: int, float, bytes, str, bool, None, list, dict and `Tagged`."""

MAX_CBOR_BYTES = 1 << 20
"""Largest document decoded unless the caller says otherwise, as for JSON."""

_MAX_DEPTH = 32
_SIMPLE = 7
_SIMPLE_VALUES = {20: False, 21: True, 22: None, 23: None}  # null, undefined
_LONGER = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value under a tag, which is left to the caller: no tag is obeyed while decoding."""

    tag: int
    value: CBORValue


def decode_cbor(data: bytes, *, what: str, limit: int = MAX_CBOR_BYTES) -> CBORValue:
    """The one value that ``data`` holds; indefinite lengths are refused.

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
        first = self._take(1)[0]
        major, low = first >> 5, first & 31
        if major == _SIMPLE:
            return self._simple(low)
        number = self._number(low)
        if major < min(self._readers):
            return -1 - number if major else number
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.error("nested too deeply")
        value = self._readers[major](number)
        self._depth -= 1
        return value

    def _number(self, low: int) -> int:
        if low > max(_LONGER):
            raise self.error("an indefinite length")
        return int.from_bytes(self._take(_LONGER[low]), "big") if low in _LONGER else low

    def _simple(self, low: int) -> CBORValue:
        if low in _FLOATS:
            return struct.unpack(_FLOATS[low], self._take(_LONGER[low]))[0]
        if low not in _SIMPLE_VALUES:
            raise self.error("an unknown simple value")
        return _SIMPLE_VALUES[low]

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
