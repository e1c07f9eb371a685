# SPDX-License-Identifier: Apache-2.0
"""Reports and endorsements that must be refused, each for its own reason."""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    CertificateRevokedError,
    ChainInvalidError,
    CollateralMismatchError,
    EnvironmentRefusedError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
)
from accord.evidence import Claims, Evidence, RootKind, root_kind
from accord.evidence._roots import PRODUCTION_ROOTS
from accord.evidence.amd import Product, verify_snp
from accord.testing import SimulatedSNP
from accord.testing._snp_pki import issue_authorities

DATA = bytes(range(64))
SIGNED = 0x2A0
P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)


@pytest.fixture(scope="module")
def evidence(machine: SimulatedSNP) -> Evidence:
    """Evidence in which everything is right."""
    return machine.collect(DATA)


def check(evidence: Evidence, machine: SimulatedSNP, now: datetime) -> Claims:
    return verify_snp(evidence, anchors=machine.anchors, now=now).claims


def patched(evidence: Evidence, at: int, data: bytes) -> Evidence:
    blob = evidence.blob[:at] + data + evidence.blob[at + len(data) :]
    return replace(evidence, blob=blob)


def endorsed(evidence: Evidence, **changes: bytes | None) -> Evidence:
    merged = {**evidence.endorsements, **changes}
    return replace(
        evidence, endorsements={name: data for name, data in merged.items() if data is not None}
    )


