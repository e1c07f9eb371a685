# SPDX-License-Identifier: Apache-2.0
"""Vendors' files told apart, and each verified up to a pinned root before anybody keeps it."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.collateral.vendors import Intel, items, nvidia_files, snp_files

from accord.collateral import (
    MAX_FILE_BYTES,
    Form,
    certify,
    name_items,
    read_anchors,
    recognise,
)
from accord.encoding import sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    ChainInvalidError,
    CollateralUnknownError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    MalformedError,
)
from accord.evidence import PRODUCTION_ROOTS, Evidence
from accord.evidence.intel import Collateral
from accord.policy import Family
from accord.testing import SimulatedNVIDIA, SimulatedSNP, SimulatedVendor

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
SPKI = KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
SPKI_PEM = KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk() -> dict[str, str]:
    numbers = KEY.public_numbers()

    def text(number: int) -> str:
        return base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode().rstrip("=")

    return {"kty": "EC", "crv": "P-256", "x": text(numbers.x), "y": text(numbers.y)}


def forms(data: bytes) -> list[Form]:
    return [item.form for item in recognise(data, what="file")]


# --- forms ----------------------------------------------------------------------------------


def test_files_are_told_apart_by_what_is_in_them(intel: Intel) -> None:
    """Bundle, statements, chains, lists, keys: in every spelling that vendors use."""
    collateral = intel.collateral
    chain = collateral.tcb_info_issuer_chain
    pem_list = (
        b"-----BEGIN X509 CRL-----\n"
        + base64.encodebytes(collateral.pck_crl)
        + b"-----END X509 CRL-----\n"
    )

    assert forms(intel.bundle) == [Form.BUNDLE]
    assert forms(intel.tcb_info) == [Form.TCB_INFO]
    assert forms(intel.qe_identity) == [Form.QE_IDENTITY]
    assert forms(chain.encode()) == [Form.CERTIFICATES]
    assert forms(quote(chain).encode()) == [Form.CERTIFICATES]
    assert forms(base64.b64decode("".join(chain.split("-----")[2].split()))) == [Form.CERTIFICATES]
    assert forms(collateral.pck_crl) == [Form.REVOCATIONS]
    assert forms(pem_list) == [Form.REVOCATIONS]
    assert forms(collateral.pck_crl.hex().encode()) == [Form.REVOCATIONS]
    assert forms(base64.b64encode(collateral.pck_crl)) == [Form.REVOCATIONS]
    assert forms(chain.encode() + pem_list) == [Form.CERTIFICATES, Form.REVOCATIONS]
    assert forms(SPKI) == forms(SPKI_PEM) == [Form.KEY]
    assert forms(json.dumps(jwk()).encode()) == [Form.KEY]
    assert forms(json.dumps([{"pkey": jwk()}]).encode()) == [Form.KEY]


def test_a_manifest_may_come_in_the_services_envelope(nvidia: SimulatedNVIDIA) -> None:
    """NVIDIA's service wraps it in JSON; both are the same manifest."""
    _, given_ = nvidia_files(nvidia)
    manifest = given_["driver_rim"]
    wrapped = json.dumps({"id": "NV", "rim": base64.b64encode(manifest).decode()}).encode()

    (plain,), (opened,) = recognise(manifest, what="a"), recognise(wrapped, what="a")
    assert plain == opened


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"{}",
        b"{",
        b"[]",
        b"\x30\x03\x02\x01\x00",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"<html></html>",
        b"\x00" * (MAX_FILE_BYTES + 1),
        b'{"rim": "x", "id": 1}',
    ],
    ids=range(10),
)
def test_what_is_no_collateral_is_refused(data: bytes) -> None:
    """Nothing is guessed, and private keys are not taken."""
    with pytest.raises(CollateralUnknownError):
        recognise(data, what="file")


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"\x30\x82" + b))
@settings(max_examples=200)
def test_no_file_ends_in_anything_but_a_refusal(data: bytes) -> None:
    """Whatever the bytes: items, or an error of the catalogue."""
    with contextlib.suppress(AccordError):
        recognise(data, what="file")


# --- verification ---------------------------------------------------------------------------


def test_separate_files_are_as_good_as_a_bundle(intel: Intel) -> None:
    """Answers of Intel's service, in any order."""
    collateral = intel.collateral
    files = [
        intel.qe_identity,
        collateral.pck_crl,
        collateral.pck_crl_issuer_chain.encode(),
        intel.tcb_info,
        collateral.root_ca_crl,
        collateral.tcb_info_issuer_chain.encode(),
    ]
    bundle = certify(items(intel.bundle), anchors=intel.anchors)
    parts = certify(items(*files), anchors=intel.anchors)

    assert {piece.key for piece in bundle} <= {piece.key for piece in parts}
    assert {piece.root for piece in parts} == set(intel.anchors)


