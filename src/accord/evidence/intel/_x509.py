# SPDX-License-Identifier: Apache-2.0
"""Certificate chains and revocation lists of Intel's PCK hierarchy (RFC 5280, ECDSA P-256).

What never changes for given bytes (parsing, signatures, links) is cached by those bytes; what
depends on the moment (validity, revocation, which root is pinned) is checked at every call.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtensionOID

from accord.encoding import Digest, format_time, sha256
from accord.errors import (
    CertificateRevokedError,
    ChainInvalidError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
)
from accord.evidence._der import BIT_STRING, INTEGER, SEQUENCE, Element, elements, sequence

PCK_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")

_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")  # AlgorithmIdentifier, RFC 5758
_COMMON_NAME = bytes.fromhex("0603550403")  # 2.5.4.3
_X509_V3 = bytes.fromhex("a003020102")
_AFTER_ALGORITHM = 4
"""Fewest members of what is signed, from the algorithm on: up to a certificate's subject."""

_KNOWN_CRITICAL = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE}
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
_PEM_LINE = 64
_CACHE = 64
"""Chains and lists kept: a board sees a handful of platforms and one vendor."""

_PARSE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,  # where warnings are errors, a doubtful name in an extension is one
)
_SIGNATURE_ALGORITHM = ec.ECDSA(SHA256())


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A parsed certificate, equal to itself alone; ``what`` is its common name.

    The common name says which role the vendor gave it, and only counts below a pinned root.
    """

    what: str
    digest: Digest
    subject: bytes
    issuer: bytes
    serial: int
    key: ec.EllipticCurvePublicKey
    not_before: datetime
    not_after: datetime
    is_ca: bool
    path_length: int | None
    signs_certificates: bool
    signs_lists: bool
    signs_data: bool
    tbs: bytes
    signature: bytes
    pck_extension: bytes | None


@dataclass(frozen=True, slots=True)
class ChainProfile:
    """Which certificates a chain consists of: the allowed common names, leaf first."""

    what: str
    names: tuple[tuple[str, ...], ...]
    leaf_is_ca: bool


_ROOT = ("Intel SGX Root CA",)
_PCK_CA = ("Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA")
_TCB_SIGNER = ("Intel SGX TCB Signing",)

PCK_CHAIN = ChainProfile(
    "PCK certificate chain", (("Intel SGX PCK Certificate",), _PCK_CA, _ROOT), leaf_is_ca=False
)
PCK_CRL_CHAIN = ChainProfile("PCK CRL issuer chain", (_PCK_CA, _ROOT), leaf_is_ca=True)
TCB_INFO_CHAIN = ChainProfile("TCB info issuer chain", (_TCB_SIGNER, _ROOT), leaf_is_ca=False)
QE_IDENTITY_CHAIN = ChainProfile("QE identity issuer chain", (_TCB_SIGNER, _ROOT), leaf_is_ca=False)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A revocation list whose signature was verified."""

    what: str
    issuer: str
    revoked: frozenset[int]
    not_before: datetime
    not_after: datetime


def check_period(what: str, not_before: datetime, not_after: datetime, now: datetime) -> None:
    """Raises ``EvidenceExpiredError`` unless ``now`` lies within, both ends included."""
    if not not_before <= now <= not_after:
        raise EvidenceExpiredError(
            what=what,
            not_before=format_time(not_before),
            not_after=format_time(not_after),
            now=format_time(now),
        )


def check_not_revoked(certificate: Certificate, revocations: RevocationList) -> None:
    """Raises ``CertificateRevokedError``. That the list is its issuer's is the caller's part."""
    if certificate.serial in revocations.revoked:
        raise CertificateRevokedError(
            what=certificate.what, serial=f"{certificate.serial:x}", issuer=revocations.issuer
        )