@pytest.mark.parametrize(
    ("at", "data", "detail"),
    [
        pytest.param(0x00, b"\x01", "version 1", id="older_version"),
        pytest.param(0x00, b"\x06", "version 6", id="version_of_the_future"),
        pytest.param(0x0A, b"\x00", "bit 17", id="policy_without_its_constant_bit"),
        pytest.param(0x48, b"\x20", "reserved bits", id="reserved_flag"),
        pytest.param(0x4C, b"\x01", "0x4C", id="reserved_before_report_data"),
        pytest.param(0x48, b"\x01", "author key", id="author_key_without_digest"),
        pytest.param(0x110, b"\x01", "author key", id="author_key_digest_without_flag"),
        pytest.param(0x18B, b"\x01", "0x18B", id="reserved_after_cpuid"),
        pytest.param(0x1EB, b"\x01", "0x1EB", id="reserved_after_current_firmware"),
        pytest.param(0x1EF, b"\x01", "0x1EF", id="reserved_after_committed_firmware"),
        pytest.param(0x208, b"\x01", "0x208", id="reserved_after_mitigations"),
        pytest.param(0x29F, b"\x01", "0x208", id="reserved_before_signature"),
        pytest.param(0x2A0 + 48, b"\x01", "384 bits", id="padding_of_r"),
        pytest.param(0x2E8 + 71, b"\x01", "384 bits", id="padding_of_s"),
        pytest.param(0x330, b"\x01", "0x330", id="padding_after_signature"),
        pytest.param(0x49F, b"\x01", "0x330", id="last_byte_of_padding"),
        pytest.param(0x34, b"\x02", "algorithm 2", id="other_signature_algorithm"),
    ],
)
def test_a_malformed_report_is_refused(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, *, at: int, data: bytes, detail: str
) -> None:
    """Versions, reserved fields and paddings are as the specification says, before anything."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        check(patched(evidence, at, data), machine, now)


@pytest.mark.parametrize(("version", "at"), [(2, 0x188), (2, 0x1F8), (3, 0x1F8), (3, 0x200)])
def test_fields_of_a_later_version_are_reserved(
    machine: SimulatedSNP, now: datetime, version: int, at: int
) -> None:
    """CPUID came with version 3, mitigations with 5; before that their place is zero."""
    evidence = machine.collect(DATA, version=version)

    with pytest.raises(EvidenceMalformedError, match="are not zero"):
        check(patched(evidence, at, b"\x01"), machine, now)


@pytest.mark.parametrize("size", [0, 4, SIGNED, 0x49F, 0x4A1, 0x940])
def test_a_report_of_another_size_is_refused(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, size: int
) -> None:
    """Cut reports and reports with something behind them are not reports."""
    blob = (evidence.blob + bytes(2000))[:size]

    with pytest.raises(EvidenceMalformedError, match=f"{size} bytes"):
        check(replace(evidence, blob=blob), machine, now)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, SIGNED + 2 * 72 - 1), mask=st.integers(1, 255))
def test_no_byte_can_be_changed(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, at: int, mask: int
) -> None:
    """Whatever is changed in what is signed, or in the signature, is refused by our errors."""
    changed = patched(evidence, at, bytes((evidence.blob[at] ^ mask,)))

    with pytest.raises(AccordError):
        check(changed, machine, now)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_byte_of_an_endorsement_can_be_changed(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, data: st.DataObject
) -> None:
    """Certificates of the chain are covered by signatures and by the pinned root."""
    name = data.draw(st.sampled_from(sorted(evidence.endorsements)))
    der = bytearray(evidence.endorsements[name])
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(AccordError):
        check(endorsed(evidence, **{name: bytes(der)}), machine, now)


@pytest.mark.parametrize("at", [0x50, 0x90, 0xC0, 0x140, 0x1A0 + 63, 0x200])
def test_a_tampered_field_breaks_the_signature(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, at: int
) -> None:
    """Report data, measurement, host data, report id, chip and vectors are all signed."""
    changed = patched(evidence, at, bytes((evidence.blob[at] ^ 1,)))

    with pytest.raises(EvidenceSignatureError):
        check(changed, machine, now)


@pytest.mark.parametrize("signature", [bytes(144), b"\xff" * 48 + bytes(24) + b"\x01" * 48])
def test_a_signature_that_is_none_is_refused(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, signature: bytes
) -> None:
    """Zeros, which firmware writes where MASK_CHIP_KEY is set, and numbers beyond the order."""
    with pytest.raises(EvidenceSignatureError):
        check(patched(evidence, SIGNED, signature), machine, now)


def test_a_signature_has_a_twin(evidence: Evidence, machine: SimulatedSNP, now: datetime) -> None:
    """ECDSA is malleable: bytes of evidence are no identity, but what they prove is the same."""
    s = int.from_bytes(evidence.blob[0x2E8 : 0x2E8 + 72], "little")
    twin = patched(evidence, 0x2E8, (P384_ORDER - s).to_bytes(72, "little"))

    assert check(twin, machine, now) == check(evidence, machine, now)


@pytest.mark.parametrize("vmpl", [4, 0xFFFF_FFFF])
def test_a_report_that_the_host_asked_for_is_refused(
    machine: SimulatedSNP, now: datetime, vmpl: int
) -> None:
    """Its report data is not the guest's, whatever the policy says about VMPLs."""
    with pytest.raises(EnvironmentRefusedError, match="VMPL"):
        check(machine.collect(DATA, vmpl=vmpl), machine, now)


@pytest.mark.parametrize("signing_key", [2, 7])
def test_a_report_without_a_signing_key_is_refused(
    machine: SimulatedSNP, now: datetime, signing_key: int
) -> None:
    """Reserved values, and 7 for no key at all."""
    blob = machine.report(Product.GENOA, signing_key=signing_key).sign(DATA, machine.keys["vcek"])

    with pytest.raises(EnvironmentRefusedError, match="SIGNING_KEY"):
        check(replace(machine.collect(DATA), blob=blob), machine, now)


def test_a_vlek_cannot_pass_for_a_vcek(machine: SimulatedSNP, now: datetime) -> None:
    """A provider's key under the name of a chip's, and the other way round."""
    vcek, vlek = (machine.endorse(Product.GENOA, name) for name in ("vcek", "vlek"))
    loaded = machine.report(Product.GENOA, chip_id=b"").sign(DATA, machine.keys["vlek"])
    fused = machine.report(Product.GENOA, signing_key=1).sign(DATA, machine.keys["vcek"])
    evidence = machine.collect(DATA)

    for blob, endorsements in (
        (loaded, {"vcek": vlek["vlek"], "asvk": vlek["asvk"], "ark": vlek["ark"]}),
        (fused, {"vlek": vcek["vcek"], "ask": vcek["ask"], "ark": vcek["ark"]}),
    ):
        with pytest.raises(ChainInvalidError, match=r"found SEV-V[CL]EK"):
            check(replace(evidence, blob=blob, endorsements=endorsements), machine, now)


