# SPDX-License-Identifier: Apache-2.0
"""Measuring: what each kind of image gives, and which images are refused."""

import hashlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.refvalues import TDVF_SECTIONS, enclave_key, event_log, ovmf, sigstruct, tdvf

from accord.encoding import Fields
from accord.errors import (
    AccordError,
    EnclaveSignatureError,
    ImageRefusedError,
    MeasuringExtraMissingError,
)
from accord.policy import AttestationVariant, Family, parse_yaml
from accord.refvalues import (
    VMM,
    LaunchOptions,
    PageOrder,
    ReferenceValues,
    measure_enclave,
    measure_registers,
    measure_runtime_registers,
    measure_snp,
    measure_tdvf,
    parse_sigstruct,
    parse_tdvf,
    variants_yaml,
)


def read(values: ReferenceValues) -> AttestationVariant:
    return AttestationVariant.from_fields(Fields(values.variant(), "variant"))


# --- SGX ------------------------------------------------------------------------------------


def test_a_sigstruct_says_what_a_policy_can_name() -> None:
    """Enclave, signer, product, and the least security version."""
    modulus = enclave_key().public_key().public_numbers().n.to_bytes(384, "little")
    found = read(measure_enclave(sigstruct(prod_id=7, svn=3)))

    assert found.measurements == {
        "mrenclave": (hashlib.sha256(b"enclave").digest(),),
        "mrsigner": (hashlib.sha256(modulus).digest(),),
    }
    assert (found.attributes, found.minimums) == ({"isv_prod_id": (7,)}, {"isv_svn": 3})


def test_a_sigstruct_is_taken_apart() -> None:
    """Also what no policy needs."""
    found = parse_sigstruct(sigstruct(at_16=b"\x86\x80"))

    assert (found.date, found.intel, found.isv_svn) == ("20261231", True, 3)
    assert not found.allows_debug
    assert parse_sigstruct(sigstruct(debug=True)).allows_debug
    assert parse_sigstruct(sigstruct(at_944=b"\0")).allows_debug
    assert "debug" in measure_enclave(sigstruct(debug=True)).caveats[1]


@pytest.mark.parametrize("at", [16, 20, 40, 128, 516, 899, 900, 928, 960, 1008, 1026, 1040, 1424])
def test_a_changed_sigstruct_is_refused(at: int) -> None:
    """Whatever a processor looks at, under the signature or beside it."""
    data = bytearray(sigstruct())
    data[at] ^= 1
    with pytest.raises((EnclaveSignatureError, ImageRefusedError)):
        parse_sigstruct(bytes(data))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "0 bytes, expected 1808"),
        (bytes(1808), "header"),
        (sigstruct(at_0=b"\7"), "header"),
        (sigstruct(at_24=b"\2"), "header"),
        (sigstruct(at_44=b"\1"), "reserved bytes"),
        (sigstruct(at_910=b"\1"), "reserved bytes"),
        (sigstruct(at_992=b"\1"), "reserved bytes"),
        (sigstruct()[:512] + b"\1\0\1\0" + sigstruct()[516:], "exponent is not 3"),
        (sigstruct()[:128] + bytes(384) + sigstruct()[512:], "cannot be read"),
    ],
    ids=range(9),
)
def test_what_is_no_sigstruct_is_refused(data: bytes, match: str) -> None:
    """With the reason."""
    with pytest.raises(ImageRefusedError, match=match):
        parse_sigstruct(data)


def test_a_sigstruct_without_its_quotients_is_refused() -> None:
    """Its signature holds, but EINIT would not start the enclave."""
    with pytest.raises(EnclaveSignatureError):
        parse_sigstruct(sigstruct()[:1424] + bytes(384))


# --- TDX ------------------------------------------------------------------------------------


