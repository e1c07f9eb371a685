# SPDX-License-Identifier: Apache-2.0
"""A strict reader of CBOR (RFC 8949) as attestation tokens use it.

General libraries turn tags into objects (dates, shared references, regular expressions), let
the last of two equal keys win, and differ in all of it between versions. Here a tag stays a
tag, a key that appears twice is refused whatever its encoding, and there is nothing to share.
Encodings of numbers need not be the shortest: constrained devices may emit longer ones
(RFC 9783, 5.1.1), and whatever is signed is signed as it was encoded.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from accord.errors import EvidenceMalformedError

MAX_DEPTH = 16
"""Deepest nesting: twice that of a CCA token with its wrappers."""

_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_DIRECT, _INDEFINITE = 24, 31
_FALSE, _TRUE, _NULL, _UNDEFINED = 20, 21, 22, 23
_FLOATS: Mapping[int, str] = MappingProxyType({25: ">e", 26: ">f", 27: ">d"})


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value under a tag, which nobody has acted upon."""

    tag: int
    value: Value


Value = (
    int | bytes | str | bool | float | None | Tagged | Sequence["Value"] | Mapping["Key", "Value"]
)
"""What CBOR can say; ``undefined`` reads as None."""

Key = int | str | bytes


def read_cbor(data: bytes, *, what: str) -> Value:
    """The one item that fills ``data``; arrays are tuples, maps read-only mappings.

    Items of indefinite length, simple values without a meaning, and keys other than numbers
    and strings are refused. Raises ``EvidenceMalformedError``.
    """
    try:
        value, end = _item(data, 0, MAX_DEPTH)
    except _Malformed as exc:
        raise EvidenceMalformedError(what=what, detail=f"CBOR: {exc}") from exc
    if end != len(data):
        raise EvidenceMalformedError(what=what, detail=f"{len(data) - end} bytes follow its end")
    return value


def encode_head(major: int, number: int) -> bytes:
    """The shortest head of an item (RFC 8949, 4.2.1), ``number`` below 2**32."""
    if number < _DIRECT:
        return bytes((major << 5 | number,))
    for code, size in ((24, 1), (25, 2)):
        if number < 1 << 8 * size:
            return bytes((major << 5 | code,)) + number.to_bytes(size, "big")
    return bytes((major << 5 | 26,)) + number.to_bytes(4, "big")


def encode_bytes(data: bytes) -> bytes:
    """``data`` as a byte string."""
    return encode_head(_BYTES, len(data)) + data


class _Malformed(Exception):  # noqa: N818 - never leaves this module
    """Why the bytes are no item."""


def _item(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """The item that starts at ``at``, and where it ends."""
    if at >= len(data):
        raise _Malformed("an item is cut")
    initial = data[at]
    at += 1
    if initial < _DIRECT:  # nearly every key
        return initial, at
    major, number = initial >> 5, initial & 0x1F
    if major > _TAG:
        return _simple(data, at, number)
    if number >= _DIRECT:
        number, at = _number(data, at, number)
    if major in (_BYTES, _TEXT):
        end = at + number
        if end > len(data):
            raise _Malformed("an item is cut")
        return (data[at:end] if major == _BYTES else _text(data[at:end])), end
    if major <= _NINT:
        return (number if major == _UINT else -1 - number), at
    return _container(data, at, major, number, depth - 1)


def _container(data: bytes, at: int, major: int, size: int, depth: int) -> tuple[Value, int]:
    if depth == 0:
        raise _Malformed("nested too deeply")
    if major == _TAG:
        value, at = _item(data, at, depth)
        return Tagged(size, value), at
    if size > len(data) - at:  # every item has at least one byte
        raise _Malformed("an item is cut")
    if major == _ARRAY:
        items = []
        for _ in range(size):
            value, at = _item(data, at, depth)
            items.append(value)
        return tuple(items), at
    found: dict[Key, Value] = {}
    for _ in range(size):
        key, at = _item(data, at, depth)
        # Not bool: True would be the same key as 1.
        if type(key) not in (int, str, bytes):
            raise _Malformed("a key is neither a number nor a string")
        if key in found:
            raise _Malformed(f"key {key!r} appears twice")
        found[key], at = _item(data, at, depth)  # type: ignore[index]
    return MappingProxyType(found), at


def _number(data: bytes, at: int, additional: int) -> tuple[int, int]:
    if additional > _DIRECT + 3:
        raise _Malformed(
            "an item has no length" if additional == _INDEFINITE else "a reserved head"
        )
    end = at + (1 << additional - _DIRECT)
    if end > len(data):
        raise _Malformed("an item is cut")
    return int.from_bytes(data[at:end], "big"), end


def _simple(data: bytes, at: int, additional: int) -> tuple[Value, int]:
    if additional in _FLOATS:
        end = at + (1 << additional - _DIRECT)
        if end > len(data):
            raise _Malformed("an item is cut")
        return struct.unpack(_FLOATS[additional], data[at:end])[0], end
    if additional in (_NULL, _UNDEFINED):
        return None, at
    if additional not in (_FALSE, _TRUE):
        raise _Malformed(f"simple value {additional} has no meaning")
    return additional == _TRUE, at


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise _Malformed("a text is not UTF-8") from exc
