# SPDX-License-Identifier: Apache-2.0
"""Private keys of secrets: made, read back, and written as PEM, DER or JWK."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ec import (
    generate_private_key as generate_ec_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    generate_private_key as generate_rsa_key,
)
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from accord.encoding import JSONValue, canonical_json
from accord.errors import MalformedError
from accord.policy import JWTAlgorithm, KeyAlgorithm

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

Algorithm = KeyAlgorithm | JWTAlgorithm
JWTPrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
JWTPublicKey = Ed25519PublicKey | EllipticCurvePublicKey

RSA_BITS = 3072

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)
"""What the parsers of ``cryptography`` raise; the last for an Ed25519 key of a wrong length."""

_CURVES: Mapping[Algorithm, EllipticCurve] = {
    KeyAlgorithm.P256: SECP256R1(),
    KeyAlgorithm.P384: SECP384R1(),
    JWTAlgorithm.ES256: SECP256R1(),
    JWTAlgorithm.ES384: SECP384R1(),
}
_JWK_CURVES = {
    "secp256r1": ("P-256", "ES256", 32),
    "secp384r1": ("P-384", "ES384", 48),
}


def new_key(algorithm: Algorithm | None) -> PrivateKey:
    """A new key from the operating system's randomness; P-256 unless something else is asked."""
    if algorithm in (KeyAlgorithm.ED25519, JWTAlgorithm.EDDSA):
        return Ed25519PrivateKey.generate()
    if algorithm is KeyAlgorithm.RSA_3072:
        return generate_rsa_key(public_exponent=65537, key_size=RSA_BITS)
    return generate_ec_key(_CURVES[algorithm or KeyAlgorithm.P256])


def is_of(key: PublicKey, algorithm: Algorithm) -> bool:
    """Whether ``key`` is one that `new_key` could have made for ``algorithm``."""
    if isinstance(key, EllipticCurvePublicKey):
        return algorithm in _CURVES and _CURVES[algorithm].name == key.curve.name
    if isinstance(key, RSAPublicKey):
        return algorithm is KeyAlgorithm.RSA_3072 and key.key_size == RSA_BITS
    return algorithm in (KeyAlgorithm.ED25519, JWTAlgorithm.EDDSA)


def private_der(key: PrivateKey) -> bytes:
    """PKCS #8 (RFC 5958), not encrypted."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_der(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_private(data: bytes, *, what: str) -> PrivateKey:
    """The key in ``data``. Raises ``MalformedError``, which holds nothing of the key."""
    try:
        key = load_der_private_key(data, None)
    except UNREADABLE:
        key = None
    if not isinstance(key, PrivateKey):
        # The reason is left out: a parser may quote what it read.
        raise MalformedError(what=what, detail="not a private key of a known kind")
    return key


def read_public(data: bytes, *, what: str) -> PublicKey:
    """The key in ``data``: Ed25519, P-256, P-384, or RSA of 3072 bits.

    Raises ``MalformedError``, also for a second spelling of the same key.
    """
    try:
        key = load_der_public_key(data)
    except UNREADABLE as exc:
        raise MalformedError(what=what, detail="not a public key of a known kind") from exc
    known = isinstance(key, PublicKey) and any(is_of(key, item) for item in KeyAlgorithm)
    if not isinstance(key, PublicKey) or not known or public_der(key) != data:
        raise MalformedError(what=what, detail="not a public key of a known kind")
    return key


def hash_for(key: PrivateKey) -> SHA256 | SHA384 | None:
    """The hash that a certificate signed by ``key`` is made with."""
    if isinstance(key, Ed25519PrivateKey):
        return None
    is_p384 = isinstance(key, EllipticCurvePrivateKey) and key.curve.name == "secp384r1"
    return SHA384() if is_p384 else SHA256()


def public_jwk(key: JWTPublicKey) -> bytes:
    """The public JWK (RFC 7517), with its thumbprint (RFC 7638) as ``kid``."""
    return canonical_json(_described(_required(key)))


def private_jwk(key: JWTPrivateKey) -> bytes:
    """The JWK with the private part ``d`` (RFC 7518, 6.2.2; RFC 8037, 2)."""
    document = _described(_required(key.public_key()))
    if isinstance(key, EllipticCurvePrivateKey):
        width = (key.curve.key_size + 7) // 8
        secret = key.private_numbers().private_value.to_bytes(width, "big")
    else:
        secret = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return canonical_json({**document, "d": _base64url(secret)})


def _required(key: JWTPublicKey) -> dict[str, JSONValue]:
    """The members that the thumbprint is about (RFC 7638, 3.2)."""
    if isinstance(key, EllipticCurvePublicKey):
        curve, _, width = _JWK_CURVES[key.curve.name]
        numbers = key.public_numbers()
        x, y = (_base64url(n.to_bytes(width, "big")) for n in (numbers.x, numbers.y))
        return {"crv": curve, "kty": "EC", "x": x, "y": y}
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}


def _described(required: dict[str, JSONValue]) -> dict[str, JSONValue]:
    algorithms = {curve: algorithm for curve, algorithm, _ in _JWK_CURVES.values()}
    thumbprint = hashlib.sha256(canonical_json(required)).digest()
    algorithm = algorithms.get(required["crv"], "EdDSA")
    return {**required, "alg": algorithm, "kid": _base64url(thumbprint), "use": "sig"}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