def test_a_key_of_the_wrong_authority_is_refused(machine: SimulatedSNP, now: datetime) -> None:
    """What issues keys of clouds does not issue keys of chips."""
    evidence = machine.collect(DATA, endorsed={"issuer": "SEV-VLEK-Genoa"})

    with pytest.raises(ChainInvalidError, match="SEV-VCEK is not signed by SEV-VLEK-Genoa"):
        check(
            endorsed(evidence, ask=None, asvk=machine.certificates[Product.GENOA]["asvk"]),
            machine,
            now,
        )


@pytest.mark.parametrize("missing", ["vcek", "ask", "ark"])
def test_an_incomplete_chain_is_refused(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, missing: str
) -> None:
    """Nothing is filled in: the verifier ships no certificates and fetches none."""
    with pytest.raises(ChainInvalidError):
        check(endorsed(evidence, **{missing: None}), machine, now)


def test_the_chain_of_another_product_is_refused(machine: SimulatedSNP, now: datetime) -> None:
    """Each line has its own authorities, though all are AMD's."""
    evidence = machine.collect(DATA)
    other = machine.certificates[Product.MILAN]

    with pytest.raises(ChainInvalidError, match="issuer SEV-Genoa"):
        check(endorsed(evidence, ask=other["ask"], ark=other["ark"]), machine, now)


def test_a_look_alike_root_is_refused(machine: SimulatedSNP, now: datetime) -> None:
    """Same names, another key: the root is pinned by its bytes."""
    key = rsa.generate_private_key(65537, 2048)
    forger = replace(
        machine,
        authorities=dict.fromkeys(machine.authorities, key),
        certificates={
            Product.GENOA: issue_authorities(
                Product.GENOA, dict.fromkeys(machine.authorities, key), now=machine.now
            )
        },
    )

    with pytest.raises(AnchorUnknownError):
        check(forger.collect(DATA), machine, now)


def test_a_root_certificate_issued_anew_is_another_root(
    machine: SimulatedSNP, now: datetime
) -> None:
    """Even AMD's own key under a certificate that nobody pinned is not trusted."""
    earlier = machine.now - timedelta(days=1)
    anew = issue_authorities(Product.GENOA, machine.authorities, now=earlier)

    with pytest.raises(AnchorUnknownError):
        check(endorsed(machine.collect(DATA), ark=anew["ark"]), machine, now)


def test_a_simulation_is_never_production(machine: SimulatedSNP, now: datetime) -> None:
    """Its roots are test roots, and AMD's real ones do not vouch for it."""
    assert {root_kind(anchor) for anchor in machine.anchors} == {RootKind.TEST}
    with pytest.raises(AnchorUnknownError):
        verify_snp(machine.collect(DATA), anchors=tuple(PRODUCTION_ROOTS), now=now)


@pytest.mark.parametrize(
    ("overrides", "says", "field"),
    [
        pytest.param(
            {}, {"tcb": bytes((10, 0, 0, 0, 0, 0, 25, 83))}, "REPORTED_TCB", id="older_key"
        ),
        pytest.param(
            {"reported_tcb": bytes((10, 0, 1, 0, 0, 0, 25, 84))},
            {"tcb": bytes((10, 0, 0, 0, 0, 0, 25, 84))},
            "REPORTED_TCB",
            id="reserved_patch_level",
        ),
        pytest.param({"chip_id": b"\x05" * 64}, {}, "CHIP_ID", id="another_chip"),
        pytest.param({"cpuid": (0x19, 0x01, 1)}, {}, "CPUID", id="cpu_of_another_product"),
        pytest.param({"cpuid": (0x17, 0x31, 0)}, {}, "CPUID", id="cpu_without_snp"),
    ],
)
def test_report_and_certificate_must_speak_of_one_machine(
    machine: SimulatedSNP,
    now: datetime,
    overrides: Mapping[str, Any],
    says: Mapping[str, Any],
    field: str,
) -> None:
    """A genuine key of another firmware, chip or product vouches for nothing here."""
    evidence = machine.collect(DATA, endorsed=says, **overrides)

    with pytest.raises(CollateralMismatchError, match=field):
        check(evidence, machine, now)