def test_a_test_root_is_not_trusted_by_itself(intel: Intel) -> None:
    """Under the vendors' pinned roots a simulated vendor is nobody."""
    with pytest.raises(AnchorUnknownError):
        certify(items(intel.bundle), anchors=tuple(PRODUCTION_ROOTS))


@pytest.mark.parametrize("field", ["tcb_info", "qe_identity"])
def test_a_changed_statement_is_refused(intel: Intel, field: str) -> None:
    """One character of what was signed."""
    text = getattr(intel.collateral, field).replace('"version":', '"version" :')
    changed = json.dumps(replace(intel.collateral, **{field: text}).to_json()).encode()
    with pytest.raises(EvidenceSignatureError, match="Intel SGX TCB Signing"):
        certify(items(changed), anchors=intel.anchors)


def test_a_list_of_somebody_else_is_refused(intel: Intel, tmp_path: Path) -> None:
    """A look-alike root signs its own lists, under the same names."""
    other = SimulatedVendor.create(tmp_path / "other").collateral
    mixed = json.dumps(replace(intel.collateral, root_ca_crl=other.root_ca_crl).to_json()).encode()
    with pytest.raises(EvidenceSignatureError, match="any certificate at hand"):
        certify(items(mixed), anchors=intel.anchors)


def test_a_look_alike_beside_the_real_one_changes_nothing(intel: Intel, tmp_path: Path) -> None:
    """Certificates with the same names are tried and left aside."""
    other = SimulatedVendor.create(tmp_path / "other").collateral
    strange = items(other.tcb_info_issuer_chain.encode())
    known = [certificate for item in strange for certificate in item.certificates]
    pieces = certify(items(intel.bundle), anchors=intel.anchors, known=known)

    assert {piece.root for piece in pieces} == set(intel.anchors)


def test_a_chain_that_is_not_at_hand_is_asked_for(amd: SimulatedSNP) -> None:
    """A VCEK alone says nothing."""
    _, vcek, _ = snp_files(amd)
    with pytest.raises(ChainInvalidError, match="import them with it"):
        certify(items(vcek), anchors=amd.anchors)


def test_a_changed_certificate_is_refused(amd: SimulatedSNP) -> None:
    """The last byte of its signature."""
    _, vcek, chain = snp_files(amd)
    with pytest.raises(ChainInvalidError):
        certify(items(vcek[:-1] + bytes([vcek[-1] ^ 1]), chain), anchors=amd.anchors)


def test_a_changed_manifest_is_refused(nvidia: SimulatedNVIDIA) -> None:
    """One digit of a reference value."""
    _, given_ = nvidia_files(nvidia)
    changed = given_["driver_rim"].replace(b'Hash0="', b'Hash0="00', 1)
    with pytest.raises(AccordError):
        certify(items(changed), anchors=nvidia.anchors)


def test_a_bare_key_is_no_collateral() -> None:
    """It is an anchor, or nothing."""
    with pytest.raises(CollateralUnknownError, match="--anchor"):
        certify(items(SPKI_PEM), anchors=tuple(PRODUCTION_ROOTS))


def test_other_certificates_keep_their_name(intel: Intel) -> None:
    """Chains of no family we sort: by the leaf's name; lists by their issuer's."""
    chain = intel.collateral.pck_crl_issuer_chain.encode()
    (piece,) = certify(items(chain), anchors=intel.anchors)

    assert piece.key == "certificate/intel-sgx-pck-platform-ca"
    assert piece.chain == b""


def test_a_platform_must_be_named_properly(intel: Intel) -> None:
    """TCB info whose FMSPC is no number has no key, though it is signed."""
    from accord.collateral._pieces import _fmspc
    from accord.encoding import Fields

    assert _fmspc(Fields({"fmspc": "B0C06F000000"}, "x")) == "b0c06f000000"
    with pytest.raises(MalformedError, match="12 hex digits"):
        _fmspc(Fields({"fmspc": "../../etc"}, "x"))


# --- names ----------------------------------------------------------------------------------


def test_files_get_the_names_of_their_family(
    intel: Intel, amd: SimulatedSNP, nvidia: SimulatedNVIDIA
) -> None:
    """What evidence of each family calls its endorsements."""
    bare = intel.evidence()
    assert name_items(bare, items(intel.bundle)) == intel.collateral.to_endorsements()
    chain = intel.collateral.tcb_info_issuer_chain.encode()
    assert list(name_items(bare, items(chain))) == ["pck_certificate_chain"]
    report, vcek, above = snp_files(amd)
    assert set(name_items(report, items(vcek, above))) == {"vcek", "cert_chain"}
    crl = intel.collateral.root_ca_crl
    assert name_items(report, items(crl)) == {"crl": crl}
    gpu, given_ = nvidia_files(nvidia)
    root = b"-----BEGIN CERT" + chain.rpartition(b"-----BEGIN CERT")[2]
    files = [given_[name] for name in ("driver_rim", "vbios_rim", "certificate_chain")]
    named = name_items(gpu, items(*files, root))
    assert set(named) == {"driver_rim", "vbios_rim", "certificate_chain", "rim_root"}
    assert named["driver_rim"] == given_["driver_rim"]
    assert dict(name_items(gpu, ())) == {}


