# SPDX-License-Identifier: Apache-2.0
"""What replayed events prove of a boot: secure boot, its keys, and the code that was loaded.

Rules: docs/spec/evidence/event-logs.md, 4. Types and data of events are not measured: data
count only where their hash is the digest, and types not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Final

from accord.errors import EnvironmentRefusedError, EvidenceMalformedError
from accord.evidence._claims import Component
from accord.evidence._reader import Reader
from accord.evidence.tpm._eventlog import REPLAYED_BANKS, Event, EventLog

_WHAT = "event log"
KIND: Final = "boot"
"""The kind of components that boot code is."""

_MAX_LABEL = 256

# UEFI 2.10, 3.3 and 32.4.1: GUIDs as they lie in memory.
_GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
_SECURITY_DATABASE = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
_SECURE_BOOT = (_GLOBAL, "SecureBoot")
_KEYS: Mapping[tuple[bytes, str], str] = MappingProxyType(
    {
        (_GLOBAL, "PK"): "pk",
        (_GLOBAL, "KEK"): "kek",
        (_SECURITY_DATABASE, "db"): "db",
        (_SECURITY_DATABASE, "dbx"): "dbx",
    }
)

_SEPARATORS = (bytes(4), b"\xff" * 4)
_ERROR_SEPARATOR = bytes((1, 0, 0, 0))
_DEBUGGER = b"UEFI Debug Mode"
_CALLING = b"Calling EFI Application from Boot Option"
_LEFT_FIRMWARE = b"Exit Boot Services Returned with Success"
_HARMLESS = frozenset(
    {
        *_SEPARATORS,
        _CALLING,
        _LEFT_FIRMWARE,
        b"Returning from EFI Application from Boot Option",
        b"Exit Boot Services Invocation",
        b"Exit Boot Services Returned with Failure",
    }
)
"""Data that load no code (PC Client Platform Firmware Profile, 10.4.4)."""

# UEFI 2.10, 5.3.2: signature, revision 1.0 and size of a partition table's header.
_GPT = b"EFI PART" + bytes.fromhex("00000100 5c000000")
_GPT_HEADER_BYTES, _GPT_ENTRY_BYTES = 92, 128
_KERNEL_COMMAND_LINE = b"kernel_cmdline: "


@dataclass(frozen=True, slots=True)
class Layout:
    """Which registers hold what: ``policy`` secure boot, ``code`` all that was loaded.

    ``partitions`` are registers of code that hold partition tables too.
    """

    policy: int
    actions: tuple[int, ...]
    code: tuple[int, ...]
    partitions: tuple[int, ...] = ()


PCRS: Final = Layout(policy=7, actions=(4, 5), code=(2, 4, 8, 9, 11, 12, 13))
"""PC Client Platform Firmware Profile, 2.3.4: drivers and boot loaders are in 2 and 4. GRUB
uses 8 and 9; unified kernels 11, 12 for command lines from elsewhere, 13 for extensions."""

RTMRS: Final = Layout(policy=1, actions=(2,), code=(2, 3), partitions=(2,))
"""A CCEL's (UEFI 2.10, 38.4.1): PCR 1 and 7 are in RTMR0, 2 to 6 in RTMR1, 8 to 15 in RTMR2."""


def _no_bytes() -> Mapping[str, bytes]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What the log proves; whatever it does not prove is None, or absent.

    ``keys`` maps ``pk``, ``kek``, ``db`` and ``dbx`` to the SHA-256 of the variable's
    contents. ``components`` are all measurements of code, in order: their digests are proved,
    their names are hints that anybody could have written.
    """

    secure_boot: bool | None
    keys: Mapping[str, bytes] = field(default_factory=_no_bytes)
    components: tuple[Component, ...] = ()


def boot_facts(
    log: EventLog, *, bank: str, proved: Collection[int], layout: Layout = PCRS
) -> BootFacts:
    """What the events of the ``proved`` registers of ``bank`` say (`check_replay`).

    A program can extend registers after the firmware handed over: only what precedes the
    separator of the policy register is the firmware's word on secure boot.

    Raises ``EvidenceMalformedError`` where the events contradict themselves or end before the
    firmware handed over, ``EnvironmentRefusedError`` where a firmware debugger was attached.
    """
    if not any(event.measured for event in log.events):
        raise EvidenceMalformedError(what=_WHAT, detail="measures nothing")
    events = [event for event in log.events if event.measured and event.index in proved]
    if bank not in REPLAYED_BANKS or any(bank not in event.digests for event in events):
        raise EvidenceMalformedError(what=_WHAT, detail=f"has no full bank {bank}")
    _check_left_firmware(events, bank, layout)
    secure_boot, keys = None, _no_bytes()
    if layout.policy in proved:
        policy = [event for event in events if event.index == layout.policy]
        secure_boot, keys = _policy(_before_separator(policy, bank, layout), bank)
    components = (_component(event, bank, layout) for event in events if event.index in layout.code)
    return BootFacts(secure_boot, keys, tuple(item for item in components if item is not None))


def _hash(bank: str, data: bytes) -> bytes:
    return hashlib.new(bank, data).digest()


def _check_left_firmware(events: Iterable[Event], bank: str, layout: Layout) -> None:
    """Firmware that notes the start of boot options notes its own end too, on success.

    Where only the first is found, a boot option still runs with all rights of the firmware.
    """
    digests = {event.digests[bank] for event in events if event.index in layout.actions}
    if _hash(bank, _CALLING) in digests and _hash(bank, _LEFT_FIRMWARE) not in digests:
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"there is no event '{_LEFT_FIRMWARE.decode()}'"
        )


def _before_separator(events: list[Event], bank: str, layout: Layout) -> list[Event]:
    """The firmware's own events. A separator is known by its digest, whatever its type says."""
    digests = [event.digests[bank] for event in events]
    separators = {_hash(bank, separator) for separator in _SEPARATORS}
    found = [at for at, digest in enumerate(digests) if digest in separators]
    # Several PCRs share one RTMR, each with its own separator; the first ends what counts.
    if not found or (len(found) > 1 and layout is PCRS):
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"register {layout.policy} has {len(found)} separators"
        )
    if _hash(bank, _ERROR_SEPARATOR) in digests[: found[0]]:
        raise EvidenceMalformedError(what=_WHAT, detail="the firmware reports an error")
    return events[: found[0]]


