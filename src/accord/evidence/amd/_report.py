# SPDX-License-Identifier: Apache-2.0
"""The SEV-SNP attestation report, versions 2 to 5: bytes to fields, nothing verified.

Layout: AMD SEV-SNP firmware ABI (56860, revision 1.58), section 7.3; restated in
docs/spec/evidence/amd.md, 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader

REPORT_BYTES = 0x4A0
SIGNED_BYTES = 0x2A0

WHAT = "SNP report"
ECDSA_P384_SHA384 = 1
_VERSIONS = range(2, 6)
_VERSION_WITH_CPUID = 3
_VERSION_WITH_UNPUBLISHED_FIELDS = 4
_VERSION_WITH_MITIGATIONS = 5
_NUMBER_BYTES, _P384_BYTES = 72, 48
_SIGNATURE_PADDING = 368
_POLICY_ALWAYS_ONE = 1 << 17
_POLICY_BITS: Mapping[int, str] = MappingProxyType(
    {
        16: "smt",
        18: "migrate_ma",
        19: "debug",
        20: "single_socket",
        21: "cxl_allow",
        22: "mem_aes_256_xts",
        23: "rapl_dis",
        24: "ciphertext_hiding_dram",
        25: "page_swap_disable",
    }
)
_PLATFORM_BITS: Mapping[int, str] = MappingProxyType(
    {
        0: "smt",
        1: "tsme",
        2: "ecc",
        3: "rapl_dis",
        4: "ciphertext_hiding_dram",
        5: "alias_check_complete",
        7: "tio",
    }
)
_FLAGS_KNOWN = 0b1_1111


@dataclass(frozen=True, slots=True)
class GuestPolicy:
    """What the guest's owner lets host and firmware do (56860, 4.3)."""

    abi_minor: int
    abi_major: int
    smt: bool
    migrate_ma: bool
    debug: bool
    single_socket: bool
    cxl_allow: bool
    mem_aes_256_xts: bool
    rapl_dis: bool
    ciphertext_hiding_dram: bool
    page_swap_disable: bool
    unknown_bits: bool
    """Whether a bit is set that revision 1.58 reserves."""


@dataclass(frozen=True, slots=True)
class PlatformInfo:
    """How the machine is configured (56860, 7.3, PLATFORM_INFO)."""

    smt: bool
    tsme: bool
    ecc: bool
    rapl_dis: bool
    ciphertext_hiding_dram: bool
    alias_check_complete: bool
    tio: bool
    unknown_bits: bool
    """Whether a bit is set that revision 1.58 reserves: firmware does so in the wild."""


@dataclass(frozen=True, slots=True)
class CPUID:
    """Which CPU it is; only reports from version 3 on say so."""

    family: int
    model: int
    stepping: int


@dataclass(frozen=True, slots=True)
class Firmware:
    """A version of the secure processor's firmware."""

    major: int
    minor: int
    build: int


@dataclass(frozen=True, slots=True)
class Mitigations:
    """Which mitigations the firmware verified, at launch and now; from version 5 on."""

    launch: bytes
    current: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """A report taken apart; ``signed`` is what ``signature`` covers.

    TCB versions are the eight bytes as they stand: how they are laid out depends on the
    product. ``signature`` is ``r || s``, big-endian.
    """

    version: int
    guest_svn: int
    policy: GuestPolicy
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: bytes
    platform_info: PlatformInfo
    author_key_enabled: bool
    chip_key_masked: bool
    signing_key: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    cpuid: CPUID | None
    chip_id: bytes
    committed_tcb: bytes
    current_firmware: Firmware
    committed_firmware: Firmware
    launch_tcb: bytes
    mitigations: Mitigations | None
    signature: bytes
    signed: bytes