def test_a_turin_layout_on_genoa_is_a_mismatch(machine: SimulatedSNP, now: datetime) -> None:
    """Patch levels count by their names, not by where another product has them."""
    evidence = machine.collect(
        DATA,
        reported_tcb=bytes((1, 2, 3, 4, 0, 0, 0, 5)),
        endorsed={"tcb": bytes((2, 3, 0, 0, 0, 0, 4, 5))},
    )

    with pytest.raises(CollateralMismatchError, match="REPORTED_TCB"):
        check(evidence, machine, now)


@pytest.mark.parametrize("name", ["Milan-B0", "Naples", ""])
def test_a_key_of_another_product_is_refused(
    machine: SimulatedSNP, now: datetime, name: str
) -> None:
    """The product in the key's certificate is that of its authorities."""
    evidence = machine.collect(DATA, endorsed={"product_name": name})

    with pytest.raises(ChainInvalidError, match="SEV-Genoa certifies a key of"):
        check(evidence, machine, now)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP521R1()])
def test_a_key_on_another_curve_is_refused(
    machine: SimulatedSNP, now: datetime, curve: ec.EllipticCurve
) -> None:
    """VCEK and VLEK are P-384 keys."""
    other = ec.generate_private_key(curve)
    stranger = replace(machine, keys={"vcek": other})
    endorsements = stranger.endorse(Product.GENOA, "vcek")

    with pytest.raises(ChainInvalidError, match="P-384"):
        check(replace(machine.collect(DATA), endorsements=endorsements), machine, now)


def test_an_authority_is_no_signing_key(
    evidence: Evidence, machine: SimulatedSNP, now: datetime
) -> None:
    """A certificate of the chain in place of the key's is refused by its name."""
    with pytest.raises(ChainInvalidError, match="found SEV-Genoa, ARK-Genoa"):
        check(endorsed(evidence, vcek=evidence.endorsements["ask"]), machine, now)


@pytest.mark.parametrize(("signing_key", "revoked"), [("vcek", "ask"), ("vlek", "asvk")])
def test_a_revoked_authority_is_refused(
    machine: SimulatedSNP, now: datetime, signing_key: str, revoked: str
) -> None:
    """The root's list revokes what issued the key."""
    evidence = machine.collect(DATA, signing_key=signing_key, endorsed={"revoked": [revoked]})

    with pytest.raises(CertificateRevokedError):
        check(evidence, machine, now)


def test_the_revocation_of_another_authority_is_no_matter(
    machine: SimulatedSNP, now: datetime
) -> None:
    """A cloud's revoked authority does not touch chips."""
    evidence = machine.collect(DATA, endorsed={"revoked": ["asvk"]})

    assert check(evidence, machine, now).attributes["revocation_checked"] is True


def test_a_revoked_root_is_refused(machine: SimulatedSNP, now: datetime) -> None:
    """A root that revokes itself is believed."""
    with pytest.raises(CertificateRevokedError, match="ARK-Genoa"):
        check(machine.collect(DATA, endorsed={"revoked": ["ark"]}), machine, now)


def test_a_revocation_list_by_a_stranger_is_refused(machine: SimulatedSNP, now: datetime) -> None:
    """An empty list in the root's name must be signed by the root."""
    stranger = replace(
        machine, authorities={**machine.authorities, "ark": machine.authorities["ask"]}
    )
    forged = stranger.endorse(Product.GENOA, "vcek", revoked=[])["crl"]

    with pytest.raises(EvidenceSignatureError):
        check(endorsed(machine.collect(DATA), crl=forged), machine, now)