def _policy(events: list[Event], bank: str) -> tuple[bool | None, Mapping[str, bytes]]:
    """Secure boot, and the contents of its keys, from events whose data hash to the digest."""
    if any(event.digests[bank] == _hash(bank, _DEBUGGER) for event in events):
        raise EnvironmentRefusedError(
            field="firmware", actual=_DEBUGGER.decode(), expected="no debugger"
        )
    variables: dict[tuple[bytes, str], bytes] = {}
    for event in events:
        if event.digests[bank] != _hash(bank, event.data):
            continue
        variable = _variable(event.data)
        if variable is None:
            continue
        name, contents = variable
        if name in variables:
            raise EvidenceMalformedError(what=_WHAT, detail=f"variable {name[1]} comes twice")
        variables[name] = contents
    keys = {
        _KEYS[name]: hashlib.sha256(contents).digest()
        for name, contents in variables.items()
        if name in _KEYS
    }
    return _secure_boot(variables), MappingProxyType(keys)


def _secure_boot(variables: Mapping[tuple[bytes, str], bytes]) -> bool | None:
    """None where no event proves it; a variable that does not exist is measured as empty."""
    value = variables.get(_SECURE_BOOT)
    if value not in {None, b"", b"\0", b"\1"}:
        raise EvidenceMalformedError(what=_WHAT, detail=f"SecureBoot is {value.hex()}")
    if value == b"\1" and not all(variables.get(name) for name in _KEYS if name[1] != "dbx"):
        raise EvidenceMalformedError(what=_WHAT, detail="secure boot is on, but has no keys")
    return None if value is None else value == b"\1"


def _variable(data: bytes) -> tuple[tuple[bytes, str], bytes] | None:
    """Vendor and name, and contents, of a UEFI_VARIABLE_DATA; None for anything else."""
    reader = Reader(data, _WHAT)
    try:
        vendor, characters, size = reader.take(16), reader.number(8), reader.number(8)
        name = reader.take(2 * characters).decode("utf-16-le")
        contents = reader.take(size)
        reader.end()
    except (EvidenceMalformedError, UnicodeDecodeError):
        return None
    return (vendor, name), contents


@cache
def _harmless(bank: str) -> frozenset[bytes]:
    return frozenset(_hash(bank, data) for data in _HARMLESS)


def _component(event: Event, bank: str, layout: Layout) -> Component | None:
    """What a register of code was extended with; None for what provably loads no code.

    Commands of a boot loader are components too: some write to memory.
    """
    digest, data = event.digests[bank], event.data
    if digest in _harmless(bank):
        return None
    if event.index in layout.partitions and digest == _hash(bank, data) and _partitions(data):
        return None
    return Component(KIND, _label(data), digest)


def _partitions(data: bytes) -> bool:
    """Whether this is all of a UEFI_GPT_DATA: a header, a count, and entries (PFP, 10.2.5)."""
    count = data[_GPT_HEADER_BYTES : _GPT_HEADER_BYTES + 8]
    size = _GPT_HEADER_BYTES + 8 + _GPT_ENTRY_BYTES * int.from_bytes(count, "little")
    return data.startswith(_GPT) and len(data) == size


def _label(data: bytes) -> str:
    """A name to show, or to hint at which rule is meant: proved by nothing."""
    if data.startswith(_KERNEL_COMMAND_LINE):
        return "kernel_cmdline"
    path = _loaded_path(data)
    if path:
        return path
    for encoding in ("utf-8", "utf-16-le"):
        try:
            text = " ".join(data.decode(encoding).rstrip("\0").split())
        except UnicodeDecodeError:
            continue
        if text and text.isprintable():
            return text[:_MAX_LABEL]
    return ""


def _loaded_path(data: bytes) -> str:
    """The file of an UEFI_IMAGE_LOAD_EVENT, from its device path (UEFI 2.10, 10.3.5.4)."""
    reader = Reader(data, _WHAT)
    path = ""
    try:
        reader.take(24)  # where, how long, linked for which address
        nodes = Reader(reader.take(reader.number(8)), _WHAT)
        reader.end()
        while nodes.left:
            kind = nodes.take(2)
            node = nodes.take(max(nodes.number(2) - 4, 0))
            if kind == b"\x04\x04":
                path += node.decode("utf-16-le").rstrip("\0")
    except (EvidenceMalformedError, UnicodeDecodeError):
        return ""
    return path[:_MAX_LABEL] if path.isprintable() else ""
