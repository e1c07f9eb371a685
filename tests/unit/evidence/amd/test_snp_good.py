# SPDX-License-Identifier: Apache-2.0
"""Reports that verify, and what they prove."""

import base64
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from accord.encoding import Fields
from accord.errors import AppraisalError
from accord.evidence import (
    Binding,
    Claims,
    Evidence,
    Purpose,
    Role,
    RootKind,
    appraise,
    verify,
    verify_unbound,
)
from accord.evidence.amd import (
    Product,
    parse_snp,
    split_extended_report,
    verify_snp,
    write_certificate_table,
)
from accord.policy import FAMILIES, Assurance, AttestationVariant, Family
from accord.testing import SimulatedSNP

DATA = bytes(range(64))
FIELDS = FAMILIES[Family.SNP]


def claims_of(evidence: Evidence, machine: SimulatedSNP, now: datetime) -> Claims:
    return verify_snp(evidence, anchors=machine.anchors, now=now).claims


@pytest.mark.parametrize("product", list(Product))
@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("signing_key", ["vcek", "vlek"])
def test_every_product_version_and_key_verifies(
    machine: SimulatedSNP, now: datetime, product: Product, version: int, signing_key: str
) -> None:
    """A report of each line, layout and signing key proves what was asked for."""
    evidence = machine.collect(DATA, product=product, version=version, signing_key=signing_key)

    claims, bound = verify_unbound(evidence, anchors=machine.anchors, now=now)

    assert bound == {"report_data": DATA}
    assert claims.root == machine.root_of(product)
    assert claims.root_kind is RootKind.TEST
    assert claims.assurance is Assurance.SIMULATED
    said = {name: claims.attributes[name] for name in ("product", "version", "signing_key")}
    assert said == {"product": product.value, "version": version, "signing_key": signing_key}
    assert not claims.debug
    assert claims.tcb is None


def test_it_is_bound_to_the_whole_request(machine: SimulatedSNP, now: datetime) -> None:
    """The public entry accepts evidence for exactly its binding."""
    binding = Binding(Purpose.LOG, Role.SERVICE, bytes(32), bytes(32), None, bytes(32))
    evidence = machine.collect(binding.report_data())

    claims = verify(evidence, anchors=machine.anchors, now=now, binding=binding)

    assert claims.family is Family.SNP


def test_policies_can_name_exactly_what_is_claimed(machine: SimulatedSNP, now: datetime) -> None:
    """Names and types of claims are those of the policy language, neither more nor fewer."""
    seen = [
        claims_of(machine.collect(DATA, product=product, signing_key=key), machine, now)
        for product, key in ((Product.TURIN, "vcek"), (Product.MILAN, "vlek"))
    ]

    attributes = {name: type(value) for claims in seen for name, value in claims.attributes.items()}
    assert attributes == dict(FIELDS.attributes)
    sizes = {name: (len(value),) for name, value in seen[0].measurements.items()}
    assert sizes == dict(FIELDS.measurements)
    assert FIELDS.defaults.keys() <= FIELDS.attributes.keys()


def test_safe_settings_are_the_defaults() -> None:
    """A policy that is silent asks for VMPL 0, no migration agent and nothing unknown."""
    assert dict(FIELDS.defaults) == {
        "vmpl": (0,),
        "policy.migrate_ma": (False,),
        "policy.unknown_bits": (False,),
        "platform_info.unknown_bits": (False,),
    }


def test_what_does_not_apply_is_absent(machine: SimulatedSNP, now: datetime) -> None:
    """No value stands for a field that a version or product lacks: a minimum must then fail."""
    claims = claims_of(machine.collect(DATA, product=Product.MILAN, version=2), machine, now)

    missing = FIELDS.attributes.keys() - claims.attributes.keys()
    expected = {"csp_id", "mitigations.launch", "mitigations.current"}
    expected |= {f"tcb.{tcb}.fmc" for tcb in ("reported", "committed", "launch", "current")}
    expected |= {f"cpuid.{name}" for name in ("family", "model", "stepping")}
    assert missing == expected


