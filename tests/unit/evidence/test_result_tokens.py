# SPDX-License-Identifier: Apache-2.0
"""Signed attestation results: what anybody changes, or signs otherwise, is refused."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import canonical_json
from accord.errors import (
    AccordError,
    MalformedError,
    ResultClaimError,
    ResultHeaderError,
    SignatureInvalidError,
    TooLargeError,
)
from accord.evidence import (
    EAR,
    PRIVATE_CLAIMS,
    Submodule,
    Tier,
    sign_cwt,
    sign_jwt,
    verify_cwt,
    verify_jwt,
)
from accord.evidence._ear import base64url_decode, base64url_encode
from accord.identity import KeySigner

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SIGNER = KeySigner(Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
OTHER = KeySigner(Ed25519PrivateKey.from_private_bytes(b"\2" * 32))
KEY = SIGNER.verify_key


def ear(**changes: Any) -> EAR:
    fields: dict[str, Any] = {
        "issued_at": NOW,
        "build": "accord 1",
        "developer": "accord",
        "submodules": {"cpu": Submodule(Tier.AFFIRMING, {"hardware": 2}, "urn:x")},
        "nonce": b"n" * 32,
        "private": {PRIVATE_CLAIMS: {"variant": 0, "tcb": None}},
    }
    return EAR(**{**fields, **changes})


JWT, CWT = sign_jwt(ear(), SIGNER), sign_cwt(ear(), SIGNER)


def forged(header: Any, payload: Any = None, signer: KeySigner = SIGNER) -> str:
    """A JWT with any header, signed correctly."""
    claims = ear().to_json() if payload is None else payload
    signed = ".".join(base64url_encode(canonical_json(part)) for part in (header, claims))
    return f"{signed}.{base64url_encode(signer.sign(signed.encode()))}"


def cose(
    protected: Any, *, unprotected: Any = None, signer: KeySigner = SIGNER, tag: int = 18
) -> bytes:
    """A COSE_Sign1 with any header, signed correctly."""
    header = protected if isinstance(protected, bytes) else cbor2.dumps(protected, canonical=True)
    payload = ear().to_cbor()
    signature = signer.sign(cbor2.dumps(["Signature1", header, b"", payload]))
    return cbor2.dumps(cbor2.CBORTag(tag, [header, unprotected or {}, payload, signature]))


KID = bytes.fromhex(KEY.key_id.removeprefix("sha256:"))
GOOD_JWT = {"alg": "EdDSA", "kid": KEY.key_id, "typ": "eat+jwt"}
GOOD_CWT = {1: -8, 4: KID, 16: "application/eat+cwt"}


def test_a_signed_result_is_read_back() -> None:
    """All of it, from either kind of token."""
    assert verify_jwt(JWT, key=KEY, now=NOW, nonce=b"n" * 32) == ear()
    assert verify_cwt(CWT, key=KEY, now=NOW, nonce=b"n" * 32) == ear()
    assert forged(GOOD_JWT) == JWT
    assert cose(GOOD_CWT) == CWT


@pytest.mark.parametrize(
    "header",
    [
        {**GOOD_JWT, "alg": "none"},
        {**GOOD_JWT, "alg": "HS256"},
        {**GOOD_JWT, "alg": "ES256"},
        {**GOOD_JWT, "alg": "eddsa"},
        {**GOOD_JWT, "alg": None},
        {**GOOD_JWT, "typ": "JWT"},
        {**GOOD_JWT, "kid": OTHER.key_id},
        {**GOOD_JWT, "kid": 1},
    ],
    ids=lambda header: json.dumps(header)[-70:],
)
def test_a_header_cannot_choose_how_it_is_verified(header: Any) -> None:
    """Even under the right signature: another algorithm, type or key is refused."""
    with pytest.raises(ResultHeaderError):
        verify_jwt(forged(header), key=KEY, now=NOW)


@pytest.mark.parametrize(
    "header",
    [
        {**GOOD_JWT, "crit": ["b64"], "b64": False},
        {**GOOD_JWT, "jwk": {"kty": "OKP"}},
        {**GOOD_JWT, "x5u": "https://example.com"},
        {"alg": "EdDSA", "typ": "eat+jwt"},
        ["EdDSA"],
    ],
    ids=range(5),
)
def test_a_header_with_more_or_less_is_refused(header: Any) -> None:
    """Extensions and keys that a token brings along are not looked at: it is refused."""
    with pytest.raises(MalformedError):
        verify_jwt(forged(header), key=KEY, now=NOW)


def test_an_unsigned_token_is_refused() -> None:
    """The oldest attack on JWT: no algorithm and no signature."""
    header = base64url_encode(b'{"alg":"none","typ":"eat+jwt"}')
    payload = base64url_encode(canonical_json(ear().to_json()))
    for token in (f"{header}.{payload}.", f"{JWT.rpartition('.')[0]}."):
        with pytest.raises(AccordError):
            verify_jwt(token, key=KEY, now=NOW)


def test_the_public_key_is_no_shared_secret() -> None:
    """The second oldest: HMAC with the verifier's public key."""
    header = base64url_encode(canonical_json({**GOOD_JWT, "alg": "HS256"}))
    signed = f"{header}.{base64url_encode(canonical_json(ear().to_json()))}"
    mac = hmac.new(KEY.raw, signed.encode(), hashlib.sha256).digest()
    with pytest.raises(ResultHeaderError):
        verify_jwt(f"{signed}.{base64url_encode(mac)}", key=KEY, now=NOW)


