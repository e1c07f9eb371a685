# SPDX-License-Identifier: Apache-2.0
"""The parsers of reports, opaque data and device identities."""

import dataclasses
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import AccordError, EvidenceMalformedError
from accord.evidence.nvidia._dice import DICE_EXTENSIONS, firmware_identity, parse_dice
from accord.evidence.nvidia._opaque import parse_opaque
from accord.evidence.nvidia._spdm import MAX_REPORT_BYTES, Block, parse_report
from accord.testing import SimulatedNVIDIA
from accord.testing._nvidia_report import GPUFirmware

FEW = settings(max_examples=60, deadline=None)


def field(number: int, value: bytes) -> bytes:
    return struct.pack("<HH", number, len(value)) + value


def test_a_report_is_taken_apart(gpu: SimulatedNVIDIA) -> None:
    """Nonce, 64 digests, both nonces and what the firmware says."""
    report = parse_report(gpu.collect(bytes(64)).blob)
    firmware = GPUFirmware()
    assert {index: block.value for index, block in report.blocks.items()} == firmware.blocks()
    assert report.opaque.driver_version == firmware.driver_version
    assert report.opaque.vbios_version == firmware.vbios_version
    assert report.opaque.fwid == firmware.fwid
    assert report.opaque.mode == "spt"
    assert report.opaque.nvdec0 is True
    assert report.opaque.protected_pcie is False
    assert len(report.opaque.measurement_counts) == 64
    assert report.opaque.others == {34: b"\x01\0"}
    assert len(report.signed) + len(report.signature) == len(gpu.collect(bytes(64)).blob)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 0x12),  # SPDM 1.2 signs something else
        (1, 0xE1),
        (2, 0x00),  # no signature was asked for
        (3, 0x01),  # one measurement alone was asked for
        (36, 0x01),  # slot 1
        (37, 0x12),
        (38, 0x61),
        (40, 0x01),
        (41, 0x3F),  # one block less
        (41, 0x41),
        (45, 0x00),  # index 0
        (52 + 48, 0x01),  # index 1 again
        (46, 0x02),  # another specification
        (47, 0x34),  # sizes that do not add up
    ],
)
def test_a_report_that_says_otherwise_is_refused(gpu: SimulatedNVIDIA, at: int, value: int) -> None:
    """Versions, codes, counts and sizes of the exchange."""
    blob = bytearray(gpu.collect(bytes(64)).blob)
    blob[at] = value
    with pytest.raises(EvidenceMalformedError):
        parse_report(bytes(blob))


@pytest.mark.parametrize("more", [b"\0", bytes(MAX_REPORT_BYTES)])
def test_nothing_may_follow_a_report(gpu: SimulatedNVIDIA, more: bytes) -> None:
    """Neither a byte nor so many that it is no report."""
    with pytest.raises(EvidenceMalformedError):
        parse_report(gpu.collect(bytes(64)).blob + more)


def test_raw_measurements_are_told_from_digests() -> None:
    """Blackwell's FSP sends numbers and identifiers; bit 7 says so (DSP0274, table 54)."""
    record = struct.pack("<BBHBH", 26, 1, 7, 0x82, 4) + b"\1\2\3\4"
    head = bytes((0x11, 0xE0, 1, 0xFF)) + bytes(33) + bytes((0x11, 0x60, 0, 0, 1))
    blob = head + len(record).to_bytes(3, "little") + record + bytes(32) + bytes(2) + bytes(96)
    report = parse_report(blob)
    assert dict(report.blocks) == {26: Block(2, True, b"\1\2\3\4")}
    assert report.opaque.driver_version is None
    assert report.opaque.measurement_counts == ()


@FEW
@given(data=st.binary(max_size=400), prefix=st.integers(0, 44))
def test_any_report_is_read_or_refused(data: bytes, prefix: int) -> None:
    """Also behind the beginning of a good one."""
    head = bytes((0x11, 0xE0, 1, 0xFF)) + bytes(33) + bytes((0x11, 0x60, 0, 0, 1, 20, 0, 0))
    for blob in (data, head[:prefix] + data):
        with pytest.raises(AccordError):
            parse_report(blob)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (bytes.fromhex("009f009601000000"), "96.00.9F.00.01"),
        (bytes.fromhex("0074029801000000"), "98.02.74.00.01"),
        (b"96.10.55.00.01", "96.10.55.00.01"),  # a switch says it in text
    ],
)
def test_a_vbios_version_is_read_as_the_vendor_writes_it(value: bytes, expected: str) -> None:
    """GPUs of two generations, and a switch."""
    assert parse_opaque(field(6, value)).vbios_version == expected


