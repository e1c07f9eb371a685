# SPDX-License-Identifier: Apache-2.0
"""CBOR and COSE: what is read, and every way of writing it that is refused."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import EvidenceMalformedError, EvidenceSignatureError
from accord.evidence._cose import (
    Sign1,
    algorithm_of,
    load_cose_key,
    load_raw_point,
    parse_sign1,
    verify_sign1,
)
from accord.testing._cose import cose_key, raw_point, sign1

KEYS = {
    "ES256": ec.derive_private_key(11, ec.SECP256R1()),
    "ES384": ec.derive_private_key(12, ec.SECP384R1()),
    "ES512": ec.derive_private_key(13, ec.SECP521R1()),
}
KEY = KEYS["ES256"]
TAGS = frozenset({18})
ALL_TAGS = frozenset({18, None})


def parsed(data: bytes, tags: frozenset[int | None] = TAGS) -> Sign1:
    return parse_sign1(data, what="token", tags=tags)


def verified(data: bytes, key: Any = KEY, **options: bool) -> None:
    verify_sign1(parsed(data), key.public_key(), what="token", by="its key", **options)


@pytest.mark.parametrize("name", KEYS)
def test_signatures_of_every_algorithm_verify(name: str) -> None:
    """ES256, ES384 and ES512, each with the curve that belongs to it."""
    verified(sign1(KEYS[name], b"payload"), KEYS[name])


def test_a_web_token_tag_is_looked_through() -> None:
    """61(18(...)) is the same message (RFC 8392, 6)."""
    message = b"\xd8\x3d" + sign1(KEY, b"payload")

    assert parsed(message).payload == b"payload"


def test_an_untagged_message_is_read_where_it_may_be() -> None:
    """Nitro documents come without a tag, PSA tokens never do."""
    message = sign1(KEY, b"payload", tag=None)

    assert parsed(message, ALL_TAGS).payload == b"payload"
    with pytest.raises(EvidenceMalformedError, match="expected tag 18"):
        parsed(message)


def test_a_message_authentication_code_is_refused() -> None:
    """COSE_Mac0: whoever can check it can forge it."""
    with pytest.raises(EvidenceMalformedError, match="COSE_Mac0"):
        parsed(sign1(KEY, b"payload", tag=17))


def test_an_algorithm_of_another_curve_is_refused() -> None:
    """The key decides with what it signs."""
    with pytest.raises(EvidenceMalformedError, match="ES384 is not that of the key"):
        verified(sign1(KEY, b"payload", header={1: -35}))


@pytest.mark.parametrize("number", [-8, -37, -257, 5, 0])
def test_an_unknown_algorithm_is_refused(number: int) -> None:
    """EdDSA, RSA and MACs are nobody's here."""
    with pytest.raises(EvidenceMalformedError, match="not supported"):
        verified(sign1(KEY, b"payload", header={1: number}))


def test_an_rsa_key_has_no_algorithm() -> None:
    """Its certificate may be fine; no profile has such signatures."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    assert algorithm_of(key.public_key()) is None
    with pytest.raises(EvidenceMalformedError, match="not that of the key"):
        verified(sign1(KEY, b"payload"), key)
    with pytest.raises(EvidenceMalformedError, match="none is not supported"):
        verified(sign1(KEY, b"payload", header={}), key, algorithm_implied=True)


def test_an_empty_header_is_only_accepted_where_asked_for() -> None:
    """Then the key's one algorithm counts; a header with other labels is not empty."""
    message = sign1(KEY, b"payload", header={})

    verified(message, algorithm_implied=True)
    with pytest.raises(EvidenceMalformedError, match="none is not supported"):
        verified(message)
    with pytest.raises(EvidenceMalformedError, match="none is not supported"):
        verified(sign1(KEY, b"payload", header={4: b"kid"}), algorithm_implied=True)


def test_an_unprotected_algorithm_counts_for_nothing() -> None:
    """Nobody signs the unprotected header."""
    protected, _, payload, signature = cbor2.loads(sign1(KEY, b"payload", header={})).value
    message = cbor2.CBORTag(18, [protected, {1: -7}, payload, signature])

    with pytest.raises(EvidenceMalformedError, match="none is not supported"):
        verified(cbor2.dumps(message))