def test_a_signature_by_another_key_is_refused() -> None:
    """Also where the header names ours."""
    with pytest.raises(SignatureInvalidError):
        verify_jwt(forged(GOOD_JWT, signer=OTHER), key=KEY, now=NOW)
    with pytest.raises(SignatureInvalidError):
        verify_cwt(cose(GOOD_CWT, signer=OTHER), key=KEY, now=NOW)


def test_a_token_of_another_verifier_is_refused() -> None:
    """It is genuine, but its verifier is not the one that is trusted."""
    with pytest.raises(ResultHeaderError):
        verify_jwt(sign_jwt(ear(), OTHER), key=KEY, now=NOW)
    with pytest.raises(ResultHeaderError):
        verify_cwt(sign_cwt(ear(), OTHER), key=KEY, now=NOW)


def test_another_kind_of_signature_is_refused() -> None:
    """An ECDSA signature under an EdDSA header does not verify."""
    signed = JWT.rpartition(".")[0]
    key = ec.derive_private_key(7, ec.SECP256R1())
    for signature in (key.sign(signed.encode(), ec.ECDSA(SHA256())), b"", b"\0" * 64, b"\0" * 63):
        with pytest.raises(SignatureInvalidError):
            verify_jwt(f"{signed}.{base64url_encode(signature)}", key=KEY, now=NOW)


@pytest.mark.parametrize("token", ["", ".", "a.b.c.d", "..", "a.b", "é.é.é", JWT + ".", JWT + "="])
def test_what_is_no_jwt_is_refused(token: str) -> None:
    """Three parts in base64url, in their only spelling."""
    with pytest.raises(AccordError):
        verify_jwt(token, key=KEY, now=NOW)


def test_a_huge_token_is_not_read() -> None:
    """A limit comes before any work."""
    with pytest.raises(TooLargeError):
        verify_jwt("a" * (2 << 20), key=KEY, now=NOW)
    with pytest.raises(TooLargeError):
        verify_cwt(b"a" * (2 << 20), key=KEY, now=NOW)


def test_a_payload_with_a_key_twice_is_refused() -> None:
    """Two readers could see two results, even of a verifier that signs such a thing."""
    text = canonical_json(ear().to_json()).replace(b'{"accord', b'{"iat":1,"accord', 1)
    signed = f"{base64url_encode(canonical_json(GOOD_JWT))}.{base64url_encode(text)}"
    token = f"{signed}.{base64url_encode(SIGNER.sign(signed.encode()))}"
    with pytest.raises(MalformedError, match="appears twice"):
        verify_jwt(token, key=KEY, now=NOW)


@pytest.mark.parametrize(
    "protected",
    [
        {**GOOD_CWT, 1: -7},
        {**GOOD_CWT, 1: 5},
        {**GOOD_CWT, 1: -8.0},
        {**GOOD_CWT, 4: b"kid"},
        {**GOOD_CWT, 16: "application/cwt"},
        {**GOOD_CWT, 2: [4]},
        {4: KID, 16: "application/eat+cwt"},
        {1: -8, 16: "application/eat+cwt"},
        {},
        [],
        b"",
        b"\xff",
        cbor2.dumps(dict(reversed(GOOD_CWT.items()))),
    ],
    ids=range(13),
)
def test_a_cose_header_cannot_choose_how_it_is_verified(protected: Any) -> None:
    """Another algorithm, key or type, more, less or another spelling is refused."""
    with pytest.raises((ResultHeaderError, MalformedError)):
        verify_cwt(cose(protected), key=KEY, now=NOW)


