# SPDX-License-Identifier: Apache-2.0
"""Signed attestation results: JWT (RFC 7519) and CWT (RFC 8392), Ed25519 only.

Whoever verifies brings the key. The header of a token is compared with what it must be, and
never chooses anything.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import cbor2

from accord.encoding import Fields, Tagged, canonical_json, decode_cbor, parse_json
from accord.errors import MalformedError, ResultClaimError, ResultHeaderError, TooLargeError
from accord.evidence._ear import EAR, base64url_decode, base64url_encode
from accord.evidence._result import PRIVATE_CLAIMS
from accord.identity import Signer, VerifyKey

MAX_TOKEN_BYTES = 1 << 20
"""Largest token that is looked at."""

MAX_SKEW = timedelta(seconds=60)
"""So far ahead of ours a verifier's clock may be."""

_JWT_ALGORITHM, _JWT_TYPE = "EdDSA", "eat+jwt"  # RFC 8037, 3.1; RFC 9782
_CWT_ALGORITHM, _CWT_TYPE = -8, "application/eat+cwt"  # RFC 9053, 2.2; RFC 9782
_ALG, _KID, _TYP = 1, 4, 16  # RFC 9052, 3.1; RFC 9596
_COSE_SIGN1 = 18
_WHAT = "attestation result"


def sign_jwt(ear: EAR, signer: Signer) -> str:
    """``ear`` as a JWT in compact form (RFC 7515, 7.1)."""
    header = {"alg": _JWT_ALGORITHM, "kid": signer.key_id, "typ": _JWT_TYPE}
    signed = ".".join(base64url_encode(canonical_json(part)) for part in (header, ear.to_json()))
    return f"{signed}.{base64url_encode(signer.sign(signed.encode()))}"


def verify_jwt(
    token: str,
    *,
    key: VerifyKey,
    now: datetime,
    issuer: str | None = None,
    nonce: bytes | None = None,
) -> EAR:
    """The result in ``token``, signed by ``key``, valid at ``now``, of ``issuer``.

    ``issuer`` None means that the token must name none. ``nonce`` is compared where it is
    given; that it is fresh, and whether the *status* suffices, is the caller's to check.

    Raises ``TooLargeError``, ``MalformedError``, ``UnsupportedFormatError``,
    ``ResultHeaderError``, ``SignatureInvalidError`` or ``ResultClaimError``.
    """
    # (1) Three parts, of a bearable size.
    if len(token) > MAX_TOKEN_BYTES:
        raise TooLargeError(what=_WHAT, limit=MAX_TOKEN_BYTES)
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515, 7.1
        raise MalformedError(what=_WHAT, detail="a JWT has three parts")
    header, payload, signature = (base64url_decode(part, what=_WHAT) for part in parts)
    # (2) The header is exactly ours: no other algorithm, no key, no extension.
    fields = Fields(parse_json(header, what="header"), "header")
    _expect("alg", fields.take("alg"), _JWT_ALGORITHM)
    _expect("typ", fields.take("typ"), _JWT_TYPE)
    _expect("kid", fields.take("kid"), key.key_id)
    fields.end()
    # (3) The signature is over the very text that came.
    key.verify(signature, token.rpartition(".")[0].encode(), what=_WHAT)
    # (4) What it says.
    ear = EAR.from_json(parse_json(payload, what=_WHAT), private=[PRIVATE_CLAIMS])
    return _current(ear, now=now, issuer=issuer, nonce=nonce)


def sign_cwt(ear: EAR, signer: Signer) -> bytes:
    """``ear`` as a CWT: COSE_Sign1 under tag 18 (RFC 9052, 4.2)."""
    protected, payload = _protected(signer.key_id), ear.to_cbor()
    signature = signer.sign(_to_be_signed(protected, payload))
    return cbor2.dumps(cbor2.CBORTag(_COSE_SIGN1, [protected, {}, payload, signature]))


def verify_cwt(
    token: bytes,
    *,
    key: VerifyKey,
    now: datetime,
    issuer: str | None = None,
    nonce: bytes | None = None,
) -> EAR:
    """The result in ``token``, as `verify_jwt` does for a JWT, with the same errors."""
    # (1) One COSE_Sign1 under its tag, with nothing unprotected.
    value = decode_cbor(token, what=_WHAT, limit=MAX_TOKEN_BYTES)
    if not isinstance(value, Tagged) or value.tag != _COSE_SIGN1:
        raise MalformedError(what=_WHAT, detail="expected a COSE_Sign1 under tag 18")
    match value.value:
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            pass
        case _:
            raise MalformedError(what=_WHAT, detail="expected a COSE_Sign1 of four items")
    if unprotected:
        raise ResultHeaderError(field="unprotected", actual="parameters", expected="none")
    # (2) The header is exactly ours.
    found = decode_cbor(protected, what="header")
    if not isinstance(found, dict):
        raise MalformedError(what="header", detail="expected a map")
    _expect("alg", found.get(_ALG), _CWT_ALGORITHM)
    _expect("typ", found.get(_TYP), _CWT_TYPE)
    _expect("kid", _hex(found.get(_KID)), _hex(_key_octets(key.key_id)))
    if protected != _protected(key.key_id):
        raise ResultHeaderError(
            field="protected", actual="more parameters", expected="alg, kid, typ"
        )
    # (3) The signature is over the very bytes that came.
    key.verify(signature, _to_be_signed(protected, payload), what=_WHAT)
    # (4) What it says.
    ear = EAR.from_cbor(payload, private=[PRIVATE_CLAIMS])
    return _current(ear, now=now, issuer=issuer, nonce=nonce)


def _protected(key_id: str) -> bytes:
    header = {_ALG: _CWT_ALGORITHM, _KID: _key_octets(key_id), _TYP: _CWT_TYPE}
    return cbor2.dumps(header, canonical=True)


def _key_octets(key_id: str) -> bytes:
    return bytes.fromhex(key_id.removeprefix("sha256:"))


def _hex(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052, 4.4."""
    return cbor2.dumps(["Signature1", protected, b"", payload])


def _expect(field: str, actual: object, expected: object) -> None:
    if type(actual) is not type(expected) or actual != expected:
        raise ResultHeaderError(field=field, actual=actual, expected=expected)


def _current(ear: EAR, *, now: datetime, issuer: str | None, nonce: bytes | None) -> EAR:
    # (5) It is of this issuer, time and request.
    if ear.issuer != issuer:
        raise ResultClaimError(field="issuer", actual=ear.issuer, expected=issuer)
    if ear.issued_at > now + MAX_SKEW:
        raise ResultClaimError(field="time", actual=ear.issued_at, expected=f"{now} or before")
    if ear.expires is not None and now > ear.expires:
        raise ResultClaimError(field="expiry", actual=ear.expires, expected=f"{now} or later")
    if nonce is not None and ear.nonce != nonce:
        actual = "absent" if ear.nonce is None else ear.nonce.hex()
        raise ResultClaimError(field="nonce", actual=actual, expected=nonce.hex())
    return ear
