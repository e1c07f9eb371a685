# SPDX-License-Identifier: Apache-2.0
"""Encryption to a guest's key: JWE (RFC 7516) by a library, in the spelling that guests expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accord.encoding import Fields, JSONValue, canonical_json
from accord.errors import KBSMissingError, KBSUnsupportedError, MalformedError

_WHAT = "tee-pubkey"
_EC, _RSA = "ECDH-ES+A256KW", "RSA-OAEP-256"
_CURVES = ("P-256", "P-384", "P-521")
_EXPONENT = "AQAB"
_LEAST, _MOST = 342, 683
"""Characters of a modulus of 2048 and of 4096 bits."""

_CONTENT = "A256GCM"


@dataclass(frozen=True, slots=True)
class GuestKey:
    """The key that a guest has made for itself: on a NIST curve, or RSA."""

    document: JSONValue
    """As the guest spelt it, texts alone: evidence carries its hash."""

    algorithm: str
    jwk: Any
    """The library's reading of it."""

    @classmethod
    def from_json(cls, value: JSONValue) -> GuestKey:
        """A public key (RFC 7517), of the curve that it names.

        That anybody has the private key is *not* known. Raises ``MalformedError``,
        ``KBSUnsupportedError`` or ``KBSMissingError``.
        """
        fields = Fields(value, _WHAT)
        kind, algorithm = fields.text("kty", limit=16), fields.text("alg", limit=32)
        if (kind, algorithm) == ("EC", _EC):
            curve = fields.text("crv", limit=16)
            if curve not in _CURVES:
                raise KBSUnsupportedError(what="curve", found=curve, expected=", ".join(_CURVES))
            parts = {
                "crv": curve,
                "x": fields.text("x", limit=128),
                "y": fields.text("y", limit=128),
            }
        elif (kind, algorithm) == ("RSA", _RSA):
            parts = {"n": fields.text("n", limit=_MOST), "e": fields.text("e", limit=8)}
            # Others are slow to use, or weak.
            if len(parts["n"]) < _LEAST or parts["e"] != _EXPONENT:
                raise MalformedError(what=_WHAT, detail="expected 2048 to 4096 bits, and 65537")
        else:
            found = f"{kind} with {algorithm}"
            raise KBSUnsupportedError(what="key", found=found, expected=f"{_EC} or {_RSA}")
        fields.end()
        return cls(value, algorithm, _load({"kty": kind, **parts}))

    def encrypt(self, plaintext: bytes) -> JSONValue:
        """``plaintext`` for the holder of this key alone, in flattened JSON (RFC 7516, 7.2.2)."""
        _, jwe = _library()
        # Guests write the header anew, in this order and without spaces, to check its tag.
        header = canonical_json({"alg": self.algorithm, "enc": _CONTENT}).decode()
        message = jwe.JWE(plaintext=plaintext, protected=header, recipient=self.jwk)
        # Compact form has all parameters, also the ephemeral key, in the protected header.
        names = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
        return dict(zip(names, message.serialize(compact=True).split("."), strict=True))


def check_library() -> None:
    """Raises ``KBSMissingError`` where JWE cannot be written."""
    _library()


def _library() -> tuple[Any, Any]:
    try:
        from jwcrypto import jwe, jwk
    except ImportError as exc:
        raise KBSMissingError from exc
    return jwk, jwe


def _load(parts: dict[str, str]) -> Any:
    jwk, _ = _library()
    try:
        key = jwk.JWK(**parts)
        key.export_to_pem()  # The library looks at numbers when it needs them, and not before.
    except Exception as exc:  # the library lets errors of many kinds through
        raise MalformedError(what=_WHAT, detail="it is no public key") from exc
    return key