def parse_report(data: bytes) -> Report:
    """Takes a report apart: its size, version and every reserved field must be right.

    Raises ``EvidenceMalformedError``.
    """
    if len(data) != REPORT_BYTES:
        raise EvidenceMalformedError(what=WHAT, detail=f"{len(data)} bytes, not {REPORT_BYTES}")
    reader = Reader(data, WHAT)
    version = reader.number(4)
    if version not in _VERSIONS:
        raise EvidenceMalformedError(what=WHAT, detail=f"version {version}, expected 2 to 5")
    head = {
        "version": version,
        "guest_svn": reader.number(4),
        "policy": _guest_policy(reader.number(8)),
        "family_id": reader.take(16),
        "image_id": reader.take(16),
        "vmpl": reader.number(4),
        "signature_algorithm": reader.number(4),
        "current_tcb": reader.take(8),
        "platform_info": PlatformInfo(**_flags(reader.number(8), _PLATFORM_BITS)),
    }
    flags = reader.number(4)
    if flags & ~_FLAGS_KNOWN:
        raise EvidenceMalformedError(what=WHAT, detail=f"flags {flags:08x} have reserved bits")
    _reserved(reader, 4, "0x4C")
    body = {
        "author_key_enabled": bool(flags & 1),
        "chip_key_masked": bool(flags & 2),
        "signing_key": flags >> 2,
        "report_data": reader.take(64),
        "measurement": reader.take(48),
        "host_data": reader.take(32),
        "id_key_digest": reader.take(48),
        "author_key_digest": reader.take(48),
        "report_id": reader.take(32),
        "report_id_ma": reader.take(32),
        "reported_tcb": reader.take(8),
        "cpuid": _cpuid(reader, version),
        "chip_id": reader.take(64),
        "committed_tcb": reader.take(8),
        "current_firmware": _firmware(reader, "0x1EB"),
        "committed_firmware": _firmware(reader, "0x1EF"),
        "launch_tcb": reader.take(8),
        "mitigations": _mitigations(reader, version),
        "signature": _signature(reader),
        "signed": data[:SIGNED_BYTES],
    }
    reader.end()
    return _consistent(Report(**head, **body))  # type: ignore[arg-type]


def _consistent(report: Report) -> Report:
    """AUTHOR_KEY_DIGEST is "zeroes if AUTHOR_KEY_EN is 0", and no digest is zero."""
    if report.author_key_enabled != any(report.author_key_digest):
        raise EvidenceMalformedError(what=WHAT, detail="author key flag and digest disagree")
    return report


def _reserved(reader: Reader, size: int, at: str) -> None:
    if any(reader.take(size)):
        raise EvidenceMalformedError(what=WHAT, detail=f"reserved bytes at {at} are not zero")


def _flags(value: int, names: Mapping[int, str]) -> dict[str, bool]:
    """Each named bit, and whether one is set that has no name."""
    known = sum(1 << bit for bit in names)
    flags = {name: bool(value >> bit & 1) for bit, name in names.items()}
    return flags | {"unknown_bits": bool(value & ~known)}


def _guest_policy(value: int) -> GuestPolicy:
    if not value & _POLICY_ALWAYS_ONE:
        raise EvidenceMalformedError(what=WHAT, detail="bit 17 of the guest policy is not one")
    flags = _flags(value & ~_POLICY_ALWAYS_ONE & ~0xFFFF, _POLICY_BITS)
    return GuestPolicy(abi_minor=value & 0xFF, abi_major=value >> 8 & 0xFF, **flags)


def _cpuid(reader: Reader, version: int) -> CPUID | None:
    if version < _VERSION_WITH_CPUID:
        _reserved(reader, 24, "0x188")
        return None
    found = CPUID(reader.number(1), reader.number(1), reader.number(1))
    _reserved(reader, 21, "0x18B")
    return found


def _firmware(reader: Reader, reserved_at: str) -> Firmware:
    build, minor, major = reader.number(1), reader.number(1), reader.number(1)
    _reserved(reader, 1, reserved_at)
    return Firmware(major, minor, build)


def _mitigations(reader: Reader, version: int) -> Mitigations | None:
    """LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR, and the reserved bytes after them.

    AMD never published version 4. Firmware that writes it may fill the place where version 5
    has the vectors, so nothing is concluded from it there.
    """
    launch, current = (reader.take(8)[::-1] for _ in range(2))
    if version < _VERSION_WITH_UNPUBLISHED_FIELDS and any(launch + current):
        raise EvidenceMalformedError(what=WHAT, detail="reserved bytes at 0x1F8 are not zero")
    _reserved(reader, 152, "0x208")
    return Mitigations(launch, current) if version >= _VERSION_WITH_MITIGATIONS else None


def _signature(reader: Reader) -> bytes:
    """``r || s``, each 72 bytes little-endian, of which P-384 fills 48 (56860, chapter 10)."""
    numbers = [reader.take(_NUMBER_BYTES) for _ in range(2)]
    _reserved(reader, _SIGNATURE_PADDING, "0x330")
    if any(any(number[_P384_BYTES:]) for number in numbers):
        raise EvidenceMalformedError(what=WHAT, detail="a signature's number exceeds 384 bits")
    return b"".join(number[:_P384_BYTES][::-1] for number in numbers)
