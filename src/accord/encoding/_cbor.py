# SPDX-License-Identifier: Apache-2.0
"""A strict reader of CBOR (RFC 8949): definite lengths, no key twice, nothing after the end.

General libraries obey tags (dates, shared references, regular expressions), read undefined
simple values, ignore what follows, and differ in all of it between versions. Here a tag stays
a tag and there is nothing to share. Numbers need not be the shortest: constrained devices may
emit longer ones (RFC 9783, 5.1.1), and whatever is signed is signed as it was encoded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from accord.errors import MalformedError, TooLargeError

CBORValue = Any
"""What a CBOR document holds: int, float, bytes, str, bool, None, list, dict and `Tagged`."""

MAX_CBOR_BYTES = 1 << 20
"""Largest document decoded unless the caller says otherwise, as for JSON."""

_MAX_DEPTH = 32
_NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(1, 7)
_DIRECT = 24
"""The first additional information that is not the number itself (RFC 8949, 3)."""
_LONGEST = 27
_SIMPLE_VALUES = {20: False, 21: True, 22: None, 23: None}  # null, undefined
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
    try:
        value, end = _item(data, 0, _MAX_DEPTH)
    except _Malformed as exc:
        raise MalformedError(what=what, detail=f"not CBOR: {exc}") from exc
    if end != len(data):
        raise MalformedError(what=what, detail=f"not CBOR: bytes follow its end at {end}")
    return value


class _Malformed(Exception):  # noqa: N818 - never leaves this module
    """Why the bytes are no item."""


def _item(data: bytes, at: int, depth: int) -> tuple[CBORValue, int]:
    """The item that starts at ``at``, and where it ends."""
    if at >= len(data):
        raise _Malformed(f"cut at byte {at}")
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
            raise _Malformed(f"cut, {end - len(data)} bytes are missing")
        return (data[at:end] if major == _BYTES else _text(data[at:end], at)), end
    if major <= _NINT:
        return (-1 - number if major else number), at
    return _container(data, at, major, number, depth - 1)


def _container(data: bytes, at: int, major: int, size: int, depth: int) -> tuple[CBORValue, int]:
    if depth < 0:
        raise _Malformed(f"nested too deeply at byte {at}")
    if major == _TAG:
        value, at = _item(data, at, depth)
        return Tagged(size, value), at
    # Each item has a byte at least: a longer list is a lie, and would cost memory.
    if size > len(data) - at:
        raise _Malformed(f"more items than bytes at byte {at}")
    if major == _ARRAY:
        items = []
        for _ in range(size):
            value, at = _item(data, at, depth)
            items.append(value)
        return items, at
    found: dict[CBORValue, CBORValue] = {}
    for _ in range(size):
        key, at = _item(data, at, depth)
        if type(key) not in (int, str, bytes):  # not bool: True would be the same key as 1
            raise _Malformed(f"a key is neither number, text nor bytes before byte {at}")
        if key in found:
            raise _Malformed(f"a key appears twice before byte {at}")
        found[key], at = _item(data, at, depth)
    return found, at


def _number(data: bytes, at: int, additional: int) -> tuple[int, int]:
    if additional > _LONGEST:
        raise _Malformed(f"an indefinite length at byte {at}")
    end = at + (1 << additional - _DIRECT)
    if end > len(data):
        raise _Malformed(f"cut, {end - len(data)} bytes are missing")
    return int.from_bytes(data[at:end], "big"), end


def _simple(data: bytes, at: int, additional: int) -> tuple[CBORValue, int]:
    if additional in _FLOATS:
        end = at + (1 << additional - _DIRECT)
        if end > len(data):
            raise _Malformed(f"cut, {end - len(data)} bytes are missing")
        return struct.unpack(_FLOATS[additional], data[at:end])[0], end
    if additional not in _SIMPLE_VALUES:
        raise _Malformed(f"an unknown simple value before byte {at}")
    return _SIMPLE_VALUES[additional], at


def _text(data: bytes, at: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise _Malformed(f"text at byte {at} is not UTF-8") from exc
