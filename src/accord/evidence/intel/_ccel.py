# SPDX-License-Identifier: Apache-2.0
"""The CC event log: what a TD's firmware and loader measured (docs/spec/evidence/intel.md, 6)."""

from __future__ import annotations

from typing import NamedTuple

from accord.errors import EvidenceMalformedError, LogMismatchError
from accord.evidence._claims import Component
from accord.evidence._evidence import Evidence
from accord.evidence._reader import Reader
from accord.evidence.intel._quote import TDReport
from accord.evidence.tpm import check_replay, parse_event_log

_BANK = "sha384"
LOG, TABLE = "ccel", "ccel_table"
_NAME = "CC register {}"
_RTMR3 = 4  # UEFI 2.10, 38.4.1: register 0 is MRTD, which no event extends; 1 to 4 are the RTMRs.
TABLE_BYTES = 56
_CC_TYPE_TDX = 2


class LoggedEvents(NamedTuple):
    """What a log tells; ``rtmr3_unlogged``: that RTMR3 has been extended, and not in the log."""

    components: tuple[Component, ...]
    rtmr3_unlogged: bool


def read_event_log(evidence: Evidence, report: TDReport) -> LoggedEvents:
    """Every event that is in a quoted register, if ``evidence`` has a log; else nothing.

    A log without all events of RTMR0 to RTMR2 is refused: the host, which hands it over, would
    choose what component rules see. RTMR3 is extended at run time, which firmware's log does
    not record: whether it was is told, and not judged here.

    Raises ``LogMismatchError`` or ``EvidenceMalformedError``.
    """
    data, table = evidence.aux.get(LOG), evidence.aux.get(TABLE)
    if data is None:
        return LoggedEvents((), rtmr3_unlogged=False)
    if table is not None:
        _check_table(table, len(data))
    log = parse_event_log(data)
    registers = dict(enumerate(report.rtmrs, 1))
    proved = check_replay(log, registers, bank=_BANK, name=_NAME)
    unlogged = [index for index, value in registers.items() if any(value) and index not in proved]
    for index in unlogged:
        if index != _RTMR3:
            raise LogMismatchError(
                what="event log",
                register=f"{_BANK} {_NAME.format(index)}",
                actual="without events",
                expected=registers[index].hex(),
            )
    components = tuple(
        Component("ccel", f"rtmr{event.index - 1} {event.type:#010x}", event.digests[_BANK])
        for event in log.events
        if event.measured and event.index in proved
    )
    return LoggedEvents(components, rtmr3_unlogged=bool(unlogged))


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
