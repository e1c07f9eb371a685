# SPDX-License-Identifier: Apache-2.0
"""The report in an Azure vTPM (NV index 0x01400001): bytes to fields, nothing verified.

Layout: docs/spec/evidence/azure.md, 2. The header is signed by nobody; the hardware's report
is, and carries the hash of the runtime data.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader
from accord.policy import Family

T = TypeVar("T")

MAX_REPORT_BYTES = 16 << 10
"""Largest report: five times the largest recorded one; an NV index holds little."""

HARDWARE_BYTES: Final = 1184
"""Room for the hardware's report: an SNP report, or a TDREPORT and zeros."""

REPORT_DATA_BYTES: Final = 64

_WHAT = "HCL report"
_SIGNATURE = b"HCLA"
_VERSIONS = (1, 2)
_RUNTIME_VERSION = 1
_HARDWARE: Mapping[int, Family] = MappingProxyType({2: Family.SNP, 4: Family.TDX})
_HASHES: Mapping[int, str] = MappingProxyType({1: "sha256", 2: "sha384", 3: "sha512"})
_RUNTIME_HEADER_BYTES = 20


@dataclass(frozen=True, slots=True)
class HCLReport:
    """``runtime`` is the JSON whose ``hash_name`` the report of the ``hardware`` must carry."""

    version: int
    hardware: Family
    hardware_report: bytes
    hash_name: str
    runtime: bytes

    def binds(self, report_data: bytes) -> bool:
        """Whether 64 bytes of report data are the hash of the runtime data, and zeros."""
        expected = hashlib.new(self.hash_name, self.runtime).digest()
        return hmac.compare_digest(expected.ljust(REPORT_DATA_BYTES, b"\0"), report_data)


def parse_hcl_report(data: bytes) -> HCLReport:
    """Takes a report apart; an NV index is longer than the report in it: zeros may follow.

    Raises ``EvidenceMalformedError``.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise EvidenceMalformedError(what=_WHAT, detail=f"larger than {MAX_REPORT_BYTES} bytes")
    reader = Reader(data, _WHAT)
    if reader.take(4) != _SIGNATURE:
        raise EvidenceMalformedError(what=_WHAT, detail="does not start with HCLA")
    version = _known(reader.number(4), {item: item for item in _VERSIONS}, "version")
    reader.take(24)  # size, kind of request, status, reserved
    hardware_report = reader.take(HARDWARE_BYTES)
    # Runtime data: size with this header, version, kind of hardware, hash, size of the JSON.
    size = reader.number(4)
    reader.expect(4, _RUNTIME_VERSION, "version of the runtime data")
    hardware = _known(reader.number(4), _HARDWARE, "kind of hardware")
    hash_name = _known(reader.number(4), _HASHES, "hash")
    runtime = reader.sized(4)
    if size != _RUNTIME_HEADER_BYTES + len(runtime):
        raise EvidenceMalformedError(what=_WHAT, detail="the sizes of its runtime data differ")
    if reader.rest().strip(b"\0"):
        raise EvidenceMalformedError(what=_WHAT, detail="bytes other than zeros follow it")
    return HCLReport(version, hardware, hardware_report, hash_name, runtime)


def _known(number: int, known: Mapping[int, T], field: str) -> T:
    if number not in known:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{field} {number} is not supported")
    return known[number]