def expected_mrtd(image: bytes, order: PageOrder) -> bytes:
    """The same by another way: a list of operations, joined and hashed at once."""
    done: list[bytes] = []

    def operation(name: str, address: int) -> bytes:
        return name.encode() + bytes(16 - len(name)) + address.to_bytes(8, "little") + bytes(104)

    for offset, raw, address, size, _, flags in TDVF_SECTIONS:
        if flags == 2:
            continue
        memory = image[offset : offset + raw] + bytes(size - raw)
        adds = {at: operation("MEM.PAGE.ADD", address + at) for at in range(0, size, 4096)}
        extends = {
            at: b"".join(
                operation("MR.EXTEND", address + at + k) + memory[at + k : at + k + 256]
                for k in range(0, 4096, 256)
            )
            for at in adds
        }
        if flags == 0:
            done += adds.values()
        elif order is PageOrder.INTERLEAVED:
            done += [adds[at] + extends[at] for at in adds]
        else:
            done += [*adds.values(), *extends.values()]
    return hashlib.sha384(b"".join(done)).digest()


@pytest.mark.parametrize("order", PageOrder)
def test_mrtd_is_the_hash_of_what_the_module_is_told(order: PageOrder) -> None:
    """Every added page counts by its address, every measured one by its content."""
    image = tdvf(TDVF_SECTIONS)

    assert read(measure_tdvf(image, order=order)).measurements == {
        "mrtd": (expected_mrtd(image, order),)
    }


def test_mrtd_depends_on_the_order_and_on_measured_bytes_alone() -> None:
    """A changed variable store has the same MRTD: it is added, and not measured."""
    image = bytearray(tdvf(TDVF_SECTIONS))
    before = measure_tdvf(bytes(image)).measurements
    image[0x1100] ^= 1

    assert measure_tdvf(bytes(image)).measurements == before
    image[0x2000] ^= 1
    assert measure_tdvf(bytes(image)).measurements != before
    assert (
        measure_tdvf(bytes(image)).measurements
        != measure_tdvf(bytes(image), order=PageOrder.PAGES_FIRST).measurements
    )


def test_the_caveats_say_that_it_was_never_compared() -> None:
    """Whoever uses the value knows what it rests on."""
    assert "compare it with evidence" in measure_tdvf(tdvf(TDVF_SECTIONS)).caveats[0]


ONE = TDVF_SECTIONS[0]


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (b"", "table of GUIDs"),
        (bytes(0x4000), "no table of GUIDs"),
        (tdvf([(0x2000, 0x2000, 0xFFFFE000, 0x2000, 0, 3)]), "attributes 0x3"),
        (tdvf([(0x2000, 0x2000, 0xFFFFE000, 0x2000, 0, 4)]), "attributes 0x4"),
        (tdvf([(0x2000, 0x2000, 0xFFFFE001, 0x2000, 0, 1)]), "whole pages"),
        (tdvf([(0x2000, 0x2000, 0xFFFFE000, 0x1800, 0, 1)]), "whole pages"),
        (tdvf([(0x2000, 0x3000, 0xFFFFE000, 0x2000, 0, 1)]), "whole pages"),
        (tdvf([(0x2000, 0x2001, 0xFFFFE000, 0x3000, 0, 1)]), "lies outside"),
        (tdvf([(0, 0, 1 << 52, 0x1000, 2, 0)]), "whole pages"),
        (tdvf([(0, 0, 0, 1 << 31, 2, 0)]), "of initial memory"),
        (tdvf([]), "no TDVF metadata of version 1"),
        (tdvf([ONE]).replace(b"TDVF", b"TDVG"), "no TDVF metadata of version 1"),
        (tdvf([ONE]).replace(b"TDVF\x30", b"TDVF\x31"), "is cut"),
        (tdvf([ONE])[: -32 - 18 - 22] + bytes(22) + tdvf([ONE])[-32 - 18 :], "GUIDs is cut"),
        (tdvf([ONE])[:-1], "no table of GUIDs"),
        (ovmf(), "not made for TDX"),
    ],
    ids=range(16),
)
def test_what_is_no_tdvf_is_refused(image: bytes, match: str) -> None:
    """With the reason."""
    with pytest.raises(ImageRefusedError, match=match):
        measure_tdvf(image)