@pytest.mark.parametrize(
    ("product", "raw", "expected"),
    [
        (Product.MILAN, bytes((4, 1, 0, 0, 0, 0, 24, 219)), {"bootloader": 4, "tee": 1}),
        (Product.GENOA, bytes((4, 1, 0, 0, 0, 0, 24, 219)), {"bootloader": 4, "tee": 1}),
        (Product.TURIN, bytes((9, 4, 1, 24, 0, 0, 0, 219)), {"fmc": 9, "bootloader": 4, "tee": 1}),
    ],
)
def test_tcb_components_follow_the_product(
    machine: SimulatedSNP, now: datetime, product: Product, raw: bytes, expected: dict[str, int]
) -> None:
    """Turin lays its TCB version out in another order than the lines before it."""
    evidence = machine.collect(DATA, product=product, reported_tcb=raw)

    attributes = claims_of(evidence, machine, now).attributes

    prefix = "tcb.reported."
    found = {
        name.removeprefix(prefix): value
        for name, value in attributes.items()
        if name.startswith(prefix)
    }
    assert found == {**expected, "snp": 24, "microcode": 219}


def test_policy_and_platform_bits_have_names(machine: SimulatedSNP, now: datetime) -> None:
    """Each bit is claimed under its own name."""
    evidence = machine.collect(DATA, policy=0x0117_0203, platform_info=0xA2)

    attributes = claims_of(evidence, machine, now).attributes

    assert (attributes["policy.abi_major"], attributes["policy.abi_minor"]) == (2, 3)
    assert {name for name, value in attributes.items() if value is True} == {
        "policy.smt",
        "policy.migrate_ma",
        "policy.single_socket",
        "policy.ciphertext_hiding_dram",
        "platform_info.tsme",
        "platform_info.alias_check_complete",
        "platform_info.tio",
    }


@pytest.mark.parametrize("bit", [26, 63])
def test_unknown_policy_bits_are_claimed_as_such(
    machine: SimulatedSNP, now: datetime, bit: int
) -> None:
    """Bits of a later specification do not break verification; policies refuse them by default."""
    policed = claims_of(machine.collect(DATA, policy=1 << bit | 0x2_0000), machine, now)
    platform = claims_of(machine.collect(DATA, platform_info=1 << bit | 1), machine, now)

    assert policed.attributes["policy.unknown_bits"] is True
    assert platform.attributes["platform_info.unknown_bits"] is True


def test_firmware_versions_compare_as_numbers(machine: SimulatedSNP, now: datetime) -> None:
    """A minimum orders versions by major, minor and build."""
    evidence = machine.collect(DATA, current_firmware=(1, 55, 29), committed_firmware=(1, 9, 255))

    attributes = claims_of(evidence, machine, now).attributes

    assert attributes["firmware.current"] == 0x01371D
    assert attributes["firmware.committed"] == 0x0109FF


def test_a_debug_guest_verifies_and_no_policy_admits_it(
    machine: SimulatedSNP, now: datetime
) -> None:
    """Debug is a fact of the report, and always a refusal of appraisal."""
    claims = claims_of(machine.collect(DATA, policy=0xB_0000), machine, now)
    variant = AttestationVariant.from_fields(
        Fields(
            {
                "family": "snp",
                "simulated": True,
                "measurements": {"measurement": [claims.measurements["measurement"].hex()]},
            },
            "variant",
        )
    )

    assert claims.debug
    with pytest.raises(AppraisalError, match="debug"):
        appraise(claims, [variant], now=now)


def test_a_masked_chip_is_still_named_by_its_vcek(machine: SimulatedSNP, now: datetime) -> None:
    """Who hides CHIP_ID from the report cannot hide it from the key's certificate."""
    claims = claims_of(machine.collect(DATA, chip_id=b""), machine, now)

    assert claims.instance_id == machine.chip_id(Product.GENOA)
    assert claims.attributes["chip_id_masked"] is True


