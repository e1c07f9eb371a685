# SPDX-License-Identifier: Apache-2.0
"""Logs of a late launch by Intel TXT: what SINIT and the launched environment measured.

Two forms are read: binary TCG logs, as SINIT writes them into the TXT heap, and the JSON of
Intel's trust agent. Both are unsigned; types and names in them are not even measured.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from accord.encoding import Fields, parse_json
from accord.errors import EncodingError, EvidenceMalformedError, LogMismatchError
from accord.evidence._claims import Component
from accord.evidence.tpm._eventlog import EventLog, parse_event_log
from accord.evidence.tpm._quote import Registers

LAUNCH_REGISTERS: Final = (17, 18)
"""Details and authorities of the launch (Intel TXT Software Development Guide, chapter 1)."""

MAX_TXT_LOG_BYTES = 1 << 20
"""Largest log: SINIT reserves 64 KiB at most, and JSON is four times as long."""

_WHAT: Final = "TXT log"
_MAX_TEXT = 256
_SIZES = {20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}
_LABELS = {"SHA1", "SHA256", "SHA384", "SHA512"}
_TYPE = re.compile(r"0x[0-9a-fA-F]{1,8}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){20,64}")

# Intel TXT Software Development Guide, appendix F.
_NAMES: Mapping[int, str] = MappingProxyType(
    {
        0x402: "HASH_START",
        0x403: "COMBINED_HASH",
        0x404: "MLE_HASH",
        0x40A: "BIOSAC_REG_DATA",
        0x40B: "CPU_SCRTM_STAT",
        0x40C: "LCP_CONTROL_HASH",
        0x40D: "ELEMENTS_HASH",
        0x40E: "STM_HASH",
        0x40F: "OSSINITDATA_CAP_HASH",
        0x410: "SINIT_PUBKEY_HASH",
        0x411: "LCP_HASH",
        0x412: "LCP_DETAILS_HASH",
        0x413: "LCP_AUTHORITIES_HASH",
        0x414: "NV_INFO_HASH",
        0x415: "COLD_BOOT_BIOS_HASH",
        0x416: "KM_HASH",
        0x417: "BPM_HASH",
        0x418: "KM_INFO_HASH",
        0x419: "BPM_INFO_HASH",
        0x41A: "BOOT_POL_HASH",
        0x4FF: "CAP_VALUE",
    }
)
_MARKERS = frozenset({0x401, 0x503, 0x504})
"""PCR mapping, start and end of a secure launch: notes, where their digests are zeros."""


@dataclass(frozen=True, slots=True)
class TXTEvent:
    """One measurement; only ``digest`` can be proved."""

    type: int
    name: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class TXTLog:
    """Events by bank and register, in order, replayed by nothing yet."""

    events: Mapping[tuple[str, int], tuple[TXTEvent, ...]]

    @property
    def banks(self) -> frozenset[str]:
        """The banks that the log has events in."""
        return frozenset(bank for bank, _ in self.events)


def parse_txt_log(data: bytes) -> TXTLog:
    """Takes a log of either form apart. Raises ``EvidenceMalformedError``."""
    if len(data) > MAX_TXT_LOG_BYTES:
        raise EvidenceMalformedError(what=_WHAT, detail=f"larger than {MAX_TXT_LOG_BYTES} bytes")
    events = _from_json(data) if data.lstrip()[:1] == b"[" else _from_tcg(parse_event_log(data))
    if not events:
        raise EvidenceMalformedError(what=_WHAT, detail="it has no event of a late launch")
    return TXTLog(MappingProxyType(events))


def _from_tcg(log: EventLog) -> dict[tuple[str, int], tuple[TXTEvent, ...]]:
    found: dict[tuple[str, int], list[TXTEvent]] = {}
    for event in log.events:
        if not event.measured or event.index not in LAUNCH_REGISTERS:
            continue
        if event.type in _MARKERS and not any(map(any, event.digests.values())):
            continue
        name = _NAMES.get(event.type) or _text(event.data)
        for bank, digest in event.digests.items():
            found.setdefault((bank, event.index), []).append(TXTEvent(event.type, name, digest))
    return {register: tuple(events) for register, events in found.items()}


def _text(data: bytes) -> str:
    """What a boot loader says of a module, if it can be shown."""
    text = data.rstrip(b"\0").decode("utf-8", "replace")
    return text[:_MAX_TEXT] if text.isprintable() else ""


def _from_json(data: bytes) -> dict[tuple[str, int], tuple[TXTEvent, ...]]:
    """A list of registers, each with its events, in the form of Intel's trust agent."""
    found: dict[tuple[str, int], tuple[TXTEvent, ...]] = {}
    try:
        value = parse_json(data, what=_WHAT, limit=MAX_TXT_LOG_BYTES)
        for listed in Fields({"log": value}, _WHAT).objects("log"):
            register, events = _read_register(listed)
            # The agent can list a register twice; what it then says must be the same.
            if found.setdefault(register, events) != events:
                raise EvidenceMalformedError(
                    what=_WHAT, detail=f"{register[0]} PCR {register[1]} is listed twice"
                )
    except EncodingError as exc:
        raise EvidenceMalformedError(what=_WHAT, detail=str(exc)) from exc
    return found