def test_metadata_outside_of_the_image_is_refused() -> None:
    """An offset is never followed out of the file."""
    image = bytearray(tdvf([ONE]))
    at = len(image) - 32 - 18 - 22
    for offset in (0, 8, 1 << 31):
        image[at : at + 4] = offset.to_bytes(4, "little")
        with pytest.raises(ImageRefusedError):
            parse_tdvf(bytes(image))


def test_a_huge_image_is_not_read() -> None:
    """A limit comes before any work."""
    with pytest.raises(ImageRefusedError, match="larger than"):
        parse_tdvf(bytes((64 << 20) + 1))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_images_raise_nothing_else(data: st.DataObject) -> None:
    """Only errors of the catalogue come out of damaged metadata."""
    image = bytearray(tdvf(TDVF_SECTIONS))
    end = len(image) - 32
    spots = st.integers(0x100, 0x100 + 176) | st.integers(end - 60, end - 1)
    for at in data.draw(st.lists(spots, min_size=1, max_size=3)):
        image[at] = data.draw(st.integers(0, 255))
    with suppress(AccordError):
        parse_tdvf(bytes(image))


# --- SNP ------------------------------------------------------------------------------------


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    path = tmp_path / "OVMF.fd"
    path.write_bytes(ovmf())
    return path


def digest(firmware: Path, **options: Any) -> bytes:
    chosen = {"vcpus": 2, "vcpu_type": "EPYC-v4", **options}
    return measure_snp(firmware, LaunchOptions(**chosen)).measurements["measurement"][0]


def test_a_launch_digest_covers_all_that_a_guest_starts_with(
    firmware: Path, tmp_path: Path
) -> None:
    """Firmware, CPUs, host, features, kernel, initrd and command line: each changes it."""
    pytest.importorskip("sevsnpmeasure", reason="SKIPPED: sev-snp-measure is not installed")
    kernel, initrd, other = (tmp_path / name for name in ("kernel", "initrd", "other"))
    kernel.write_bytes(b"kernel")
    initrd.write_bytes(b"initrd")
    other.write_bytes(bytes([ovmf()[0] ^ 1]) + ovmf()[1:])
    found = [
        digest(firmware),
        digest(other),
        digest(firmware, vcpus=3),
        digest(firmware, vcpu_type="EPYC-Milan"),
        digest(firmware, guest_features=5),
        digest(firmware, vmm=VMM.GCE),
        digest(firmware, vmm=VMM.EC2),
        digest(firmware, kernel=kernel),
        digest(firmware, kernel=kernel, initrd=initrd),
        digest(firmware, kernel=kernel, initrd=initrd, append="quiet"),
    ]

    assert len(set(found)) == len(found)
    assert {48} == {len(value) for value in found}
    assert digest(firmware) == found[0]