def test_a_revocation_list_of_another_product_is_refused(
    machine: SimulatedSNP, now: datetime
) -> None:
    """Each root has its own list, though all are signed by one vendor."""
    other = machine.endorse(Product.MILAN, "vcek", revoked=[])["crl"]

    with pytest.raises(EvidenceSignatureError):
        check(endorsed(machine.collect(DATA), crl=other), machine, now)


def test_an_old_revocation_list_is_refused(machine: SimulatedSNP, now: datetime) -> None:
    """A list that ran out hides what was revoked since."""
    evidence = machine.collect(DATA, endorsed={"revoked": []})

    with pytest.raises(EvidenceExpiredError, match="revocation list"):
        check(evidence, machine, now + timedelta(days=366))


@pytest.mark.parametrize("days", [-30, 366])
def test_a_key_outside_its_period_is_refused(
    machine: SimulatedSNP, now: datetime, days: int
) -> None:
    """A VLEK lives a year; the moment is the verifier's, not the sender's."""
    evidence = machine.collect(DATA, signing_key="vlek")

    with pytest.raises(EvidenceExpiredError):
        check(evidence, machine, now + timedelta(days=days))


def test_a_misspelt_endorsement_is_refused(
    evidence: Evidence, machine: SimulatedSNP, now: datetime
) -> None:
    """A revocation list under a wrong name would silently revoke nothing."""
    with pytest.raises(EvidenceMalformedError, match="CRL"):
        check(endorsed(evidence, CRL=b""), machine, now)


@pytest.mark.parametrize("name", ["vcek", "ask", "ark", "cert_chain", "crl"])
@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"-----BEGIN CERTIFICATE-----", b"\xff" * 99])
def test_an_endorsement_that_is_none_is_refused(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, name: str, data: bytes
) -> None:
    """Whatever stands in place of a certificate or list, the error is ours."""
    with pytest.raises(EvidenceMalformedError):
        check(endorsed(evidence, **{name: data}), machine, now)


def test_no_flood_of_certificates_is_read(
    evidence: Evidence, machine: SimulatedSNP, now: datetime
) -> None:
    """A chain has three certificates; a file of many is refused before any is verified."""
    import base64

    body = base64.encodebytes(evidence.endorsements["ark"])
    pem = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"

    with pytest.raises(EvidenceMalformedError, match="more than 8 certificates"):
        check(endorsed(evidence, cert_chain=9 * pem), machine, now)


def test_serial_number_zero_needs_no_library(
    machine: SimulatedSNP, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that refuses AMD's serial numbers is not asked."""
    from cryptography import x509

    from accord.evidence import _certificate

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("parsed serial number wasn't positive")

    for name in ("load_der_x509_certificate", "load_pem_x509_certificate", "load_der_x509_crl"):
        monkeypatch.setattr(x509, name, refuse)
    _certificate.parse_certificate.cache_clear()
    evidence = machine.collect(DATA, endorsed={"revoked": []})

    claims = check(evidence, machine, now)

    assert claims.chain[0].digest == sha256(evidence.endorsements["vcek"])
    assert _certificate.parse_certificate(evidence.endorsements["vcek"], what="vcek").serial == 0


def test_claims_do_not_change_afterwards(
    evidence: Evidence, machine: SimulatedSNP, now: datetime
) -> None:
    """What was verified stays as it was verified."""
    claims = check(evidence, machine, now)

    with pytest.raises(TypeError):
        claims.attributes["policy.debug"] = False  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        claims.debug = True  # type: ignore[misc]


@pytest.mark.parametrize("name", ["crl", "cert_chain", "vcek"])
def test_endorsements_of_absurd_size_are_refused(
    evidence: Evidence, machine: SimulatedSNP, now: datetime, name: str
) -> None:
    """Nothing of them is read."""
    with pytest.raises(EvidenceMalformedError, match=f"{name} is malformed: larger than 262144"):
        check(endorsed(evidence, **{name: b"-" * ((256 << 10) + 1)}), machine, now)