def test_a_vlek_names_a_cloud_and_no_chip(machine: SimulatedSNP, now: datetime) -> None:
    """Reports by a VLEK name their provider; the chip only where the host lets them."""
    masked = claims_of(machine.collect(DATA, signing_key="vlek"), machine, now)
    chip = b"\x07" * 64
    shown = claims_of(machine.collect(DATA, signing_key="vlek", chip_id=chip), machine, now)

    assert masked.instance_id == b""
    assert masked.attributes["csp_id"] == "CN=simulated.accord.invalid"
    assert shown.instance_id == chip


def test_turin_chips_are_eight_bytes(machine: SimulatedSNP, now: datetime) -> None:
    """Their identity is padded as CHIP_ID is, so that lists of chips have one form."""
    claims = claims_of(machine.collect(DATA, product=Product.TURIN), machine, now)

    assert claims.instance_id == machine.chip_seed[:8] + bytes(56)


def test_an_empty_revocation_list_is_claimed_as_checked(
    machine: SimulatedSNP, now: datetime
) -> None:
    """Policies can demand that revocation was looked at; the list limits the proof's life."""
    with_list = claims_of(machine.collect(DATA, endorsed={"revoked": []}), machine, now)
    without = claims_of(machine.collect(DATA), machine, now)

    assert with_list.attributes["revocation_checked"] is True
    assert without.attributes["revocation_checked"] is False
    assert with_list.collateral_expires == machine.now + timedelta(days=365)
    assert without.collateral_expires == machine.now + timedelta(days=7 * 365)


def test_certificates_may_be_pem_in_any_order(machine: SimulatedSNP, now: datetime) -> None:
    """AMD's key distribution service answers with a PEM file, clouds with one that has all."""
    evidence = machine.collect(DATA)
    leaf, ask, ark = (evidence.endorsements[name] for name in ("vcek", "ask", "ark"))

    for endorsements in (
        {"vcek": leaf, "cert_chain": pem(ask) + pem(ark)},
        {"vcek": pem(leaf), "cert_chain": pem(ark) + b"\r\n" + pem(ask)},
        {"vcek": pem(leaf) + pem(ask) + pem(ark)},
        {"vcek": leaf, "ask": ask, "ark": ark, "cert_chain": pem(ask) + pem(ark)},
    ):
        changed = replace(evidence, endorsements=endorsements)
        assert claims_of(changed, machine, now).root == machine.root_digest


def pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def test_an_extended_report_is_split(machine: SimulatedSNP, now: datetime) -> None:
    """What the kernel appends to a report is all that verification needs."""
    evidence = machine.collect(DATA, endorsed={"revoked": []})
    table = write_certificate_table(evidence.endorsements)

    report, endorsements = split_extended_report(evidence.blob + table + bytes(100))

    assert endorsements == evidence.endorsements
    again = Evidence(Family.SNP, report, endorsements)
    assert claims_of(again, machine, now).attributes["revocation_checked"] is True


def test_a_table_carries_the_asvk_as_ask(machine: SimulatedSNP, now: datetime) -> None:
    """The table has one slot for the authority in between, whichever key signs."""
    evidence = machine.collect(DATA, signing_key="vlek")
    given = dict(evidence.endorsements)
    given["ask"] = given.pop("asvk")

    report, endorsements = split_extended_report(evidence.blob + write_certificate_table(given))

    again = Evidence(Family.SNP, report, endorsements)
    assert claims_of(again, machine, now).attributes["signing_key"] == "vlek"


def test_a_report_can_be_looked_at_unverified(machine: SimulatedSNP) -> None:
    """Taking evidence apart needs neither roots nor a good signature."""
    evidence = machine.collect(DATA)

    parsed = parse_snp(replace(evidence, blob=evidence.blob[:-512] + bytes(512)))

    assert parsed.report.report_data == DATA
    assert parsed.keys["vcek"].what == "SEV-VCEK"
    assert [item.what for item in parsed.authorities] == ["SEV-Genoa", "ARK-Genoa"]
