# SPDX-License-Identifier: Apache-2.0
"""NVIDIA attestation report: bytes to fields, nothing verified (docs/spec/evidence/nvidia.md, 1).

A report is what was said over SPDM 1.1 (DMTF DSP0274): the GET_MEASUREMENTS request, and the
MEASUREMENTS response with NVIDIA's own opaque data.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader
from accord.evidence.nvidia._opaque import OpaqueData, parse_opaque

MAX_REPORT_BYTES = 16 << 10
"""Largest report: three times the largest recorded one."""

REQUEST_BYTES = 37
NONCE_BYTES = 32
SIGNATURE_BYTES = 96

_SPDM_1_1 = 0x11
_GET_MEASUREMENTS, _MEASUREMENTS = 0xE0, 0x60
_SIGNED, _ALL = 0x01, 0xFF
_SLOT = 0x0F
_DMTF = 0x01
_RAW = 0x80
_BLOCK = struct.Struct("<BBHBH")
_KIND_AND_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Block:
    """One measurement (DSP0274, table 54). ``raw`` says that ``value`` is not a digest."""

    kind: int
    raw: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """A report taken apart; ``signed`` is what ``signature`` covers: request and response."""

    nonce: bytes
    slot: int
    blocks: Mapping[int, Block]
    response_nonce: bytes
    opaque: OpaqueData
    signature: bytes
    signed: bytes


def parse_report(data: bytes) -> Report:
    """Takes a report apart; lengths must add up, and nothing may follow.

    Raises ``EvidenceMalformedError``.
    """
    what = "NVIDIA report"
    if len(data) > MAX_REPORT_BYTES:
        raise EvidenceMalformedError(what=what, detail=f"larger than {MAX_REPORT_BYTES} bytes")
    reader = Reader(data, what)
    # DSP0274, 10.11.1. Less than all measurements could leave out those that would not match.
    reader.expect(1, _SPDM_1_1, "SPDM version of the request")
    reader.expect(1, _GET_MEASUREMENTS, "request code")
    reader.expect(1, _SIGNED, "request attributes")
    reader.expect(1, _ALL, "measurement operation")
    nonce, slot = reader.take(NONCE_BYTES), reader.number(1)
    # DSP0274, 10.11.2.
    reader.expect(1, _SPDM_1_1, "SPDM version of the response")
    reader.expect(1, _MEASUREMENTS, "response code")
    reader.number(1)  # how many measurements there are, if that had been asked
    if reader.number(1) & _SLOT != slot:
        raise EvidenceMalformedError(what=what, detail="it answers for another slot")
    count = reader.number(1)
    blocks = _parse_blocks(reader.sized(3), count)
    response_nonce = reader.take(NONCE_BYTES)
    opaque = parse_opaque(reader.sized(2))
    signed = data[: len(data) - reader.left]
    signature = reader.take(SIGNATURE_BYTES)
    reader.end()
    return Report(nonce, slot, blocks, response_nonce, opaque, signature, signed)


def _parse_blocks(data: bytes, count: int) -> Mapping[int, Block]:
    what = "NVIDIA measurements"
    reader, blocks = Reader(data, what), dict[int, Block]()
    for _ in range(count):
        # DSP0274, tables 53 and 54: index, specification, size; kind, size of the value.
        index, specification, size, kind, length = _BLOCK.unpack(reader.take(_BLOCK.size))
        if specification != _DMTF or size != length + _KIND_AND_LENGTH:
            raise EvidenceMalformedError(what=what, detail=f"block {index} is not DMTF's")
        if index == 0 or index in blocks:
            raise EvidenceMalformedError(what=what, detail=f"block {index} is not expected")
        blocks[index] = Block(kind & ~_RAW, bool(kind & _RAW), reader.take(length))
    reader.end()
    return MappingProxyType(blocks)
