# SPDX-License-Identifier: Apache-2.0
"""Measured files as components: a signer is named only where its signature is valid."""

import hashlib
import struct
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from tests.unit.evidence.tpm.conftest import NOW, changed

from accord.errors import EvidenceMalformedError
from accord.evidence import Evidence, verify_unbound
from accord.evidence.tpm._ima import IMAEntries
from accord.evidence.tpm._imafiles import ima_components
from accord.testing import SimulatedTPM

CONTENT = b"a program"
DIGEST = hashlib.sha256(CONTENT).digest()

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    """A key of each kind that kernels know."""
    return {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
    }


def certificate(key: PrivateKey) -> bytes:
    """What is in a kernel's keyring, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "IMA test key")])
    start = datetime(2020, 1, 1)  # noqa: DTZ001 - of no interest
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start)
    return (
        builder.not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def signer(key: PrivateKey) -> bytes:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def attribute(key: PrivateKey, digest: bytes = DIGEST, *, algorithm: int = 4) -> bytes:
    """``security.ima`` of a file, as `evmctl ima_sign` writes it."""
    prehashed = Prehashed(hashes.SHA256())
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(digest, padding.PKCS1v15(), prehashed)
    else:
        signature = key.sign(digest, ec.ECDSA(prehashed))
    return struct.pack(">BBB4sH", 3, 2, algorithm, b"keyi", len(signature)) + signature


def signer_of(signature: bytes, certificates: bytes, digest: bytes = DIGEST) -> bytes:
    entries = IMAEntries.of([(10, False, b"", digest, b"/usr/bin/x", signature)])
    (component,) = ima_components(entries, certificates=certificates)
    assert (component.kind, component.name) == ("ima", "/usr/bin/x")
    return component.signer


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_valid_signature_names_its_key(keys: dict[str, PrivateKey], kind: str) -> None:
    """By the SHA-256 of the public key, whichever place its certificate has."""
    known = certificate(keys["ec"]) + certificate(keys["rsa"])

    assert signer_of(attribute(keys[kind]), known) == signer(keys[kind])


def test_a_signature_of_an_unknown_key_names_nobody(keys: dict[str, PrivateKey]) -> None:
    """Anybody can write an attribute, with any key identifier in it."""
    assert signer_of(attribute(keys["rsa"]), certificate(keys["ec"])) == b""
    assert signer_of(attribute(keys["rsa"]), b"") == b""


def test_a_signature_of_another_file_names_nobody(keys: dict[str, PrivateKey]) -> None:
    """The kernel measures attributes as they are, valid or not."""
    other = hashlib.sha256(b"another program").digest()

    assert signer_of(attribute(keys["rsa"], other), certificate(keys["rsa"])) == b""


def test_attributes_of_other_forms_name_nobody(keys: dict[str, PrivateKey]) -> None:
    """An unsigned digest, another version, SHA-1, another hash than the digest's, damage."""
    good, known = attribute(keys["rsa"]), certificate(keys["rsa"])
    forms = {
        "digest": b"\x04\x04" + DIGEST,
        "version 3": b"\x03\x03" + good[2:],
        "sha1": attribute(keys["rsa"], algorithm=2),
        "sha512": attribute(keys["rsa"], algorithm=6),
        "cut": good[:-1],
        "longer": good + b"\0",
        "empty": b"",
    }

    assert {name: signer_of(form, known) for name, form in forms.items()} == dict.fromkeys(
        forms, b""
    )


def test_keys_that_cannot_be_read_are_refused(keys: dict[str, PrivateKey]) -> None:
    """They were given for a reason."""
    with pytest.raises(EvidenceMalformedError):
        signer_of(attribute(keys["rsa"]), b"no certificate")


def test_names_that_are_no_text_stay_apart() -> None:
    """Two files never get the same name."""
    names = (b"/\xff", b"/\xfe", "/é".encode())
    entries = IMAEntries.of((10, False, b"", DIGEST, name, b"") for name in names)

    assert [item.name for item in ima_components(entries)] == ["/\\xff", "/\\xfe", "/é"]


def test_certificates_travel_beside_a_quote(machine: SimulatedTPM, evidence: Evidence) -> None:
    """Unused where no file is signed; refused where they are none."""
    anchors = (machine.root_digest,)
    with_keys = changed(evidence, ima_keys=certificate(ec.generate_private_key(ec.SECP256R1())))

    claims = verify_unbound(with_keys, anchors=anchors, now=NOW).claims

    assert claims.components == verify_unbound(evidence, anchors=anchors, now=NOW).claims.components
    with pytest.raises(EvidenceMalformedError):
        verify_unbound(changed(evidence, ima_keys=b"?"), anchors=anchors, now=NOW)