@pytest.mark.parametrize("mode", ["spt", "mpt", "ppcie"])
def test_modes_have_names(mode: str) -> None:
    """Single, multi pass-through, protected PCIe."""
    number = ["spt", "mpt", "ppcie"].index(mode)
    assert parse_opaque(field(36, bytes((number, 0)))).mode == mode


def test_values_without_a_known_meaning_stay_bytes() -> None:
    """A mode or a flag that nobody defined is not taken for another."""
    opaque = parse_opaque(field(36, b"\x09\0") + field(11, b"\x00") + field(99, b"x"))
    assert opaque.mode is None
    assert opaque.nvdec0 is None
    assert opaque.others == {36: b"\x09\0", 11: b"\0", 99: b"x"}


@pytest.mark.parametrize(
    "data",
    [
        field(3, b"550\0") + field(3, b"560\0"),
        field(3, b"\xff\xff"),
        field(3, b"5\n5"),
        field(12, bytes(5)),
        field(3, b"550")[:-1],
        b"\x03",
        b"NVDAOD" + bytes(10),  # the next generation's format
    ],
)
def test_malformed_opaque_data_are_refused(data: bytes) -> None:
    """Twice the same field, text that is none, lengths that do not add up."""
    with pytest.raises(EvidenceMalformedError):
        parse_opaque(data)


SHA384 = bytes.fromhex("0609608648016503040202")


def der(tag: int, value: bytes) -> bytes:
    size = len(value)
    head = bytes((tag, size)) if size < 128 else bytes((tag, 0x81, size))
    return head + value


def fwid(digest: bytes, algorithm: bytes = SHA384) -> bytes:
    return der(0x30, algorithm + der(0x04, digest))


def tcb_info(*fwids: bytes, flags: bytes = b"\0\x80\0\0\x01") -> bytes:
    """As Blackwell writes it (TCG DICE Attestation Architecture, 6.1.1)."""
    head = der(0x80, b"NVIDIA") + der(0x81, b"GB100 A01 FSP") + der(0x83, b"\x03")
    return der(0x30, head + der(0xA6, b"".join(fwids)) + der(0x87, flags))


def test_blackwells_first_firmware_counts() -> None:
    """Its second layer is empty."""
    identity = parse_dice(tcb_info(fwid(b"\1" * 48), fwid(bytes(48))))
    assert identity.fwid == b"\1" * 48
    assert not identity.debug


def test_either_extension_names_the_firmware_but_not_both() -> None:
    """Hopper's and Blackwell's; a certificate has one."""
    value = tcb_info(fwid(b"\1" * 48))
    for oid in DICE_EXTENSIONS:
        assert firmware_identity({oid: value}) == parse_dice(value)
    assert firmware_identity({"2.5.29.15": b""}) is None
    with pytest.raises(EvidenceMalformedError):
        firmware_identity(dict.fromkeys(DICE_EXTENSIONS, value))


def test_firmware_that_can_be_debugged_says_so() -> None:
    """OperationalFlags bit 3 (6.1.1.1)."""
    assert parse_dice(tcb_info(fwid(bytes(48)), flags=b"\0\x90\0\0\x01")).debug


@pytest.mark.parametrize(
    "value",
    [
        b"",
        der(0x30, b""),
        der(0x30, der(0x80, b"a") + der(0x80, b"b")),
        tcb_info(),
        tcb_info(fwid(bytes(32))),
        tcb_info(fwid(bytes(48), bytes.fromhex("0609608648016503040201"))),
        tcb_info(der(0x30, SHA384)),
        der(0x30, der(0x02, b"\1") + der(0x30, b"") + der(0x30, b"")),
    ],
)
def test_identities_without_one_meaning_are_refused(value: bytes) -> None:
    """No firmware, other hashes, members that come twice."""
    with pytest.raises(EvidenceMalformedError):
        parse_dice(value)


@FEW
@given(value=st.binary(max_size=80))
def test_any_identity_is_read_or_refused(value: bytes) -> None:
    """The parser raises nothing else."""
    try:
        parse_dice(value)
    except EvidenceMalformedError:
        return


def test_firmware_is_named_by_its_versions() -> None:
    """Another driver has other measurements, the same VBIOS the same."""
    one, other = GPUFirmware(), dataclasses.replace(GPUFirmware(), driver_version="560.1")
    differ = [index for index in range(1, 65) if one.blocks()[index] != other.blocks()[index]]
    assert differ == list(range(22, 42))
