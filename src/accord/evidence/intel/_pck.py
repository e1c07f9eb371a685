# SPDX-License-Identifier: Apache-2.0
"""What a PCK certificate says of its platform: Intel's certificate extension."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from accord.errors import EvidenceMalformedError
from accord.evidence._der import (
    BOOLEAN,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    Element,
    elements,
    sequence,
)

PCK_EXTENSION = "1.2.840.113741.1.13.1"

_PCK = "PCK certificate extension"
_ARC = bytes.fromhex("2a864886f84d010d01")  # 1.2.840.113741.1.13.1
_ENUMERATED = 0x0A
_SVN_COUNT = 16
_PCESVN = 17
_CACHE = 64
SGX_TYPES = ("standard", "scalable", "scalable_with_integrity")


@dataclass(frozen=True, slots=True)
class PCKExtension:
    """What a PCK certificate says of its platform (Intel SGX PCK certificate spec, 1.3.5).

    The last four are only known of multi-package platforms, None elsewhere.
    """

    ppid: bytes
    svns: tuple[int, ...]
    pcesvn: int
    pceid: bytes
    fmspc: bytes
    sgx_type: str
    platform_instance_id: bytes | None
    dynamic_platform: bool | None
    cached_keys: bool | None
    smt_enabled: bool | None


@lru_cache(maxsize=_CACHE)
def parse_pck_extension(data: bytes) -> PCKExtension:
    """Reads the value of extension 1.2.840.113741.1.13.1; unknown members are skipped.

    Raises ``EvidenceMalformedError``.
    """
    members = _by_number(sequence(data, what=_PCK), _ARC)
    tcb = _by_number(elements(_take(members, 2, SEQUENCE), what=_PCK), _ARC + b"\x02")
    numbers = [_unsigned(_take(tcb, index, INTEGER)) for index in range(1, _PCESVN + 1)]
    flags = {}
    if 7 in members:  # noqa: PLR2004 - the OID's last number
        flags = _by_number(elements(_take(members, 7, SEQUENCE), what=_PCK), _ARC + b"\x07")
    return PCKExtension(
        ppid=_take(members, 1, OCTET_STRING, size=16),
        svns=tuple(numbers[:_SVN_COUNT]),
        pcesvn=numbers[_SVN_COUNT],
        pceid=_take(members, 3, OCTET_STRING, size=2),
        fmspc=_take(members, 4, OCTET_STRING, size=6),
        sgx_type=_sgx_type(_take(members, 5, _ENUMERATED, size=1)),
        platform_instance_id=_take(members, 6, OCTET_STRING, size=16) if 6 in members else None,  # noqa: PLR2004
        dynamic_platform=_flag(flags, 1),
        cached_keys=_flag(flags, 2),
        smt_enabled=_flag(flags, 3),
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


def _flag(members: dict[int, Element], number: int) -> bool | None:
    """Every value but zero is true (X.690, 8.2)."""
    return any(_take(members, number, BOOLEAN, size=1)) if number in members else None


def _sgx_type(value: bytes) -> str:
    if value[0] >= len(SGX_TYPES):
        raise EvidenceMalformedError(what=_PCK, detail=f"SGX type {value[0]} is unknown")
    return SGX_TYPES[value[0]]


def _unsigned(value: bytes) -> int:
    """A non-negative INTEGER of at most 16 bits, minimally encoded (X.690, 8.3.2)."""
    if not value or value[0] & 0x80 or len(value) > 3:  # noqa: PLR2004 - sign byte and 16 bits
        raise EvidenceMalformedError(what=_PCK, detail="a version number is out of range")
    if len(value) > 1 and value[0] == 0 and not value[1] & 0x80:
        raise EvidenceMalformedError(what=_PCK, detail="a version number is not minimal")
    return int.from_bytes(value, "big")
