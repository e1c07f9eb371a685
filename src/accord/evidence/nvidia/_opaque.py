# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's opaque data in a MEASUREMENTS response: a list of types, lengths and values.

Numbers of types are those of NVIDIA's own verifiers; the bytes are little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader

T = TypeVar("T")

_WHAT = "NVIDIA opaque data"
_DRIVER_VERSION, _VBIOS_VERSION = 3, 6
_NVDEC0_STATUS, _MEASUREMENT_COUNTS, _BOARD_ID = 11, 12, 14
_CHIP_SKU, _PROJECT, _PROJECT_SKU = 15, 17, 18
_FWID, _PROTECTED_PCIE = 20, 21
_CHIP_INFO, _FEATURE_FLAG = 35, 36

_MODES: Mapping[bytes, str] = MappingProxyType(
    {b"\0\0": "spt", b"\x01\0": "mpt", b"\x02\0": "ppcie"}
)
"""Single pass-through, multi pass-through, protected PCIe."""

_FLAGS: Mapping[bytes, bool] = MappingProxyType({b"\xaa": True, b"\x55": False})
_BINARY_VERSION_BYTES = 8
_COUNT_BYTES = 4


@dataclass(frozen=True, slots=True)
class OpaqueData:
    """What the firmware says of itself; None is what it does not say.

    ``mode`` is how the GPU serves confidential VMs. ``measurement_counts`` says how often
    each measurement was extended. ``others`` are the fields that have no meaning here.
    """

    driver_version: str | None
    vbios_version: str | None
    chip_info: str | None
    chip_sku: str | None
    project: str | None
    project_sku: str | None
    board_id: int | None
    fwid: bytes | None
    mode: str | None
    nvdec0: bool | None
    protected_pcie: bool | None
    measurement_counts: tuple[int, ...]
    others: Mapping[int, bytes]


def parse_opaque(data: bytes) -> OpaqueData:
    """Takes opaque data apart; no type may come twice. Raises ``EvidenceMalformedError``."""
    reader, fields = Reader(data, _WHAT), dict[int, bytes]()
    while reader.left:
        number = reader.number(2)
        if number in fields:
            raise EvidenceMalformedError(what=_WHAT, detail=f"field {number} comes twice")
        fields[number] = reader.sized(2)
    return OpaqueData(
        driver_version=_text(fields, _DRIVER_VERSION),
        vbios_version=_version(fields),
        chip_info=_text(fields, _CHIP_INFO),
        chip_sku=_text(fields, _CHIP_SKU),
        project=_text(fields, _PROJECT),
        project_sku=_text(fields, _PROJECT_SKU),
        board_id=_number(fields, _BOARD_ID),
        fwid=fields.pop(_FWID, None),
        mode=_choice(fields, _FEATURE_FLAG, _MODES),
        nvdec0=_choice(fields, _NVDEC0_STATUS, _FLAGS),
        protected_pcie=_choice(fields, _PROTECTED_PCIE, _FLAGS),
        measurement_counts=_counts(fields),
        others=MappingProxyType(fields),
    )


def _text(fields: dict[int, bytes], number: int) -> str | None:
    """Printable ASCII, padded with zeros."""
    value = fields.pop(number, None)
    if value is None:
        return None
    text = value.rstrip(b"\0").decode("ascii", "replace")
    if not text.isascii() or not text.isprintable():
        raise EvidenceMalformedError(what=_WHAT, detail=f"field {number} is not text")
    return text


def _version(fields: dict[int, bytes]) -> str | None:
    """A GPU's VBIOS version: five octets, the first four reversed. A switch's is text."""
    value = fields.get(_VBIOS_VERSION)
    if value is None or len(value) != _BINARY_VERSION_BYTES:
        return _text(fields, _VBIOS_VERSION)
    del fields[_VBIOS_VERSION]
    octets = (*reversed(value[:4]), value[4])
    return ".".join(f"{octet:02X}" for octet in octets)


def _number(fields: dict[int, bytes], number: int) -> int | None:
    value = fields.pop(number, None)
    return None if value is None else int.from_bytes(value, "little")


def _choice(fields: dict[int, bytes], number: int, meanings: Mapping[bytes, T]) -> T | None:
    """What a value stands for; a value that is not known stays among the others."""
    value = fields.get(number)
    if value is None or value not in meanings:
        return None
    return meanings[fields.pop(number)]


def _counts(fields: dict[int, bytes]) -> tuple[int, ...]:
    reader = Reader(fields.pop(_MEASUREMENT_COUNTS, b""), _WHAT)
    counts = []
    while reader.left:
        counts.append(reader.number(_COUNT_BYTES))
    return tuple(counts)
