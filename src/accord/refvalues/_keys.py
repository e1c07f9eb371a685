# SPDX-License-Identifier: Apache-2.0
"""Public keys: of those who sign manifests, and of devices that manifests vouch for."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from accord.encoding import sha256
from accord.errors import MalformedError, ManifestSignatureError

_PEM = b"-----BEGIN"

# COSE algorithms (RFC 9053, 2) by curve: number, hash, bytes of r and of s.
_CURVES = {
    "secp256r1": (-7, SHA256(), 32),
    "secp384r1": (-35, SHA384(), 48),
    "secp521r1": (-36, SHA512(), 66),
}
_EDDSA = -8

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def load_public_key(data: bytes, *, what: str) -> PublicKey:
    """A public key in PEM or DER (SubjectPublicKeyInfo). Raises ``MalformedError``."""
    try:
        load = load_pem_public_key if data.lstrip().startswith(_PEM) else load_der_public_key
        key = load(data)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise MalformedError(what=what, detail="no public key in PEM or DER") from exc
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    raise MalformedError(what=what, detail="neither Ed25519, P-256, P-384 nor P-521")


def spki_of(key: PublicKey) -> bytes:
    """Its DER SubjectPublicKeyInfo: the digest of this is an anchor."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class SignerKey:
    """The key of whoever signs manifests, and the only algorithm that it signs with."""

    key: PublicKey
    algorithm: int

    @classmethod
    def load(cls, data: bytes) -> SignerKey:
        """Raises ``MalformedError``."""
        key = load_public_key(data, what="key of the signer")
        if isinstance(key, ec.EllipticCurvePublicKey):
            return cls(key, _CURVES[key.curve.name][0])
        return cls(key, _EDDSA)

    @property
    def spki(self) -> bytes:
        return spki_of(self.key)

    def verify(self, signature: bytes, message: bytes) -> None:
        """A COSE signature (RFC 9053, 2). Raises ``ManifestSignatureError``."""
        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                _, digest, half = _CURVES[self.key.curve.name]
                # r || s, each as long as the curve: other lengths are a second spelling.
                halves = signature[:half], signature[half:]
                r, s = (int.from_bytes(part, "big") for part in halves)
                encoded = encode_dss_signature(r, s) if len(signature) == 2 * half else b""
                self.key.verify(encoded, message, ec.ECDSA(digest))
            else:
                self.key.verify(signature, message)
        except InvalidSignature as exc:
            raise ManifestSignatureError(expected=sha256(self.spki)) from exc
