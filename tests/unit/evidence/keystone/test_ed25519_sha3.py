# SPDX-License-Identifier: Apache-2.0
"""The curve arithmetic agrees with another library; only the hash differs from RFC 8032."""

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import EvidenceMalformedError, EvidenceSignatureError
from accord.evidence.keystone import _ed25519_sha3 as ours

SEEDS = st.binary(min_size=32, max_size=32)
FEW = settings(max_examples=40, deadline=None)


def verify(key: bytes, signature: bytes, message: bytes) -> None:
    """Ours, with the hash of RFC 8032."""
    ours.verify(key, signature, message, what="a", by="b", hash_function=hashlib.sha512)


@FEW
@given(seed=SEEDS, message=st.binary(max_size=200))
def test_with_sha_512_it_is_rfc_8032(seed: bytes, message: bytes) -> None:
    """Keys and signatures are those of another library, both ways."""
    theirs = Ed25519PrivateKey.from_private_bytes(seed)
    secret = ours.expand_seed(seed, hash_function=hashlib.sha512)
    key = ours.public_key(secret)
    signature = ours.sign(secret, message, hash_function=hashlib.sha512)
    assert key == theirs.public_key().public_bytes_raw()
    assert signature == theirs.sign(message)
    verify(key, signature, message)


@FEW
@given(seed=SEEDS, message=st.binary(max_size=64), at=st.integers(0, 63), bit=st.integers(0, 7))
def test_a_changed_signature_is_refused(seed: bytes, message: bytes, at: int, bit: int) -> None:
    """Every bit of a signature counts."""
    secret = ours.expand_seed(seed)
    signature = bytearray(ours.sign(secret, message))
    signature[at] ^= 1 << bit
    with pytest.raises(EvidenceSignatureError):
        ours.verify(ours.public_key(secret), bytes(signature), message, what="a", by="b")


@FEW
@given(key=st.binary(min_size=32, max_size=32), signature=st.binary(min_size=64, max_size=64))
def test_any_key_and_signature_are_judged_as_elsewhere(key: bytes, signature: bytes) -> None:
    """Random bytes are never accepted, by neither, and raise nothing else."""
    with pytest.raises((EvidenceSignatureError, EvidenceMalformedError)):
        verify(key, signature, b"message")
    with pytest.raises((InvalidSignature, ValueError)):
        Ed25519PublicKey.from_public_bytes(key).verify(signature, b"message")


def test_sha3_and_sha_512_signatures_are_not_the_same() -> None:
    """A signature by the one never passes for one by the other."""
    seed = bytes(32)
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(b"m")
    with pytest.raises(EvidenceSignatureError):
        ours.verify(key, signature, b"m", what="a", by="b")


# The eight points of small order (all encodings, canonical or not) are no keys.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_key_of_small_order_is_refused(key: str) -> None:
    """Under such a key the same signature fits any message."""
    with pytest.raises(EvidenceMalformedError):
        verify(bytes.fromhex(key), (1).to_bytes(32, "little") + bytes(32), b"any")


@pytest.mark.parametrize(("key", "signature"), [(bytes(31), bytes(64)), (bytes(32), bytes(63))])
def test_wrong_sizes_are_refused(key: bytes, signature: bytes) -> None:
    """A key has 32 bytes and a signature 64."""
    with pytest.raises(EvidenceMalformedError):
        verify(key, signature, b"any")
