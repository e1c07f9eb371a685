# SPDX-License-Identifier: Apache-2.0
"""Trust anchors of Arm devices: keys in every form, chains, and what is no anchor."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from accord.encoding import sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    ChainInvalidError,
    EvidenceExpiredError,
    EvidenceMalformedError,
)
from accord.evidence import Evidence
from accord.evidence.arm import read_trust_anchors, verify_psa
from accord.testing import SimulatedPSA
from accord.testing._cose import raw_point, spki, spki_digest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = {
    "P-256": ec.derive_private_key(21, ec.SECP256R1()),
    "P-384": ec.derive_private_key(22, ec.SECP384R1()),
    "P-521": ec.derive_private_key(23, ec.SECP521R1()),
}
KEY = KEYS["P-256"]


def jwk(curve: str, **changes: str) -> dict[str, str]:
    point = raw_point(KEYS[curve])[1:]
    half = len(point) // 2
    x, y = (
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (point[:half], point[half:])
    )
    return {"kty": "EC", "crv": curve, "x": x, "y": y, **changes}


def pem(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


@pytest.mark.parametrize("curve", KEYS)
def test_one_key_has_one_digest_in_every_form(curve: str) -> None:
    """DER, PEM, JWK, and a list of trust anchors."""
    key = KEYS[curve]
    entry = {"pkey": jwk(curve), "instance-id": "01" * 33, "implementation-id": "AB" * 32}
    forms = [spki(key), pem(key), json.dumps(jwk(curve)).encode(), json.dumps([entry]).encode()]

    found = [read_trust_anchors(form, what="key") for form in forms]

    assert [item.digest for (item,) in found] == [spki_digest(key)] * 4
    assert found[3][0].instance_id == bytes([1]) * 33
    assert found[3][0].implementation_id == bytes([0xAB]) * 32


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        b"{}",
        b"[]",
        b"[1]",
        b"[{}]",
        b'{"kty"',
        json.dumps(jwk("P-256", crv="P-224")).encode(),
        json.dumps(jwk("P-256", kty="RSA")).encode(),
        json.dumps(jwk("P-256", x="AAAA")).encode(),
        json.dumps(jwk("P-256", x="!!!!")).encode(),
        json.dumps(jwk("P-256", x=jwk("P-256")["y"])).encode(),
        json.dumps([{"pkey": jwk("P-256"), "instance-id": "zz"}]).encode(),
        json.dumps([{"pkey": jwk("P-256"), "instance-id": "01"}]).encode(),
        json.dumps([{"pkey": jwk("P-256"), "other": "01"}]).encode(),
    ],
)
def test_other_bytes_are_no_anchor(data: bytes) -> None:
    """Empty, cut, of another curve or type, off the curve, with other ids or fields."""
    with pytest.raises(AccordError):
        read_trust_anchors(data, what="key")


@pytest.mark.parametrize("oid", ["06052b8104000a", "06052b81040063"])
def test_a_key_on_another_curve_is_refused_by_name(oid: str) -> None:
    """In PEM and in DER: a curve that no token is signed with, and one that nobody knows."""
    der = ec.generate_private_key(ec.SECP384R1()).public_key()
    spki = der.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    odd = spki.replace(bytes.fromhex("06052b81040022"), bytes.fromhex(oid))
    text = base64.encodebytes(odd)
    pem = b"-----BEGIN PUBLIC KEY-----\n" + text + b"-----END PUBLIC KEY-----\n"

    for data in (odd, pem):
        with pytest.raises(EvidenceMalformedError):
            read_trust_anchors(data, what="key")


def test_a_private_key_is_refused() -> None:
    """Whoever pins it by mistake could forge tokens, and so could its readers."""
    data = json.dumps(jwk("P-256", d="AAAA")).encode()

    with pytest.raises(EvidenceMalformedError, match="private key"):
        read_trust_anchors(data, what="key")


@given(st.binary(max_size=80) | st.text(max_size=60).map(lambda text: ("{" + text).encode()))
def test_any_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    """No exception but the catalogue's comes out."""
    try:
        read_trust_anchors(data, what="key")
    except AccordError:
        return


def test_the_entry_of_the_device_is_used(psa: SimulatedPSA) -> None:
    """A list of many devices has the token's by its ids."""
    evidence = psa.collect(bytes(64))
    point = raw_point(psa.key)[1:]
    own = {
        "kty": "EC",
        "crv": "P-256",
        "x": base64.urlsafe_b64encode(point[:32]).rstrip(b"=").decode(),
        "y": base64.urlsafe_b64encode(point[32:]).rstrip(b"=").decode(),
    }
    ids = {
        "instance-id": psa.measurements["instance_id"].hex(),
        "implementation-id": psa.measurements["implementation_id"].hex(),
    }
    other = {"pkey": jwk("P-256"), "instance-id": "01" * 33, "implementation-id": "00" * 32}
    listed = json.dumps([other, {"pkey": own, **ids}]).encode()

    claims, _ = verify_psa(
        replace(evidence, endorsements={"iak": listed}), anchors=psa.anchors, now=NOW
    )

    assert claims.root == psa.root_digest
    with pytest.raises(AnchorUnknownError, match="none for instance"):
        verify_psa(
            replace(evidence, endorsements={"iak": json.dumps([other]).encode()}),
            anchors=psa.anchors,
            now=NOW,
        )