def test_keys_and_their_certificates_get_their_names(intel: Intel) -> None:
    """A bare key of a device, or its certificate and those above."""
    chain = intel.collateral.tcb_info_issuer_chain.encode()
    for family, key, leaf, above in (
        (Family.PSA, "iak", "iak_certificate", "chain"),
        (Family.CCA, "cpak", "cpak_certificate", "chain"),
        (Family.TPM, None, "ak_certificate", "ak_chain"),
    ):
        evidence = Evidence(family, b"")
        assert set(name_items(evidence, items(chain))) == {leaf, above}
        if key is None:
            with pytest.raises(CollateralUnknownError, match="public key"):
                name_items(evidence, items(SPKI))
        else:
            assert name_items(evidence, items(SPKI)) == {key: SPKI}


@pytest.mark.parametrize(
    "family", [Family.SNP, Family.NVIDIA, Family.NITRO, Family.KEYSTONE, Family.PSA]
)
def test_what_a_family_has_no_name_for_is_refused(intel: Intel, family: Family) -> None:
    """Silently leaving out a file would look like having used it."""
    with pytest.raises(CollateralUnknownError, match="not among what"):
        name_items(Evidence(family, b""), items(intel.tcb_info))


def test_separate_files_are_put_together(intel: Intel) -> None:
    """PEM and DER, beside nothing or beside a bundle, whose parts they replace."""
    collateral = intel.collateral
    files = items(
        intel.tcb_info,
        intel.qe_identity,
        collateral.pck_crl,
        collateral.root_ca_crl,
        collateral.pck_crl_issuer_chain.encode(),
        collateral.tcb_info_issuer_chain.encode(),
    )
    bare = intel.evidence()
    named = name_items(bare, files)

    assert named["tcb_info"] == collateral.tcb_info.encode()
    assert name_items(bare, [*items(intel.bundle), *files]).keys() >= named.keys()
    der = base64.b64decode("".join(collateral.tcb_info_issuer_chain.split("-----")[2].split()))
    assert list(name_items(bare, items(der))) == ["pck_certificate_chain"]


def test_two_bundles_are_one_too_many(intel: Intel) -> None:
    """Which of them was meant?"""
    with pytest.raises(CollateralUnknownError, match="second bundle"):
        name_items(intel.evidence(), items(intel.bundle, intel.bundle))


# --- anchors --------------------------------------------------------------------------------


def test_anchors_are_read_from_roots_and_keys(intel: Intel) -> None:
    """A root by its certificate, a key by its SPKI, a Keystone device by its raw key."""
    assert intel.anchors[0] in read_anchors(
        intel.collateral.tcb_info_issuer_chain.encode(), what="chain"
    )
    assert read_anchors(SPKI_PEM, what="key") == (sha256(SPKI),)
    assert read_anchors(b"k" * 32, what="key") == (sha256(b"k" * 32),)
    intermediate = b"".join(
        intel.collateral.pck_crl_issuer_chain.encode().partition(b"-----END CERTIFICATE-----\n")[:2]
    )
    for data in (intermediate, intel.bundle, intel.tcb_info):
        with pytest.raises(CollateralUnknownError, match="neither a root nor a key"):
            read_anchors(data, what="file")


def test_the_bundle_is_dcap_qvls(intel: Intel) -> None:
    """What the simulator writes is what the reader takes."""
    assert Collateral.from_bytes(intel.bundle) == intel.collateral


def test_a_chain_beside_the_quote_does_not_say_whose_it_is(intel: Intel) -> None:
    """Only the quote's own chain counts: another platform's could hide what is known of this."""
    from accord.collateral._intel import platform_of

    evidence = intel.evidence()
    for chain in (intel.collateral.tcb_info_issuer_chain.encode(), b"no chain"):
        beside = Evidence(Family.TDX, evidence.blob, {"pck_certificate_chain": chain})
        assert platform_of(beside) == platform_of(evidence)


def test_a_gpu_without_its_chain_names_no_device(nvidia: SimulatedNVIDIA) -> None:
    """One certificate is not enough to know the chip."""
    from accord.collateral._nvidia import device_of

    evidence, given_ = nvidia_files(nvidia)
    pem = given_["certificate_chain"]
    last = pem[pem.rindex(b"-----BEGIN CERTIFICATE") :]
    with pytest.raises(EvidenceMalformedError, match="names no device"):
        device_of(Evidence(Family.NVIDIA, evidence.blob, {"certificate_chain": last}))
