# SPDX-License-Identifier: Apache-2.0
"""TDREPORT_STRUCT of Intel TDX: bytes to fields, nothing verified.

Layout: Intel TDX module ABI, "TDREPORT_STRUCT". Its MAC is by a key of one CPU: away from that
CPU it proves nothing, and a TD quote of the same fields must come with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader

TD_REPORT_BYTES = 1024
_TYPE_TDX = 0x81
_WHAT = "TDREPORT"


@dataclass(frozen=True, slots=True)
class TDReport:
    """``fields`` go by the names of TDX measurements."""

    report_data: bytes
    fields: Mapping[str, bytes]


def parse_td_report(data: bytes) -> TDReport:
    """Takes a TDREPORT apart; zeros may follow, up to the end of the room it is given.

    Raises ``EvidenceMalformedError``, also where its parts do not have the hashes it says.
    """
    reader = Reader(data, _WHAT)
    mac = Reader(reader.take(256), _WHAT)
    tcb, _, info = reader.take(239), reader.take(17), reader.take(512)
    if reader.rest().strip(b"\0"):
        raise EvidenceMalformedError(what=_WHAT, detail="bytes other than zeros follow it")
    kind = mac.take(4)
    if kind[0] != _TYPE_TDX or kind[1]:
        raise EvidenceMalformedError(what=_WHAT, detail=f"type {kind.hex()} is not of a TD")
    mac.take(12 + 16)  # reserved, CPUSVN
    hashes = [mac.take(48), mac.take(48)]
    report_data = mac.take(64)
    if [hashlib.sha384(part).digest() for part in (tcb, info)] != hashes:
        raise EvidenceMalformedError(what=_WHAT, detail="its parts have other hashes")
    return TDReport(report_data, MappingProxyType(_tcb(tcb) | _info(info)))


def _tcb(data: bytes) -> dict[str, bytes]:
    """TEE_TCB_INFO."""
    part = Reader(data, _WHAT)
    part.take(8)  # which fields are valid
    return {
        "tee_tcb_svn": part.take(16),
        "mrseam": part.take(48),
        "mrsignerseam": part.take(48),
    }


def _info(data: bytes) -> dict[str, bytes]:
    """TDINFO_STRUCT."""
    part = Reader(data, _WHAT)
    return {
        "td_attributes": part.take(8),
        "xfam": part.take(8),
        "mrtd": part.take(48),
        "mrconfigid": part.take(48),
        "mrowner": part.take(48),
        "mrownerconfig": part.take(48),
        **{f"rtmr{index}": part.take(48) for index in range(4)},
    }
