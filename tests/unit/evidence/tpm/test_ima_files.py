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
from accord.evidence.tpm import _imafiles
from accord.evidence.tpm._ima import IMAEntries
from accord.evidence.tpm._imafiles import MAX_FAILURES, MAX_KEYS, ima_components
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


def certificate(key: PrivateKey, *extensions: x509.ExtensionType) -> bytes:
    """What is in a kernel's keyring, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "IMA test key")])
    start = datetime(2020, 1, 1)  # noqa: DTZ001 - of no interest
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
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
    return struct.pack(">BBB4sH", 3, 2, algorithm, key_id(key), len(signature)) + signature


def key_id(key: PrivateKey) -> bytes:
    """As `evmctl` computes it."""
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[-4:]


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


def test_a_key_is_found_by_its_certificates_identifier(keys: dict[str, PrivateKey]) -> None:
    """Kernels know keys by it, whatever it was made from."""
    named = certificate(keys["ec"], x509.SubjectKeyIdentifier(b"any name"))
    good = attribute(keys["ec"])

    assert signer_of(good[:3] + b"name" + good[7:], named) == signer(keys["ec"])
    assert signer_of(good[:3] + b"eman" + good[7:], named) == b""


def test_keys_that_no_kernel_takes_sign_nothing() -> None:
    """Their signatures cost more time than an attacker pays for them."""
    slow = ec.generate_private_key(ec.SECP521R1())

    assert signer_of(attribute(slow), certificate(slow)) == b""


def test_invalid_signatures_do_not_cost_hours(keys: dict[str, PrivateKey]) -> None:
    """Many files, each with the identifier of every key, and none signed."""
    forged = attribute(keys["rsa"], hashlib.sha256(b"other").digest())
    entries = IMAEntries.of(
        (10, False, b"", number.to_bytes(32, "big"), b"/x", forged)
        for number in range(MAX_FAILURES + 1)
    )

    with pytest.raises(EvidenceMalformedError, match="256 invalid signatures"):
        ima_components(entries, certificates=certificate(keys["rsa"]))
    with pytest.raises(EvidenceMalformedError, match="more than 16 certificates"):
        ima_components(entries, certificates=certificate(keys["rsa"]) * (MAX_KEYS + 1))
    unnamed = forged[:3] + b"none" + forged[7:]
    others = IMAEntries.of((10, False, b"", DIGEST, b"/x", unnamed) for _ in range(1000))
    assert len(ima_components(others, certificates=certificate(keys["rsa"]))) == 1000


def test_a_log_of_too_many_signatures_is_refused(
    keys: dict[str, PrivateKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them costs time, valid or not; the same one twice costs nothing."""
    monkeypatch.setattr(_imafiles, "MAX_SIGNATURES", 2)
    good = [
        (
            hashlib.sha256(bytes([at])).digest(),
            attribute(keys["ec"], hashlib.sha256(bytes([at])).digest()),
        )
        for at in range(3)
    ]

    def components(number: int) -> int:
        signed = good[:number] * 2
        entries = IMAEntries.of((10, False, b"", digest, b"/x", by) for digest, by in signed)
        return len(ima_components(entries, certificates=certificate(keys["ec"])))

    assert components(2) == 4
    with pytest.raises(EvidenceMalformedError, match="more than 2 signatures"):
        components(3)


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