def test_nothing_may_stand_outside_the_signature() -> None:
    """An unprotected header could be changed by anybody."""
    with pytest.raises(ResultHeaderError, match="unprotected"):
        verify_cwt(cose(GOOD_CWT, unprotected={4: KID}), key=KEY, now=NOW)


@pytest.mark.parametrize(
    "token",
    [
        b"",
        cbor2.dumps(1),
        cose(GOOD_CWT, tag=17),
        cose(GOOD_CWT)[1:],
        cose(GOOD_CWT) + b"\0",
        cbor2.dumps(cbor2.CBORTag(18, [])),
        cbor2.dumps(cbor2.CBORTag(18, [b"", {}, None, b""])),
        cbor2.dumps(cbor2.CBORTag(18, [b"", {}, b"", b"", b""])),
        cbor2.dumps(cbor2.CBORTag(61, cbor2.loads(CWT))),
    ],
    ids=range(9),
)
def test_what_is_no_cwt_is_refused(token: bytes) -> None:
    """One COSE_Sign1 under tag 18, with its payload inside."""
    with pytest.raises(MalformedError):
        verify_cwt(token, key=KEY, now=NOW)


@pytest.mark.parametrize("kind", ["jwt", "cwt"])
@pytest.mark.parametrize(
    ("changes", "arguments", "match"),
    [
        ({"expires": NOW - timedelta(seconds=1)}, {}, "expiry"),
        ({"issued_at": NOW + timedelta(seconds=61)}, {}, "time"),
        ({"issuer": "other"}, {"issuer": "verifier"}, "issuer"),
        ({"issuer": "other"}, {}, "issuer"),
        ({}, {"issuer": "verifier"}, "issuer"),
        ({"nonce": b"m" * 32}, {"nonce": b"n" * 32}, "nonce"),
        ({"nonce": None}, {"nonce": b"n" * 32}, "nonce"),
    ],
)
def test_a_result_of_another_time_issuer_or_request_is_refused(
    kind: str, changes: Any, arguments: Any, match: str
) -> None:
    """Genuine, and yet not an answer."""
    token = ear(**changes)

    def verify() -> EAR:
        if kind == "jwt":
            return verify_jwt(sign_jwt(token, SIGNER), key=KEY, now=NOW, **arguments)
        return verify_cwt(sign_cwt(token, SIGNER), key=KEY, now=NOW, **arguments)

    with pytest.raises(ResultClaimError, match=match):
        verify()


def test_a_result_that_is_just_in_time_is_accepted() -> None:
    """At its last second, from a clock a little ahead, of the issuer that is expected."""
    late = ear(expires=NOW, issuer="verifier", issued_at=NOW + timedelta(seconds=60))

    assert verify_jwt(sign_jwt(late, SIGNER), key=KEY, now=NOW, issuer="verifier") == late
    assert verify_cwt(sign_cwt(late, SIGNER), key=KEY, now=NOW, issuer="verifier") == late


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_token_is_accepted(data: st.DataObject) -> None:
    """Whatever is flipped, wherever: refused, by an error of the catalogue."""
    if data.draw(st.booleans()):
        text = list(JWT)
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] = data.draw(st.sampled_from("ABCabc019-_.=é").filter(lambda c: c != text[at]))
        with pytest.raises(AccordError):
            verify_jwt("".join(text), key=KEY, now=NOW)
    else:
        damaged = bytearray(CWT)
        damaged[data.draw(st.integers(0, len(CWT) - 1))] ^= data.draw(st.integers(1, 255))
        with pytest.raises(AccordError):
            verify_cwt(bytes(damaged), key=KEY, now=NOW)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.text(max_size=80))
def test_no_input_makes_the_readers_fall_over(octets: bytes, text: str) -> None:
    """Only errors of the catalogue come out."""
    triple = ".".join(map(base64url_encode, (octets,) * 3))
    for token in (text, triple):
        with pytest.raises(AccordError):
            verify_jwt(token, key=KEY, now=NOW)
    with pytest.raises(AccordError):
        verify_cwt(octets, key=KEY, now=NOW)


def test_base64url_has_one_spelling() -> None:
    """Unused bits must be zero."""
    assert base64url_decode("AA", what="x") == b"\0"
    for text in ("AB", "A", "A A", "AA==", "+/", "AAA\n"):
        with pytest.raises(MalformedError):
            base64url_decode(text, what="x")