def _read_register(listed: Fields) -> tuple[tuple[str, int], tuple[TXTEvent, ...]]:
    pcr = listed.object("pcr")
    index, label = pcr.integer("index", minimum=0, maximum=23), pcr.text("bank")
    pcr.end()
    events = tuple(_read_event(event) for event in listed.objects("tpm_events"))
    listed.end()
    sizes = {len(event.digest) for event in events}
    if index not in LAUNCH_REGISTERS or label not in _LABELS or len(sizes) != 1:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{label} PCR {index} is malformed")
    # Agents are known to mislabel banks; the size of the digests cannot lie.
    bank = _SIZES.get(sizes.pop())
    if bank is None:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{label} PCR {index} has odd digests")
    return (bank, index), events


def _read_event(event: Fields) -> TXTEvent:
    kind, name, measured = (event.text(key) for key in ("type_id", "type_name", "measurement"))
    if event.has("tags"):
        event.texts("tags")
    event.end()
    if not _TYPE.fullmatch(kind) or not _HEX.fullmatch(measured) or len(name) > _MAX_TEXT:
        raise EvidenceMalformedError(what=_WHAT, detail="an event is malformed")
    return TXTEvent(int(kind, 16), name, bytes.fromhex(measured))


def check_txt_log(log: TXTLog, registers: Registers, banks: tuple[str, ...]) -> str:
    """That ``log`` replays to both launch registers in each of ``banks``; returns the first.

    ``registers`` are signed values. Banks that the log does not have are left out, but one it
    must have. Raises ``LogMismatchError``.
    """
    found = [bank for bank in banks if bank in log.banks]
    if not found:
        raise LogMismatchError(
            what=_WHAT,
            register="PCR 17 and 18",
            actual=f"banks {', '.join(sorted(log.banks))}",
            expected=f"banks {', '.join(banks)}",
        )
    for bank in found:
        for index in LAUNCH_REGISTERS:
            actual = _replay(log.events.get((bank, index), ()), bank)
            expected = registers[bank, index]
            if not hmac.compare_digest(expected, actual):
                raise LogMismatchError(
                    what=_WHAT,
                    register=f"{bank} PCR {index}",
                    actual=actual.hex(),
                    expected=expected.hex(),
                )
    return found[0]


def _replay(events: tuple[TXTEvent, ...], bank: str) -> bytes:
    """A late launch resets the registers to zeros, then extends each digest."""
    extend = getattr(hashlib, bank)
    value = bytes(extend().digest_size)
    for event in events:
        value = extend(value + event.digest).digest()
    return bytes(value)


def txt_components(log: TXTLog, bank: str) -> tuple[Component, ...]:
    """What the log says was launched, of ``bank``; true after `check_txt_log`, names aside."""
    return tuple(
        Component(f"txt.pcr{index}", event.name, event.digest)
        for index in LAUNCH_REGISTERS
        for event in log.events[bank, index]
    )
