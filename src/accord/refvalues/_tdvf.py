# SPDX-License-Identifier: Apache-2.0
"""MRTD of a TDX virtual firmware image (TDVF).

Sources: *Intel TDX Virtual Firmware Design Guide*, 11 (metadata); *Intel TDX Module Base
Architecture*, "Measurement and Attestation" (TDH.MEM.PAGE.ADD, TDH.MR.EXTEND). The result was
compared with images made for the purpose only, never with the MRTD of a machine.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass
from enum import StrEnum

from accord.errors import ImageRefusedError
from accord.policy import Family
from accord.refvalues._values import ReferenceValues

MAX_IMAGE_BYTES = 64 << 20
"""Sixteen times the largest OVMF image."""

MAX_MEMORY_BYTES = 1 << 30
"""Most memory that is measured: each page costs one to seventeen hashes."""

_WHAT = "TDVF image"
_PAGE, _CHUNK, _RECORD = 4096, 256, 128
_TABLE_FOOTER = uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
_METADATA = uuid.UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le
_TABLE_END = 32  # the table of GUIDs ends 32 bytes before the image does
_ENTRY = struct.Struct("<H16s")
_HEADER = struct.Struct("<4sIII")
_SECTION = struct.Struct("<IIQQII")
_MR_EXTEND, _PAGE_AUG = 1, 2
_MAX_SECTIONS = 64


class PageOrder(StrEnum):
    """In which order the host adds and measures the pages of a section."""

    INTERLEAVED = "interleaved"
    """Each page is measured as soon as it is added: Linux since 6.16."""
    PAGES_FIRST = "pages-first"
    """All pages of a section are added, then measured: Intel's own patches before."""


@dataclass(frozen=True, slots=True)
class Section:
    """A range of initial memory: ``data``, then zeros up to ``size``."""

    address: int
    size: int
    data: bytes
    kind: int
    measured: bool
    added: bool


def parse_tdvf(image: bytes) -> tuple[Section, ...]:
    """The sections that the metadata of ``image`` lists. Raises ``ImageRefusedError``."""
    if len(image) > MAX_IMAGE_BYTES:
        raise _refused(f"larger than {MAX_IMAGE_BYTES} bytes")
    at = len(image) - _metadata_offset(image)
    if not 0 <= at <= len(image) - _HEADER.size:
        raise _refused("its metadata lies outside of it")
    signature, length, version, count = _HEADER.unpack_from(image, at)
    if (signature, version) != (b"TDVF", 1) or not 1 <= count <= _MAX_SECTIONS:
        raise _refused("it has no TDVF metadata of version 1")
    if length != _HEADER.size + count * _SECTION.size or at + length > len(image):
        raise _refused("its TDVF metadata is cut")
    sections = tuple(
        _section(image, at + _HEADER.size + index * _SECTION.size) for index in range(count)
    )
    if sum(section.size for section in sections if section.added) > MAX_MEMORY_BYTES:
        raise _refused(f"more than {MAX_MEMORY_BYTES} bytes of initial memory")
    return sections


def _metadata_offset(image: bytes) -> int:
    """From the end of the image, as the entry with TDVF's GUID in its table says."""
    table = image[: max(len(image) - _TABLE_END, 0)]
    size, guid = _entry(table)
    if guid != _TABLE_FOOTER or not _ENTRY.size <= size <= len(table):
        raise _refused("it has no table of GUIDs")
    table = table[-size : -_ENTRY.size]
    while table:
        size, guid = _entry(table)
        if not _ENTRY.size <= size <= len(table):
            raise _refused("its table of GUIDs is cut")
        if guid == _METADATA:
            return int.from_bytes(table[-size : -_ENTRY.size][:4], "little")
        table = table[:-size]
    raise _refused("it is not made for TDX: its table has no TDVF metadata")


def _entry(table: bytes) -> tuple[int, bytes]:
    """Size and GUID of the last entry: both stand behind its data."""
    if len(table) < _ENTRY.size:
        raise _refused("its table of GUIDs is cut")
    size, guid = _ENTRY.unpack(table[-_ENTRY.size :])
    return size, guid


def _section(image: bytes, at: int) -> Section:
    offset, raw, address, size, kind, flags = _SECTION.unpack_from(image, at)
    if flags & ~(_MR_EXTEND | _PAGE_AUG) or flags == _MR_EXTEND | _PAGE_AUG:
        raise _refused(f"a section has attributes {flags:#x}")
    if address % _PAGE or size % _PAGE or raw > size or address + size > 1 << 52:
        raise _refused(f"a section at {address:#x} of {size:#x} bytes is not in whole pages")
    if offset + raw > len(image):
        raise _refused("a section lies outside of it")
    return Section(
        address=address,
        size=size,
        data=image[offset : offset + raw],
        kind=kind,
        measured=bool(flags & _MR_EXTEND),
        added=not flags & _PAGE_AUG,
    )


def measure_tdvf(image: bytes, *, order: PageOrder = PageOrder.INTERLEAVED) -> ReferenceValues:
    """The MRTD of a TD that starts with ``image``, if its host loads nothing else.

    Raises ``ImageRefusedError``.
    """
    digest = hashlib.sha384()
    for section in parse_tdvf(image):
        if section.added:
            _measure(digest, section, order)
    return ReferenceValues(
        Family.TDX,
        measurements={"mrtd": (digest.digest(),)},
        caveats=(
            "computed, not read from a machine: compare it with evidence of your own first",
            f"for a host that adds pages in the order {order.value}",
            "mrtd covers the firmware alone; name rtmr1 and rtmr2 to cover kernel and initrd",
        ),
    )


def _measure(digest: hashlib._Hash, section: Section, order: PageOrder) -> None:
    pages = range(0, section.size, _PAGE)
    for page in pages:
        digest.update(_record(b"MEM.PAGE.ADD", section.address + page))
        if section.measured and order is PageOrder.INTERLEAVED:
            _extend(digest, section, page)
    if section.measured and order is PageOrder.PAGES_FIRST:
        for page in pages:
            _extend(digest, section, page)


def _extend(digest: hashlib._Hash, section: Section, page: int) -> None:
    for at in range(page, page + _PAGE, _CHUNK):
        digest.update(_record(b"MR.EXTEND", section.address + at))
        digest.update(section.data[at : at + _CHUNK].ljust(_CHUNK, b"\0"))


def _record(name: bytes, address: int) -> bytes:
    """128 bytes: the operation, at 16 the guest's physical address."""
    return (name.ljust(16, b"\0") + address.to_bytes(8, "little")).ljust(_RECORD, b"\0")


def _refused(detail: str) -> ImageRefusedError:
    return ImageRefusedError(what=_WHAT, detail=detail)
