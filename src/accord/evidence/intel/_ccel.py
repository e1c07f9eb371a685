# SPDX-License-Identifier: Apache-2.0
"""The CC event log: what a TD's firmware and loader measured (docs/spec/evidence/intel.md, 6)."""

from __future__ import annotations

from accord.errors import EvidenceMalformedError
from accord.evidence._claims import Component
from accord.evidence._evidence import Evidence
from accord.evidence._reader import Reader
from accord.evidence.intel._quote import TDReport
from accord.evidence.tpm import check_replay, parse_event_log

_BANK = "sha384"
LOG, TABLE = "ccel", "ccel_table"
TABLE_BYTES = 56
_CC_TYPE_TDX = 2


def read_event_log(evidence: Evidence, report: TDReport) -> tuple[Component, ...]:
    """Every event that is in a quoted register, if ``evidence`` has a log; else nothing.

    Registers that the log does not extend are not compared: what extended them is not in it.
    Raises ``LogMismatchError`` or ``EvidenceMalformedError``.
    """
    data, table = evidence.aux.get(LOG), evidence.aux.get(TABLE)
    if data is None:
        return ()
    if table is not None:
        _check_table(table, len(data))
    log = parse_event_log(data)
    # UEFI 2.10, 38.4.1: register 0 is MRTD, which no event extends; 1 to 4 are the RTMRs.
    registers = dict(enumerate(report.rtmrs, 1))
    proved = check_replay(log, registers, bank=_BANK, name="CC register {}")
    return tuple(
        Component("ccel", f"rtmr{event.index - 1} {event.type:#010x}", event.digests[_BANK])
        for event in log.events
        if event.measured and event.index in proved
    )


def _check_table(table: bytes, size: int) -> None:
    """The ACPI table that says where the log lies (ACPI 6.5, 5.2.34)."""
    reader = Reader(table, "CCEL table")
    if reader.take(4) != b"CCEL":
        raise EvidenceMalformedError(what="CCEL table", detail="it is another table")
    reader.expect(4, TABLE_BYTES, "length")
    reader.take(28)  # the rest of the ACPI header
    reader.expect(1, _CC_TYPE_TDX, "CC type")
    reader.take(3)  # subtype, reserved
    if reader.number(8) < size:
        raise EvidenceMalformedError(what="CCEL table", detail=f"its log is shorter than {size}")
