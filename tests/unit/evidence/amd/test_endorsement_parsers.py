# SPDX-License-Identifier: Apache-2.0
"""Certificate extensions and certificate tables: every spelling that hosts and AMD use."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import AccordError, ChainInvalidError, EvidenceMalformedError
from accord.evidence import Evidence
from accord.evidence._certificate import Certificate, load_certificates
from accord.evidence.amd import (
    Product,
    parse_report,
    parse_snp,
    product_of_cpu,
    product_of_name,
    read_certificate_table,
    read_vek,
    split_extended_report,
    write_certificate_table,
)
from accord.policy import Family
from accord.testing import SimulatedSNP

ARC = "1.3.6.1.4.1.3704.1."
SAME = (
    *("version", "guest_svn", "family_id", "image_id", "vmpl", "signature_algorithm"),
    *("current_tcb", "author_key_enabled", "chip_key_masked", "signing_key", "measurement"),
    *("host_data", "id_key_digest", "author_key_digest", "report_id", "report_id_ma"),
    *("reported_tcb", "committed_tcb", "launch_tcb"),
)
VCEK_GUID = UUID("63da758d-e664-4564-adc5-f4b93be8accd")


def chain_of(machine: SimulatedSNP, product: Product, key: str) -> tuple[Certificate, ...]:
    given = machine.endorse(product, key)
    authority = "ask" if key == "vcek" else "asvk"
    return tuple(load_certificates(given[name], what=name)[0] for name in (key, authority, "ark"))


def with_extension(
    chain: tuple[Certificate, ...], number: str, value: bytes | None
) -> tuple[Certificate, ...]:
    changed = {**chain[0].extensions, ARC + number: value}
    extensions = {oid: found for oid, found in changed.items() if found is not None}
    return (replace(chain[0], extensions=extensions), *chain[1:])


@pytest.mark.parametrize("product", list(Product))
def test_a_chip_id_has_two_spellings(machine: SimulatedSNP, product: Product) -> None:
    """AMD issued HWIDs as they stand, and in an OCTET STRING."""
    chain, chip = chain_of(machine, product, "vcek"), machine.chip_id(product)
    wrapped = with_extension(chain, "4", bytes((4, len(chip))) + chip)

    assert read_vek(chain, loaded=False).chip_id == chip.ljust(64, b"\0")
    assert read_vek(wrapped, loaded=False) == read_vek(chain, loaded=False)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        pytest.param("2", None, id="no_product"),
        pytest.param("2", b"Genoa", id="product_without_a_type"),
        pytest.param("2", b"\x16\x05Geno\xff", id="product_that_is_no_text"),
        pytest.param("2", b"\x04\x05Genoa", id="product_in_an_octet_string"),
        pytest.param("3.1", None, id="no_bootloader"),
        pytest.param("3.3", None, id="no_snp"),
        pytest.param("3.8", b"\x02\x00", id="empty_number"),
        pytest.param("3.8", b"\x02\x02\x01\x00", id="patch_level_beyond_a_byte"),
        pytest.param("3.8", b"\x02\x01\xff", id="negative_patch_level"),
        pytest.param("3.8", b"\x04\x01\x01", id="patch_level_that_is_no_number"),
        pytest.param("3.4", b"", id="empty_reserved_patch_level"),
        pytest.param("4", None, id="no_chip"),
        pytest.param("4", bytes(63), id="short_chip"),
        pytest.param("4", bytes(8), id="chip_of_another_product"),
        pytest.param("4", b"\x04\x3f" + bytes(63), id="short_chip_in_an_octet_string"),
    ],
)
def test_a_malformed_extension_is_refused(
    machine: SimulatedSNP, number: str, value: bytes | None
) -> None:
    """A key's certificate says everything that is compared, in the types that AMD uses."""
    chain = with_extension(chain_of(machine, Product.GENOA, "vcek"), number, value)

    with pytest.raises(EvidenceMalformedError):
        read_vek(chain, loaded=False)


def test_a_vlek_names_its_provider(machine: SimulatedSNP) -> None:
    """Without CSP_ID it would be anybody's."""
    chain = chain_of(machine, Product.MILAN, "vlek")

    assert read_vek(chain, loaded=True).csp_id == "CN=simulated.accord.invalid"
    with pytest.raises(EvidenceMalformedError, match=r"3704\.1\.5"):
        read_vek(with_extension(chain, "5", None), loaded=True)


def test_reserved_patch_levels_may_be_left_out(machine: SimulatedSNP) -> None:
    """They stand for bytes that are reserved, and zero."""
    chain = chain_of(machine, Product.GENOA, "vcek")

    assert read_vek(with_extension(chain, "3.4", None), loaded=False) == read_vek(
        chain, loaded=False
    )


def test_a_root_of_no_product_is_refused(machine: SimulatedSNP) -> None:
    """Whoever pins a root that names no product line cannot tell how to read its keys."""
    leaf, ask, ark = chain_of(machine, Product.GENOA, "vcek")

    with pytest.raises(ChainInvalidError, match="ARK-Naples is no known product"):
        read_vek((leaf, ask, replace(ark, what="ARK-Naples")), loaded=False)


def test_a_ca_is_no_key(machine: SimulatedSNP) -> None:
    """A certificate that may issue others does not sign reports."""
    leaf, *above = chain_of(machine, Product.GENOA, "vcek")

    with pytest.raises(ChainInvalidError, match="no P-384 key for reports"):
        read_vek((replace(leaf, is_ca=True), *above), loaded=False)


