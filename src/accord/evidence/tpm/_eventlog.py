# SPDX-License-Identifier: Apache-2.0
"""TCG event logs: what firmware and boot loaders say that they measured.

Layouts and rules: docs/spec/evidence/event-logs.md. A log is unsigned. Nothing in it is true
before its replay equals registers that a TPM quote or a TDX report carries: `check_replay`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from accord.errors import EvidenceMalformedError, LogMismatchError
from accord.evidence._reader import Reader
from accord.evidence.tpm._structures import HASHES

MAX_EVENT_LOG_BYTES = 4 << 20
"""Largest log: 16 times the largest recorded one, whose table is 256 KiB of mostly padding."""

EV_NO_ACTION: Final = 0x00000003
EV_SEPARATOR: Final = 0x00000004

_WHAT = "event log"
_TPM_REGISTERS = 24
_MAX_BANKS = 8

REPLAYED_BANKS: Final = ("sha1", "sha256", "sha384", "sha512")
"""Banks that can be replayed; a log may hold others beside them."""

# PC Client Platform Firmware Profile 1.05, 10.4.5.1 and 10.4.5.3.
_SPEC_ID = b"Spec ID Event03\0"
_STARTUP_LOCALITY = b"StartupLocality\0"
_LOCALITIES = (0, 3, 4)
"""3 is a start by the CPU before the firmware (TXT), 4 with an H-CRTM event."""


@dataclass(frozen=True, slots=True)
class Event:
    """One measurement; ``data`` is a comment of the log, unless its digest proves it.

    ``index`` is a PCR, or in a CCEL a TDX register (0 is MRTD, 1 to 4 are RTMR0 to RTMR3).
    """

    index: int
    type: int
    digests: Mapping[str, bytes]
    data: bytes

    @property
    def measured(self) -> bool:
        """Whether a register was extended with it."""
        return self.type != EV_NO_ACTION


@dataclass(frozen=True, slots=True)
class EventLog:
    """A log taken apart, in order; ``banks`` are the algorithms that it declares."""

    banks: tuple[str, ...]
    events: tuple[Event, ...]


def parse_event_log(data: bytes) -> EventLog:
    """Takes a log of either format apart: nothing is replayed, so nothing of it is true yet.

    The first event decides: a Spec ID event announces crypto-agile entries, otherwise all
    entries are of TPM 1.2. Firmware tables are longer than the log in them: zeros, or 0xFF,
    up to the end are left aside. Raises ``EvidenceMalformedError``.
    """
    if len(data) > MAX_EVENT_LOG_BYTES:
        raise EvidenceMalformedError(what=_WHAT, detail=f"larger than {MAX_EVENT_LOG_BYTES} bytes")
    # No event is all zeros, or all 0xFF: it would measure nothing, or have no register.
    padded = len(data) - min(len(data.rstrip(fill)) for fill in (b"\0", b"\xff"))
    if padded == len(data):
        raise EvidenceMalformedError(what=_WHAT, detail="is empty")
    reader = Reader(data, _WHAT)
    first = _read_sha1_event(reader)
    if first.type == EV_NO_ACTION and first.data.startswith(_SPEC_ID):
        algorithms = _read_spec_id(first.data)
        events = [first]
        while reader.left > padded:
            events.append(_read_agile_event(reader, algorithms))
        banks = tuple(name for name, _ in algorithms.values())
    else:
        events = [first]
        while reader.left > padded:
            events.append(_read_sha1_event(reader))
        banks = ("sha1",)
    return EventLog(banks, tuple(events))


def _read_spec_id(data: bytes) -> Mapping[int, tuple[str, int]]:
    """Name and digest size of each declared algorithm (10.4.5.1, TCG_EfiSpecIDEvent)."""
    what = "Spec ID event"
    reader = Reader(data, what)
    reader.take(len(_SPEC_ID) + 4)  # signature, platform class
    minor, major = reader.number(1), reader.number(1)
    if (major, minor) != (2, 0):
        raise EvidenceMalformedError(what=what, detail=f"version {major}.{minor}, expected 2.0")
    reader.take(2)  # errata, size of UINTN
    count = reader.number(4)
    if not 1 <= count <= _MAX_BANKS:
        raise EvidenceMalformedError(what=what, detail=f"{count} algorithms")
    found: dict[int, tuple[str, int]] = {}
    for _ in range(count):
        number, size = reader.number(2), reader.number(2)
        name, expected = HASHES.get(number, (f"alg_{number:04x}", size))
        if size != expected or not size or number in found:
            raise EvidenceMalformedError(
                what=what, detail=f"{name} is declared twice, or with {size} bytes"
            )
        found[number] = (name, size)
    reader.sized(1)  # vendor information
    reader.end()
    return found


def _read_sha1_event(reader: Reader) -> Event:
    """TCG_PCClientPCREvent (10.2.1): register, type, digest, sized data."""
    index, kind = reader.number(4), reader.number(4)
    digests = MappingProxyType({"sha1": reader.take(20)})
    return _event(index, kind, digests, reader.sized(4))


def _read_agile_event(reader: Reader, algorithms: Mapping[int, tuple[str, int]]) -> Event:
    """TCG_PCR_EVENT2 (10.2.2): register, type, tagged digests, sized data."""
    index, kind, count = reader.number(4), reader.number(4), reader.number(4)
    if count > len(algorithms):
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"an event has {count} digests, of {len(algorithms)} algorithms"
        )
    digests: dict[str, bytes] = {}
    for _ in range(count):
        number = reader.number(2)
        if number not in algorithms:
            raise EvidenceMalformedError(
                what=_WHAT, detail=f"a digest of algorithm {number:#06x}, not declared"
            )
        name, size = algorithms[number]
        if name in digests:
            raise EvidenceMalformedError(what=_WHAT, detail=f"an event has two {name} digests")
        digests[name] = reader.take(size)
    return _event(index, kind, MappingProxyType(digests), reader.sized(4))


def _event(index: int, kind: int, digests: Mapping[str, bytes], data: bytes) -> Event:
    # Notes (EV_NO_ACTION) may name no register at all; some firmware writes 0xFFFFFFFF.
    if index >= _TPM_REGISTERS and kind != EV_NO_ACTION:
        raise EvidenceMalformedError(what=_WHAT, detail=f"there is no register {index}")
    return Event(index, kind, digests, data)


def replay(log: EventLog, bank: str) -> Mapping[int, bytes]:
    """What the registers of ``bank`` hold if ``log`` is true: those that it extends, alone.

    Raises ``EvidenceMalformedError`` for a bank that the log does not have in full, or that
    is not supported.
    """
    if bank not in REPLAYED_BANKS:
        raise EvidenceMalformedError(what=_WHAT, detail=f"bank {bank} is not supported")
    if bank not in log.banks:
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"has no bank {bank}, but {', '.join(log.banks)}"
        )
    extend = getattr(hashlib, bank)
    zeros = bytes(extend().digest_size)
    values: dict[int, bytes] = {}
    for event in log.events:
        if not event.measured:
            if event.index == 0 and event.data.startswith(_STARTUP_LOCALITY):
                _start(values, event.data, zeros)
            continue
        digest = event.digests.get(bank)
        if digest is None:
            raise EvidenceMalformedError(what=_WHAT, detail=f"an event has no {bank} digest")
        values[event.index] = extend(values.get(event.index, zeros) + digest).digest()
    return MappingProxyType(values)


def _start(values: dict[int, bytes], data: bytes, zeros: bytes) -> None:
    """PCR 0 starts with the locality of TPM2_Startup in its last byte (10.4.5.3)."""
    locality = data[len(_STARTUP_LOCALITY) :]
    if len(locality) != 1 or locality[0] not in _LOCALITIES:
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"a start at locality {locality.hex() or 'none'}"
        )
    if 0 in values:
        raise EvidenceMalformedError(what=_WHAT, detail="PCR 0 is started twice, or too late")
    values[0] = zeros[:-1] + locality


def check_replay(
    log: EventLog, registers: Mapping[int, bytes], *, bank: str, name: str = "PCR {}"
) -> frozenset[int]:
    """The registers whose events ``log`` tells truly: those that it extends, of ``registers``.

    ``registers`` are signed values, by index. A register that the log does not extend is not
    compared: its events, if any, are not in this log. ``name`` shows an index in errors.
    Raises ``LogMismatchError`` where a replayed register differs, or as `replay` does.
    """
    replayed = replay(log, bank)
    proved = sorted(registers.keys() & replayed.keys())
    for index in proved:
        expected, actual = registers[index], replayed[index]
        if not hmac.compare_digest(expected, actual):
            raise LogMismatchError(
                what=_WHAT,
                register=f"{bank} {name.format(index)}",
                actual=actual.hex(),
                expected=expected.hex(),
            )
    return frozenset(proved)
