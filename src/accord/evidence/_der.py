# SPDX-License-Identifier: Apache-2.0
"""A strict reader of DER (X.690) and of Intel's PCK certificate extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from accord.errors import EvidenceMalformedError

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30

_SHORT_FORM = 0x80
_HIGH_TAG = 0x1F
_MAX_LENGTH_OCTETS = 3


@dataclass(frozen=True, slots=True)
class Element:
    """One tag-length-value; ``raw`` holds all three."""

    tag: int
    value: bytes
    raw: bytes


def elements(data: bytes, *, what: str) -> list[Element]:
    """The elements that fill ``data`` exactly. Raises ``EvidenceMalformedError``."""
    found, at = [], 0
    while at < len(data):
        start, value_at, end = at, *_extent(data, at, what)
        found.append(Element(data[start], data[value_at:end], data[start:end]))
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
    if value_at + length > len(data):
        raise EvidenceMalformedError(what=what, detail="an element is cut")
    return value_at, value_at + length


def sequence(data: bytes, *, what: str) -> list[Element]:
    """The members of the single SEQUENCE that fills ``data``."""
    outer = elements(data, what=what)
    if len(outer) != 1 or outer[0].tag != SEQUENCE:
        raise EvidenceMalformedError(what=what, detail="expected one SEQUENCE")
    return elements(outer[0].value, what=what)


_PCK = "PCK certificate extension"
_ARC = bytes.fromhex("2a864886f84d010d01")  # 1.2.840.113741.1.13.1
_SVN_COUNT = 16
_PCESVN = 17


@dataclass(frozen=True, slots=True)
class PCKExtension:
    """What a PCK certificate says of its platform (Intel SGX PCK certificate spec, 1.3.5)."""

    ppid: bytes
    svns: tuple[int, ...]
    pcesvn: int
    pceid: bytes
    fmspc: bytes


def parse_pck_extension(data: bytes) -> PCKExtension:
    """Reads the value of extension 1.2.840.113741.1.13.1; unknown members are skipped.

    Raises ``EvidenceMalformedError``.
    """
    members = _by_number(sequence(data, what=_PCK), _ARC)
    tcb = _by_number(elements(_take(members, 2, SEQUENCE), what=_PCK), _ARC + b"\x02")
    numbers = [_unsigned(_take(tcb, index, INTEGER)) for index in range(1, _PCESVN + 1)]
    return PCKExtension(
        ppid=_take(members, 1, OCTET_STRING, size=16),
        svns=tuple(numbers[:_SVN_COUNT]),
        pcesvn=numbers[_SVN_COUNT],
        pceid=_take(members, 3, OCTET_STRING, size=2),
        fmspc=_take(members, 4, OCTET_STRING, size=6),
    )


def _by_number(members: list[Element], arc: bytes) -> dict[int, Element]:
    """Members ``SEQUENCE { OID, value }`` by the last component of their OID below ``arc``."""
    found: dict[int, Element] = {}
    for member in members:
        pair = sequence(member.raw, what=_PCK)
        if len(pair) != 2 or pair[0].tag != OBJECT_IDENTIFIER:  # noqa: PLR2004 - a pair
            raise EvidenceMalformedError(what=_PCK, detail="expected an OID and a value")
        oid = pair[0].value
        if oid[:-1] != arc:
            raise EvidenceMalformedError(what=_PCK, detail="an OID is outside its arc")
        if oid[-1] in found:
            raise EvidenceMalformedError(what=_PCK, detail="an OID appears twice")
        found[oid[-1]] = pair[1]
    return found


def _take(members: dict[int, Element], number: int, tag: int, *, size: int | None = None) -> bytes:
    element = members.get(number)
    if element is None or element.tag != tag or size not in {None, len(element.value)}:
        raise EvidenceMalformedError(what=_PCK, detail=f"member {number} is missing or mistyped")
    return element.value


def _unsigned(value: bytes) -> int:
    """A non-negative INTEGER of at most 16 bits, minimally encoded (X.690, 8.3.2)."""
    if not value or value[0] & 0x80 or len(value) > 3:  # noqa: PLR2004 - sign byte and 16 bits
        raise EvidenceMalformedError(what=_PCK, detail="a version number is out of range")
    if len(value) > 1 and value[0] == 0 and not value[1] & 0x80:
        raise EvidenceMalformedError(what=_PCK, detail="a version number is not minimal")
    return int.from_bytes(value, "big")