@pytest.mark.parametrize(
    ("family", "model", "product"),
    [
        (0x19, 0x01, Product.MILAN),
        (0x19, 0x11, Product.GENOA),
        (0x19, 0xA0, Product.GENOA),
        (0x1A, 0x02, Product.TURIN),
        (0x1A, 0x11, Product.TURIN),
        (0x1A, 0x50, None),
        (0x17, 0x31, None),
    ],
)
def test_cpus_belong_to_product_lines(family: int, model: int, product: Product | None) -> None:
    """Bergamo and Siena are of Genoa's line, dense Turin of Turin's; the future is unknown."""
    assert product_of_cpu(family, model) is product


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("Milan", Product.MILAN),
        ("Milan-B1", Product.MILAN),
        ("Genoa-B2", Product.GENOA),
        ("Bergamo", Product.GENOA),
        ("Siena-A0", Product.GENOA),
        ("Turin", Product.TURIN),
        ("Venice-A0", None),
        ("milan", None),
    ],
)
def test_product_names_belong_to_product_lines(name: str, product: Product | None) -> None:
    """With or without stepping, in AMD's spelling."""
    assert product_of_name(name) is product


def entry(guid: bytes, at: int, size: int) -> bytes:
    return guid + at.to_bytes(4, "little") + size.to_bytes(4, "little")


@pytest.mark.parametrize("guid", [VCEK_GUID.bytes, VCEK_GUID.bytes_le])
def test_a_table_has_guids_in_two_byte_orders(guid: bytes) -> None:
    """Hosts write them in both."""
    table = entry(guid, 48, 3) + bytes(24) + b"abc" + bytes(4096)

    assert read_certificate_table(table) == {"vcek": b"abc"}


def test_entries_of_a_host_are_left_out() -> None:
    """What is no endorsement, or empty, is not one; order and gaps do not matter."""
    table = (
        entry(b"\x11" * 16, 0, 4)
        + entry(UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae").bytes, 0, 0)
        + entry(VCEK_GUID.bytes, 100, 2)
        + bytes(24)
    )

    assert read_certificate_table(table.ljust(100) + b"ab") == {"vcek": b"ab"}


@pytest.mark.parametrize("table", [b"", bytes(24), bytes(4096)])
def test_an_empty_table_is_one(table: bytes) -> None:
    """A host that has no certificates gives none."""
    assert read_certificate_table(table) == {}


@pytest.mark.parametrize(
    ("table", "detail"),
    [
        pytest.param(entry(VCEK_GUID.bytes, 24, 1) * 2 + bytes(9), "twice", id="twice"),
        pytest.param(entry(VCEK_GUID.bytes, 40, 99) + bytes(24), "beyond", id="beyond_its_end"),
        pytest.param(entry(VCEK_GUID.bytes, 2**32 - 1, 2**32 - 1), "beyond", id="huge"),
        pytest.param(bytes(16), "cut", id="cut"),
        pytest.param(entry(b"\x11" * 16, 0, 0), None, id="without_an_end"),
        pytest.param(entry(b"\x11" * 16, 0, 0) * 40, "more than 32", id="too_many"),
    ],
)
def test_a_malformed_table(table: bytes, detail: str | None) -> None:
    """Lengths add up, nothing is ambiguous; only the end of the data may stand for the end."""
    if detail is None:
        assert read_certificate_table(table) == {}
        return
    with pytest.raises(EvidenceMalformedError, match=detail):
        read_certificate_table(table)


def test_a_table_is_written_as_it_is_read() -> None:
    """Names without a GUID cannot travel in it."""
    given = {"vcek": b"a", "vlek": b"bb", "ask": b"c" * 9, "ark": b"d", "crl": b"e"}

    assert read_certificate_table(write_certificate_table(given | {"cert_chain": b"f"})) == given


def test_less_than_a_report_cannot_be_split() -> None:
    """An extended report starts with a whole one."""
    with pytest.raises(EvidenceMalformedError, match="at least 1184"):
        split_extended_report(bytes(1183))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=2000))
def test_only_our_errors_come_out(data: bytes) -> None:
    """Reports, tables and endorsements of any bytes."""
    report = (b"\x02\x00\x00\x00" + data).ljust(0x4A0, b"\0")[:0x4A0]
    for read in (
        parse_report,
        read_certificate_table,
        split_extended_report,
        lambda data: parse_report(report[: len(data)]),
        lambda _: parse_report(report),
        lambda data: parse_snp(Evidence(Family.SNP, report, {"vcek": data, "crl": data})),
    ):
        try:
            read(data)
        except AccordError:
            continue


def test_parsing_is_the_inverse_of_writing(machine: SimulatedSNP, now: datetime) -> None:
    """Every field of a report comes out as it went in."""
    report = machine.report(
        Product.TURIN,
        guest_svn=7,
        policy=0x3_0105,
        family_id=b"f" * 16,
        image_id=b"i" * 16,
        vmpl=2,
        author_key_enabled=True,
        chip_key_masked=True,
        id_key_digest=b"k" * 48,
        author_key_digest=b"a" * 48,
        host_data=b"h" * 32,
        report_id_ma=b"m" * 32,
        mitigations=(1, 2**63),
    )
    parsed = parse_report(report.sign(bytes(64), machine.keys["vcek"]))

    assert {name: getattr(parsed, name) for name in SAME} == {
        name: getattr(report, name) for name in SAME
    }
    assert (parsed.policy.abi_major, parsed.policy.abi_minor) == (1, 5)
    assert parsed.mitigations is not None
    assert parsed.mitigations.launch.hex() == "0000000000000001"
    assert parsed.mitigations.current.hex() == "8000000000000000"
    assert parsed.chip_id == machine.chip_id(Product.TURIN).ljust(64, b"\0")
