# SPDX-License-Identifier: Apache-2.0
"""Which certificates vouch for an attestation key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.support.tpm import ForgedTPM
from tests.unit.evidence.tpm.conftest import NOW

from accord.encoding import Digest, sha256
from accord.errors import AccordError, ChainInvalidError, EvidenceMalformedError
from accord.evidence import Evidence, verify_unbound
from accord.policy import Scalar

ROOT_KEY = ec.derive_private_key(11, ec.SECP256R1())
REGISTERS = {("sha256", 0): bytes([1]) * 32}
EK, AK, TLS_SERVER = "2.23.133.8.1", "2.23.133.8.3", "1.3.6.1.5.5.7.3.1"
Extension = tuple[x509.ExtensionType, bool]


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def certificate(
    key: ec.EllipticCurvePrivateKey, subject: str, extensions: Sequence[Extension]
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("Root"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(ROOT_KEY, SHA256())


ROOT = certificate(ROOT_KEY, "Root", [(x509.BasicConstraints(ca=True, path_length=None), True)])
ANCHOR: Digest = sha256(ROOT.public_bytes(Encoding.DER))


def usage(**bits: bool) -> Extension:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{item: bits.get(item, False) for item in names}), True


def purpose(oid: str) -> Extension:
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid)]), False


def certified(forger: ForgedTPM, *extensions: Extension, subject: str = "AK") -> Evidence:
    assert isinstance(forger.key, ec.EllipticCurvePrivateKey)
    leaf = certificate(forger.key, subject, extensions)
    endorsements = {
        "ak_certificate": leaf.public_bytes(Encoding.PEM),
        "ak_chain": ROOT.public_bytes(Encoding.PEM),
    }
    return replace(forger.evidence(REGISTERS), endorsements=endorsements)


def issuer(evidence: Evidence) -> Scalar:
    return verify_unbound(evidence, anchors=[ANCHOR], now=NOW).claims.attributes["ak_issuer"]


@pytest.mark.parametrize(
    "extensions",
    [
        (purpose(AK),),
        (usage(digital_signature=True), purpose(AK)),
        (purpose(EK), usage(digital_signature=True)),
        ((x509.BasicConstraints(ca=False, path_length=None), True), purpose(AK)),
    ],
)
def test_certificates_of_attestation_keys_vouch(
    forger: ForgedTPM, extensions: tuple[Extension, ...]
) -> None:
    """With the purposes that makers write, and with or without all else."""
    assert issuer(certified(forger, *extensions)) == "Root"


@pytest.mark.parametrize("extensions", [(), (usage(digital_signature=True),)])
def test_a_certificate_without_purpose_does_not_vouch(
    forger: ForgedTPM, extensions: tuple[Extension, ...]
) -> None:
    """The CA may have issued it for anything, with a key that anybody holds."""
    with pytest.raises(EvidenceMalformedError, match="its purpose is not"):
        issuer(certified(forger, *extensions))


def test_a_certificate_without_purpose_vouches_if_it_is_pinned(forger: ForgedTPM) -> None:
    """Some makers leave it out: then an anchor names the very certificate."""
    evidence = certified(forger, usage(digital_signature=True))
    leaf = evidence.endorsements["ak_certificate"]
    pinned = sha256(x509.load_pem_x509_certificate(leaf).public_bytes(Encoding.DER))

    alone = replace(evidence, endorsements={"ak_certificate": leaf})
    for given in (alone, evidence):
        claims, _ = verify_unbound(given, anchors=[pinned, ANCHOR], now=NOW)
        assert claims.root in {pinned, ANCHOR}


def test_a_certificate_without_subject_vouches(forger: ForgedTPM) -> None:
    """Makers then name the TPM in an alternative name, which is critical."""
    alternative = x509.SubjectAlternativeName([x509.DirectoryName(name("TPM"))])

    assert issuer(certified(forger, (alternative, True), purpose(AK), subject="")) == "Root"


@pytest.mark.parametrize(
    ("extensions", "detail"),
    [
        ((purpose(TLS_SERVER),), "its purpose is not"),
        ((purpose(AK), usage(key_encipherment=True)), "its key may not sign"),
        (
            (purpose(AK), (x509.BasicConstraints(ca=True, path_length=None), True)),
            "it is a CA's",
        ),
    ],
)
def test_certificates_for_anything_else_do_not_vouch(
    forger: ForgedTPM, extensions: tuple[Extension, ...], detail: str
) -> None:
    """A server's certificate of the same CA, an encryption key's, the CA itself."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        issuer(certified(forger, *extensions))


def test_unknown_critical_extensions_are_refused(forger: ForgedTPM) -> None:
    """Whoever wrote them wants them understood."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")

    with pytest.raises(ChainInvalidError, match=r"1\.2\.3\.4"):
        issuer(certified(forger, (unknown, True)))


@pytest.mark.parametrize("spki", [b"", b"0", b"\x30\x00"])
def test_a_key_that_is_none_is_refused(forger: ForgedTPM, spki: bytes) -> None:
    """``ak_spki`` is a DER SubjectPublicKeyInfo."""
    evidence = forger.evidence(REGISTERS)
    aux = {"ak_spki": spki, "pcrs": evidence.aux["pcrs"]}

    with pytest.raises(AccordError, match="attestation key"):
        verify_unbound(replace(evidence, aux=aux), anchors=[forger.anchor], now=NOW)


@pytest.mark.parametrize("data", [b"", b"\x30\x82", b"\x30\x82\x00\x01", b"-----BEGIN"])
def test_a_certificate_that_is_none_is_refused(forger: ForgedTPM, data: bytes) -> None:
    """Cut in any way."""
    evidence = replace(forger.evidence(REGISTERS), endorsements={"ak_certificate": data})

    with pytest.raises(EvidenceMalformedError):
        issuer(evidence)