def verify_signature(
    key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, *, what: str, by: str
) -> None:
    """A raw ``r || s`` ECDSA P-256 signature. Raises ``EvidenceSignatureError``."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, _SIGNATURE_ALGORITHM)
    except InvalidSignature as exc:
        raise EvidenceSignatureError(what=what, expected=by) from exc


@lru_cache(maxsize=_CACHE)
def load_chain(pem: bytes, profile: ChainProfile) -> tuple[Certificate, ...]:
    """The chain in ``pem``, leaf first, one certificate per name of ``profile``, root last.

    Names, signatures, CA flags and path lengths are verified, up to the self-signed root;
    validity, revocation and *whether the root is trusted* are not.

    Raises ``ChainInvalidError`` or ``EvidenceMalformedError``.
    """
    # (a) Exactly the expected certificates, in one spelling.
    ders = _split_pem(pem, profile.what)
    if len(ders) != len(profile.names):
        raise ChainInvalidError(
            what=profile.what,
            detail=f"it has {len(ders)} certificates, expected {len(profile.names)}",
        )
    chain = tuple(_load_certificate(der) for der in ders)
    for certificate, allowed in zip(chain, profile.names, strict=True):
        if certificate.what not in allowed:
            raise ChainInvalidError(
                what=profile.what,
                detail=f"found {certificate.what!r}, expected {' or '.join(allowed)}",
            )
    # (b) Each is issued by the next, which may issue it; the last by itself (RFC 5280, 6.1).
    for depth, certificate in enumerate(chain):
        above = min(depth + 1, len(chain) - 1)
        _check_issued(certificate, chain[above], below=above - 1, what=profile.what)
    # (c) The leaf either signs data or issues certificates, as its profile says, never both.
    leaf = chain[0]
    if (leaf.is_ca, leaf.signs_certificates, leaf.signs_data) != (
        profile.leaf_is_ca,
        profile.leaf_is_ca,
        not profile.leaf_is_ca,
    ):
        raise ChainInvalidError(what=profile.what, detail="its leaf has the wrong key usage")
    return chain


def _check_issued(certificate: Certificate, issuer: Certificate, *, below: int, what: str) -> None:
    """``issuer`` is a CA that may stand above ``below`` other CAs, and signed ``certificate``."""
    if certificate.issuer != issuer.subject:
        raise ChainInvalidError(what=what, detail=f"{certificate.what} names another issuer")
    if not issuer.is_ca or not issuer.signs_certificates:
        raise ChainInvalidError(what=what, detail=f"{issuer.what} may not issue certificates")
    if issuer.path_length is not None and issuer.path_length < below:
        raise ChainInvalidError(what=what, detail=f"it is too long for {issuer.what}")
    try:
        issuer.key.verify(certificate.signature, certificate.tbs, _SIGNATURE_ALGORITHM)
    except InvalidSignature as exc:
        raise ChainInvalidError(
            what=what, detail=f"{certificate.what} is not signed by {issuer.what}"
        ) from exc


def _split_pem(pem: bytes, what: str) -> list[bytes]:
    """The DER of each certificate in a PEM file that has exactly one spelling (RFC 7468, 3).

    Only the last line feed may be missing, and one zero byte may follow: vendors write both.
    """
    text = pem[:-1] if pem.endswith(b"\n\0") else pem
    text = text if text.endswith(b"\n") else text + b"\n"
    ders = []
    for block in text.split(_END)[:-1]:
        if not block.startswith(_BEGIN):
            raise EvidenceMalformedError(what=what, detail="not PEM")
        try:
            ders.append(base64.b64decode(block[len(_BEGIN) :].replace(b"\n", b""), validate=True))
        except ValueError as exc:
            raise EvidenceMalformedError(what=what, detail="PEM without base64") from exc
    if text != b"".join(_to_pem(der) for der in ders):
        raise EvidenceMalformedError(what=what, detail="not PEM in its canonical spelling")
    return ders


def _to_pem(der: bytes) -> bytes:
    body = base64.b64encode(der)
    lines = [body[at : at + _PEM_LINE] for at in range(0, len(body), _PEM_LINE)]
    return _BEGIN + b"\n".join(lines) + b"\n" + _END


def _signed_object(der: bytes, what: str, *, algorithm_at: int) -> list[Element]:
    """The members of what is signed, with what must hold before the library parses.

    There it would only warn, or take two spellings: both algorithm fields are ECDSA with
    SHA-256 without parameters (RFC 5758, 3.2), and the signature fills its last byte.
    """
    outer = sequence(der, what=what)
    inner = elements(outer[0].value, what=what) if outer and outer[0].tag == SEQUENCE else []
    if (
        [item.tag for item in outer] != [SEQUENCE, SEQUENCE, BIT_STRING]
        or len(inner) < algorithm_at + _AFTER_ALGORITHM
        or not outer[1].raw == inner[algorithm_at].raw == _ECDSA_SHA256
        or outer[2].value[:1] != b"\0"
    ):
        raise EvidenceMalformedError(what=what, detail="not signed by ECDSA with SHA-256")
    return inner


def _is_positive(element: Element) -> bool:
    value = element.value
    return element.tag == INTEGER and any(value) and not value[0] & 0x80


def _common_name(name: bytes, what: str) -> str:
    """The only common name in a Name, which is a sequence of sets of one pair (X.501)."""
    found = []
    for relative in sequence(name, what=what):
        pair = sequence(relative.value, what=what)
        if len(pair) == 2 and pair[0].raw == _COMMON_NAME:  # noqa: PLR2004 - a pair
            found.append(pair[1].value)
    return (
        found[0].decode("ascii", "replace") if len(found) == 1 else "a certificate without a name"
    )


@lru_cache(maxsize=_CACHE)
def _load_certificate(der: bytes) -> Certificate:
    """One X.509 v3 certificate with an ECDSA P-256 key; no signature is verified."""
    what = "certificate"
    inner = _signed_object(der, what, algorithm_at=2)
    # RFC 5280, 4.1: version, serial number, algorithm, issuer, validity, subject, key, ...
    if inner[0].raw != _X509_V3 or not _is_positive(inner[1]):
        raise EvidenceMalformedError(
            what=what, detail="not version 3 with a positive serial number"
        )
    try:
        return _read_certificate(der, issuer=inner[3].raw, subject=inner[5].raw)
    except _PARSE_ERRORS as exc:
        raise EvidenceMalformedError(what=what, detail=_reason(exc)) from exc


def _reason(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


def _read_certificate(der: bytes, *, issuer: bytes, subject: bytes) -> Certificate:
    """Raises ``ValueError`` and its like: the caller translates."""
    parsed = x509.load_der_x509_certificate(der)
    for extension in parsed.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            message = f"critical extension {extension.oid.dotted_string} is not understood"
            raise ValueError(message)
    found = {extension.oid: extension.value for extension in parsed.extensions}
    constraints = found.get(ExtensionOID.BASIC_CONSTRAINTS)
    usage = found.get(ExtensionOID.KEY_USAGE)
    if not isinstance(constraints, x509.BasicConstraints) or not isinstance(usage, x509.KeyUsage):
        message = "basic constraints or key usage are missing"
        raise ValueError(message)  # noqa: TRY004 - a fault of the bytes
    pck = found.get(PCK_EXTENSION)
    return Certificate(
        what=_common_name(subject, "certificate"),
        digest=sha256(der),
        subject=subject,
        issuer=issuer,
        serial=parsed.serial_number,
        key=_p256(parsed.public_key()),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        is_ca=constraints.ca,
        path_length=constraints.path_length,
        signs_certificates=usage.key_cert_sign,
        signs_lists=usage.crl_sign,
        signs_data=usage.digital_signature,
        tbs=parsed.tbs_certificate_bytes,
        signature=parsed.signature,
        pck_extension=pck.value if isinstance(pck, x509.UnrecognizedExtension) else None,
    )


def _p256(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        message = "its key is not on P-256"
        raise ValueError(message)  # noqa: TRY004 - a fault of the bytes
    return key


@lru_cache(maxsize=_CACHE)
def load_revocation_list(der: bytes, issuer: Certificate) -> RevocationList:
    """The list in ``der``, if ``issuer`` signed it; its period is *not* checked.

    Raises ``EvidenceMalformedError`` or ``EvidenceSignatureError``.
    """
    what = f"revocation list of {issuer.what}"
    # RFC 5280, 5.1: version, algorithm, issuer, this update, next update, ...
    inner = _signed_object(der, what, algorithm_at=1)
    try:
        parsed = x509.load_der_x509_crl(der)
        for extension in parsed.extensions:
            if extension.critical:  # a delta or partitioned list is not the whole one
                message = f"critical extension {extension.oid.dotted_string} is not understood"
                raise ValueError(message)
        next_update = parsed.next_update_utc
        revoked = frozenset(item.serial_number for item in parsed)
        not_before, signature, tbs = (
            parsed.last_update_utc,
            parsed.signature,
            parsed.tbs_certlist_bytes,
        )
    except _PARSE_ERRORS as exc:
        raise EvidenceMalformedError(what=what, detail=_reason(exc)) from exc
    if next_update is None:
        raise EvidenceMalformedError(what=what, detail="it never expires")
    # RFC 5280, 6.3.3 (b) and (f): its issuer's name, key usage and signature.
    if inner[2].raw != issuer.subject or not issuer.signs_lists:
        raise EvidenceSignatureError(what=what, expected=issuer.what)
    try:
        issuer.key.verify(signature, tbs, _SIGNATURE_ALGORITHM)
    except InvalidSignature as exc:
        raise EvidenceSignatureError(what=what, expected=issuer.what) from exc
    return RevocationList(what, issuer.what, revoked, not_before, next_update)