def test_the_launch_digest_of_one_page_follows_the_specification(
    firmware: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEV-SNP ABI, 8.17.2: each page is hashed in with its type and address."""
    gctx = pytest.importorskip("sevsnpmeasure.gctx", reason="SKIPPED: not installed")
    page, address = bytes(range(256)) * 16, 0xFFFFF000
    context = gctx.GCTX()
    context.update_normal_pages(address, page)
    info = bytes(48) + hashlib.sha384(page).digest() + (0x70).to_bytes(2, "little") + b"\1\0"
    info += bytes(4) + address.to_bytes(8, "little")

    assert hashlib.sha384(info).digest() == context.ld()


def test_what_is_no_ovmf_is_refused(firmware: Path, tmp_path: Path) -> None:
    """With what the library said of it."""
    pytest.importorskip("sevsnpmeasure", reason="SKIPPED: sev-snp-measure is not installed")
    for data in (b"", bytes(0x4000), tdvf([ONE]), ovmf().replace(b"ASEV", b"ASEX"), ovmf()[:-40]):
        firmware.write_bytes(data)
        with pytest.raises(ImageRefusedError):
            digest(firmware)
    firmware.write_bytes(ovmf())
    with pytest.raises(ImageRefusedError, match="EPYC-v9 is unknown; there are EPYC"):
        digest(firmware, vcpu_type="EPYC-v9")
    with pytest.raises(ImageRefusedError, match="No such file"):
        digest(tmp_path / "missing")
    with pytest.raises(ImageRefusedError, match="No such file"):
        digest(firmware, kernel=tmp_path / "missing")


def test_a_missing_library_is_said(firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together with what to install."""
    monkeypatch.setitem(sys.modules, "sevsnpmeasure.guest", None)
    with pytest.raises(MeasuringExtraMissingError) as caught:
        digest(firmware)
    assert "accord[refvalues]" in caught.value.hint


# --- Event logs -------------------------------------------------------------------------------

LOG = event_log((4, b"boot loader"), (7, b"secure boot"), (4, b"kernel"))


def extended(*texts: bytes, hash_: str = "sha256") -> bytes:
    value = bytes(hashlib.new(hash_).digest_size)
    for text in texts:
        value = hashlib.new(hash_, value + hashlib.new(hash_, text).digest()).digest()
    return value


def test_registers_are_replayed() -> None:
    """All that the log extends, or those asked for, in the bank asked for."""
    assert read(measure_registers(LOG)).measurements == {
        "sha256.pcr4": (extended(b"boot loader", b"kernel"),),
        "sha256.pcr7": (extended(b"secure boot"),),
    }
    assert measure_registers(LOG, bank="sha384", registers=[7]).measurements == {
        "sha384.pcr7": (extended(b"secure boot", hash_="sha384"),)
    }


def test_runtime_registers_are_those_of_a_ccel() -> None:
    """Register 1 is RTMR0; 0, MRTD, is not in the log's power."""
    log = event_log((1, b"a"), (3, b"b"))

    assert measure_runtime_registers(log) == {
        "rtmr0": (extended(b"a", hash_="sha384"),),
        "rtmr2": (extended(b"b", hash_="sha384"),),
    }


def test_a_register_that_the_log_does_not_extend_is_refused() -> None:
    """Zeros would be a guess."""
    with pytest.raises(ImageRefusedError, match="does not extend PCR 5"):
        measure_registers(LOG, registers=[4, 5])


@pytest.mark.parametrize("log", [b"", b"\1", LOG[:-3]])
def test_what_is_no_event_log_is_refused(log: bytes) -> None:
    """With the reason."""
    with pytest.raises(ImageRefusedError, match="event log cannot be measured"):
        measure_registers(log)
    with pytest.raises(ImageRefusedError):
        measure_registers(LOG, bank="md5")


# --- Into a policy ----------------------------------------------------------------------------


def test_the_yaml_is_read_as_the_same_variant() -> None:
    """Numbers that look like text and text that looks like numbers included."""
    values = [
        ReferenceValues(
            Family.NVIDIA,
            attributes={
                "driver_version": ("1e5", "no", "550.10", "0x10", "~", "a: b"),
                "vbios_version": ("2026-01-01",),
            },
            measurements={"fwid": (bytes.fromhex("12e4" * 24),)},
        ),
        measure_enclave(sigstruct()),
    ]
    document = parse_yaml(variants_yaml(values).encode())

    assert document == {"attestation": [item.variant() for item in values]}
    assert [item.missing for item in values] == ["", ""]


def test_values_that_name_no_code_say_what_is_missing() -> None:
    """They are no policy yet."""
    values = ReferenceValues(Family.TDX, measurements={"rtmr0": (bytes(48),)})

    assert "mrtd is missing" in values.missing
    assert values.to_json()["missing"] == values.missing
