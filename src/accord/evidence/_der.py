# SPDX-License-Identifier: Apache-2.0
"""A strict reader of DER (X.690)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from accord.errors import EvidenceMalformedError

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

_SEQUENCE = bytes((SEQUENCE,))
_SHORT_FORM = 0x80
_HIGH_TAG = 0x1F
_MAX_LENGTH_OCTETS = 3
_CACHE = 256
_MAX_OID_BYTES = 64
_MAX_ARC_BITS = 128  # that of a UUID (ITU-T X.667), the largest in use


class Element(NamedTuple):
    """One tag-length-value; ``raw`` holds all three. A tuple: lists have thousands."""

    tag: int
    value: bytes
    raw: bytes


def elements(data: bytes, *, what: str, most: int | None = None) -> list[Element]:
    """The elements that fill ``data`` exactly, at most ``most``.

    Raises ``EvidenceMalformedError``.
    """
    found: list[Element] = []
    at, size = 0, len(data)
    while at < size:
        if len(found) == most:
            raise EvidenceMalformedError(what=what, detail=f"more than {most} elements")
        # Nearly every element is short: this path is worth its line.
        short = size - at > 1 and data[at] & _HIGH_TAG != _HIGH_TAG and data[at + 1] < _SHORT_FORM
        value_at, end = (at + 2, at + 2 + data[at + 1]) if short else _extent(data, at, what)
        if end > size:
            raise EvidenceMalformedError(what=what, detail="an element is cut")
        found.append(Element(data[at], data[value_at:end], data[at:end]))
        at = end
    return found


def _extent(data: bytes, at: int, what: str) -> tuple[int, int]:
    """Where the value of the element at ``at`` starts and ends (X.690, 8.1 and 10.1)."""
    if len(data) - at < 2:  # noqa: PLR2004 - tag and length
        raise EvidenceMalformedError(what=what, detail="an element is cut")
    if data[at] & _HIGH_TAG == _HIGH_TAG:
        raise EvidenceMalformedError(what=what, detail="multi-byte tag")
    length, value_at = data[at + 1], at + 2
    if length >= _SHORT_FORM:
        octets = length - _SHORT_FORM
        digits = data[value_at : value_at + octets]
        if not 1 <= octets <= _MAX_LENGTH_OCTETS or len(digits) != octets:
            raise EvidenceMalformedError(what=what, detail="an element has no usable length")
        length, value_at = int.from_bytes(digits, "big"), value_at + octets
        if digits[0] == 0 or length < _SHORT_FORM:
            raise EvidenceMalformedError(what=what, detail="a length is not minimal")
    return value_at, value_at + length


def sequence(data: bytes, *, what: str, most: int | None = None) -> list[Element]:
    """The members, at most ``most``, of the single SEQUENCE that fills ``data``."""
    if data[:1] != _SEQUENCE:
        raise EvidenceMalformedError(what=what, detail="expected one SEQUENCE")
    outer = _extent(data, 0, what)
    if outer[1] != len(data):
        detail = "an element is cut" if outer[1] > len(data) else "expected one SEQUENCE"
        raise EvidenceMalformedError(what=what, detail=detail)
    return elements(data[outer[0] :], what=what, most=most)


@lru_cache(maxsize=_CACHE)
def dotted(value: bytes) -> str:
    """The value of an OBJECT IDENTIFIER in dotted form (X.690, 8.19); "" if it is malformed.

    So it is if it is longer than any that is assigned: numbers of thousands of digits are no
    text in Python.
    """
    if len(value) > _MAX_OID_BYTES:
        return ""
    numbers, number = list[int](), 0
    for octet in value:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    if not value or value[-1] & 0x80 or max(numbers) >> _MAX_ARC_BITS:
        return ""
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
