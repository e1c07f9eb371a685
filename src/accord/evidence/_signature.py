# SPDX-License-Identifier: Apache-2.0
"""Signatures of the vendors' certificates, lists and reports, by their X.509 algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from accord.errors import EvidenceMalformedError, EvidenceSignatureError
from accord.evidence._der import INTEGER, SEQUENCE, dotted, elements, sequence

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

MIN_RSA_BITS = 2048

_HASHES: Mapping[str, hashes.HashAlgorithm] = MappingProxyType(
    {
        "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
        "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
        "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
    }
)
_ECDSA: Mapping[str, hashes.HashAlgorithm] = MappingProxyType(
    {
        "1.2.840.10045.4.3.2": hashes.SHA256(),
        "1.2.840.10045.4.3.3": hashes.SHA384(),
        "1.2.840.10045.4.3.4": hashes.SHA512(),
    }
)
_RSA_PKCS1: Mapping[str, hashes.HashAlgorithm] = MappingProxyType(
    {
        "1.2.840.113549.1.1.11": hashes.SHA256(),
        "1.2.840.113549.1.1.12": hashes.SHA384(),
        "1.2.840.113549.1.1.13": hashes.SHA512(),
    }
)
_RSA_PSS = "1.2.840.113549.1.1.10"
_MGF1 = "1.2.840.113549.1.1.8"
_PSS_HASH, _PSS_MGF, _PSS_SALT, _PSS_TRAILER = 0xA0, 0xA1, 0xA2, 0xA3


def verify_signature(
    key: PublicKey, algorithm: bytes, signature: bytes, message: bytes, *, what: str, by: str
) -> None:
    """The signature of ``message`` by an AlgorithmIdentifier of RFC 5280 (DER).

    ECDSA with SHA-2, RSA PKCS #1 v1.5 with SHA-2, RSA-PSS with SHA-2 and MGF1 of the same
    hash; SHA-1 and short RSA keys are refused. Raises ``EvidenceSignatureError`` or
    ``EvidenceMalformedError``.
    """
    parts = sequence(algorithm, what=what)
    oid = dotted(parts[0].value) if parts else ""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and oid in _ECDSA:
            key.verify(signature, message, ec.ECDSA(_ECDSA[oid]))
            return
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
            if oid in _RSA_PKCS1:
                key.verify(signature, message, padding.PKCS1v15(), _RSA_PKCS1[oid])
                return
            if oid == _RSA_PSS and len(parts) == 2:  # noqa: PLR2004 - with parameters
                salt, digest = _pss_parameters(parts[1].raw, what)
                key.verify(signature, message, padding.PSS(padding.MGF1(digest), salt), digest)
                return
    except InvalidSignature as exc:
        raise EvidenceSignatureError(what=what, expected=by) from exc
    raise EvidenceMalformedError(
        what=what, detail=f"signature algorithm {oid or 'none'} is not supported for its key"
    )


def verify_raw_ecdsa(
    key: ec.EllipticCurvePublicKey,
    signature: bytes,
    message: bytes,
    digest: hashes.HashAlgorithm,
    *,
    what: str,
    by: str,
) -> None:
    """A signature ``r || s`` of equal halves, big-endian. Raises ``EvidenceSignatureError``."""
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
    except InvalidSignature as exc:
        raise EvidenceSignatureError(what=what, expected=by) from exc


def _pss_parameters(data: bytes, what: str) -> tuple[int, hashes.HashAlgorithm]:
    """Salt length and hash (RFC 4055, 3.1); the defaults are SHA-1, which is not supported."""
    found = {item.tag: item.value for item in sequence(data, what=what)}
    digest = _hash(found.get(_PSS_HASH, b""), what)
    mgf = elements(found.get(_PSS_MGF, b""), what=what)
    inner = elements(mgf[0].value, what=what) if len(mgf) == 1 and mgf[0].tag == SEQUENCE else []
    salt = elements(found.get(_PSS_SALT, b""), what=what)
    if (
        len(inner) != 2  # noqa: PLR2004 - function and its hash
        or dotted(inner[0].value) != _MGF1
        or _hash(inner[1].raw, what).name != digest.name
        or len(salt) != 1
        or salt[0].tag != INTEGER
        or found.keys() - {_PSS_HASH, _PSS_MGF, _PSS_SALT, _PSS_TRAILER}
        or found.get(_PSS_TRAILER, b"\x02\x01\x01") != b"\x02\x01\x01"
    ):
        raise EvidenceMalformedError(what=what, detail="its RSA-PSS parameters are not supported")
    length = int.from_bytes(salt[0].value, "big", signed=True)
    if not 0 <= length <= digest.digest_size:
        raise EvidenceMalformedError(what=what, detail="its RSA-PSS salt is not supported")
    return length, digest


def _hash(data: bytes, what: str) -> hashes.HashAlgorithm:
    """The hash of an AlgorithmIdentifier, in any of its two spellings (no parameters, or NULL)."""
    outer = elements(data, what=what)
    parts = elements(outer[0].value, what=what) if len(outer) == 1 else []
    found = _HASHES.get(dotted(parts[0].value)) if parts else None
    if found is None:
        raise EvidenceMalformedError(what=what, detail="its RSA-PSS hash is not supported")
    return found