def certificate(
    name: str,
    key: Any,
    issuer: tuple[str, Any],
    *,
    is_ca: bool = False,
    signs: bool = True,
) -> bytes:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    built = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer[0]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=signs,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=not signs,
                key_cert_sign=is_ca,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(issuer[1], SHA256())
    )
    found: bytes = built.public_bytes(Encoding.DER)
    return found


def to_pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


ROOT_KEY = KEYS["P-384"]
ROOT = certificate("Maker", ROOT_KEY, ("Maker", ROOT_KEY), is_ca=True)


@pytest.mark.parametrize("split", [False, True])
def test_a_certified_key_verifies_below_its_makers_root(psa: SimulatedPSA, *, split: bool) -> None:
    """As one chain, or as a certificate and its issuers; it holds as long as they do."""
    leaf = certificate("Device", psa.key, ("Maker", ROOT_KEY))
    endorsements = (
        {"iak_certificate": leaf, "chain": to_pem(ROOT)}
        if split
        else {"chain": to_pem(leaf) + to_pem(ROOT)}
    )
    evidence = replace(psa.collect(bytes(64)), endorsements=endorsements)

    claims, _ = verify_psa(evidence, anchors=[sha256(ROOT)], now=NOW)

    assert claims.root == sha256(ROOT)
    assert [item.what for item in claims.chain] == ["Device", "Maker"]
    assert claims.collateral_expires == NOW + timedelta(days=1)


def chained(psa: SimulatedPSA, leaf: bytes) -> Evidence:
    return replace(
        psa.collect(bytes(64)), endorsements={"iak_certificate": leaf, "chain": to_pem(ROOT)}
    )


def test_a_look_alike_maker_is_refused(psa: SimulatedPSA) -> None:
    """Same name, another key: another digest."""
    key = ec.generate_private_key(ec.SECP384R1())
    root = certificate("Maker", key, ("Maker", key), is_ca=True)
    leaf = certificate("Device", psa.key, ("Maker", key))
    evidence = replace(psa.collect(bytes(64)), endorsements={"chain": to_pem(leaf) + to_pem(root)})

    with pytest.raises(AnchorUnknownError):
        verify_psa(evidence, anchors=[sha256(ROOT)], now=NOW)
    with pytest.raises(ChainInvalidError):
        verify_psa(chained(psa, leaf), anchors=[sha256(ROOT)], now=NOW)


def test_a_certificate_that_ran_out_is_refused(psa: SimulatedPSA) -> None:
    """The moment is an argument."""
    evidence = chained(psa, certificate("Device", psa.key, ("Maker", ROOT_KEY)))

    with pytest.raises(EvidenceExpiredError):
        verify_psa(evidence, anchors=[sha256(ROOT)], now=NOW + timedelta(days=2))


def test_a_certificate_for_something_else_is_refused(psa: SimulatedPSA) -> None:
    """Its key usage has no signatures of data."""
    leaf = certificate("Device", psa.key, ("Maker", ROOT_KEY), signs=False)

    with pytest.raises(EvidenceMalformedError, match="may not sign tokens"):
        verify_psa(chained(psa, leaf), anchors=[sha256(ROOT)], now=NOW)


def test_an_rsa_key_signs_no_token(psa: SimulatedPSA) -> None:
    """It may be pinned; no profile has such signatures."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    evidence = replace(psa.collect(bytes(64)), endorsements={"iak": pem(key)})
    (anchor,) = read_trust_anchors(pem(key), what="key")

    with pytest.raises(EvidenceMalformedError, match="not that of the key"):
        verify_psa(evidence, anchors=[anchor.digest], now=NOW)


@pytest.mark.parametrize("name", ["crl", "chain", "iak_certificate", "cpak"])
def test_endorsements_that_nobody_reads_are_refused(psa: SimulatedPSA, name: str) -> None:
    """A key beside a chain, another family's key, a list that would revoke nothing."""
    evidence = psa.collect(bytes(64))

    with pytest.raises(EvidenceMalformedError, match="endorsements"):
        verify_psa(
            replace(evidence, endorsements={**evidence.endorsements, name: b""}),
            anchors=psa.anchors,
            now=NOW,
        )