def altered(index: int, value: object) -> bytes:
    """A good message with one of its four parts replaced."""
    parts = list(cbor2.loads(sign1(KEY, b"payload")).value)
    parts[index] = value
    return cbor2.dumps(cbor2.CBORTag(18, parts))


@pytest.mark.parametrize(
    ("index", "value", "detail"),
    [
        (0, {}, "not a COSE_Sign1 with"),
        (0, b"\x80", "protected header is not a map"),
        (0, b"\xff", "CBOR"),
        (0, cbor2.dumps({1: -7, 2: [4]}), "critical header"),
        (0, cbor2.dumps({1: "ES256"}), "algorithm is not a number"),
        (0, cbor2.dumps({1: True}), "algorithm is not a number"),
        (1, [], "not a COSE_Sign1 with"),
        (1, {1: -7}, "contradict"),
        (1, {2: [4]}, "contradict"),
        (2, None, "not a COSE_Sign1 with"),
        (3, "text", "not a COSE_Sign1 with"),
        (3, bytes(63), "wrong size"),
        (3, bytes(65), "wrong size"),
    ],
)
def test_malformed_messages_are_refused(index: int, value: object, detail: str) -> None:
    """Each part has one type, and headers do not contradict each other."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        verified(altered(index, value))


@pytest.mark.parametrize("data", [b"\xd2\x83\x40\xa0\x40", b"\xd2\x00", b"\xd2\xd2\x00", b"\x00"])
def test_other_shapes_are_refused(data: bytes) -> None:
    """Three parts, a number, a tag in a tag, no tag."""
    with pytest.raises(EvidenceMalformedError):
        parsed(data)


SIGNED = sign1(KEY, b"a payload of some bytes")
UNPROTECTED = SIGNED.index(b"\xa0")


@given(
    st.integers(0, len(SIGNED) - 1).filter(lambda position: position != UNPROTECTED),
    st.integers(1, 255),
)
def test_a_mutated_message_is_refused(position: int, flip: int) -> None:
    """Every byte but the one of the empty unprotected header."""
    data = bytearray(SIGNED)
    data[position] ^= flip

    with pytest.raises((EvidenceMalformedError, EvidenceSignatureError)):
        verified(bytes(data))


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_read_in_both_encodings(name: str) -> None:
    """As a point, and as a COSE key."""
    key = KEYS[name]

    assert load_raw_point(raw_point(key), what="key") == key.public_key()
    assert load_cose_key(cose_key(key), what="key") == key.public_key()


@pytest.mark.parametrize("data", [b"", b"\x04", raw_point(KEY)[:-1], b"\x02" + raw_point(KEY)[1:]])
def test_other_points_are_refused(data: bytes) -> None:
    """Cut, or compressed."""
    with pytest.raises(EvidenceMalformedError, match="not an uncompressed point"):
        load_raw_point(data, what="key")


def test_a_point_off_its_curve_is_refused() -> None:
    """Its coordinates fit, and it is not there."""
    with pytest.raises(EvidenceMalformedError, match="not on its curve"):
        load_raw_point(raw_point(KEY)[:-1] + bytes([raw_point(KEY)[-1] ^ 1]), what="key")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({1: 1}, "not a COSE key on an elliptic curve"),
        ({-1: 4}, "not supported"),
        ({-1: "P-256"}, "not supported"),
        ({-2: 1}, "not supported"),
        ({-3: True}, "not supported"),
        ({3: -35}, "algorithm is not that of its curve"),
        ({-2: bytes(31)}, "wrong size"),
        ({-2: bytes(32)}, "not on its curve"),
    ],
)
def test_other_cose_keys_are_refused(changes: dict[int, object], detail: str) -> None:
    """Another type, curve, algorithm, encoding, size, or no point at all."""
    data = cbor2.dumps({**cbor2.loads(cose_key(KEY)), **changes})

    with pytest.raises(EvidenceMalformedError, match=detail):
        load_cose_key(data, what="key")


def test_a_list_is_no_key() -> None:
    """It must be a map."""
    with pytest.raises(EvidenceMalformedError, match="not a COSE key"):
        load_cose_key(b"\x80", what="key")
