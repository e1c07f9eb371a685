# SPDX-License-Identifier: Apache-2.0
"""GCM lets one ciphertext open under two keys; a volume does not.

Somebody who knows two volume keys makes an index object that authenticates under both, so that
two readers with different keys could be shown different files under one tag. The forgery is
real: it solves for one ciphertext block so that the GCM tags under both keys are equal
(Dodis, Grubbs, Ristenpart, Woodage: Fast Message Franking, CRYPTO 2018).
"""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from accord.errors import MalformedError, WrongVolumeKeyError
from accord.volumes import VolumeKey, open_volume
from accord.volumes._key import key_commitment, object_key, volume_id_bytes
from accord.volumes._segment import Kind, _aad, _header, _nonce

SALT = b"s" * 32
SIZE = 65_536
POLYNOMIAL = 0xE1 << 120


def multiply(x: int, y: int) -> int:
    """The product in GCM's field (NIST SP 800-38D, algorithm 1)."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = (y >> 1) ^ (POLYNOMIAL if y & 1 else 0)
    return product


def inverse(x: int) -> int:
    """x to the power 2^128 - 2."""
    result, power = 1 << 127, x
    for _ in range(127):
        power = multiply(power, power)
        result = multiply(result, power)
    return result


def block_cipher(key: bytes, block: bytes) -> int:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block of GCM
    return int.from_bytes(encryptor.update(block), "big")


def gcm_tag(key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> int:
    """The GCM tag of a ciphertext, whether or not it was made by encrypting (SP 800-38D)."""
    h, state = block_cipher(key, bytes(16)), 0
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    data = aad + bytes(-len(aad) % 16) + ciphertext + bytes(-len(ciphertext) % 16) + lengths
    for at in range(0, len(data), 16):
        state = multiply(state ^ int.from_bytes(data[at : at + 16], "big"), h)
    return state ^ block_cipher(key, nonce + b"\0\0\0\1")


def forge_for_two_keys(first: bytes, second: bytes, aad: bytes) -> bytes:
    """A chunk, with its tag, that authenticates under both keys."""
    nonce, ciphertext = _nonce(0), bytes(SIZE)
    difference = gcm_tag(first, nonce, aad, ciphertext) ^ gcm_tag(second, nonce, aad, ciphertext)
    # The last ciphertext block enters the tag times H^2: choose it to cancel the difference.
    squares = [multiply(h, h) for h in (block_cipher(key, bytes(16)) for key in (first, second))]
    block = multiply(difference, inverse(squares[0] ^ squares[1]))
    ciphertext = ciphertext[:-16] + block.to_bytes(16, "big")
    return ciphertext + gcm_tag(first, nonce, aad, ciphertext).to_bytes(16, "big")


def test_object_for_two_keys_opens_a_version_under_one_only(bench: Any) -> None:
    """The commitment in the commit admits one key, although GCM admits both."""
    keys = (bench.key, VolumeKey(b"z" * 32))
    secrets = [object_key(key, volume_id=bench.volume_id, salt=SALT) for key in keys]
    header = _header(Kind.INDEX, SIZE, SALT)
    aad = _aad(header + volume_id_bytes(bench.volume_id), 0, SIZE, last=True)
    chunk = forge_for_two_keys(secrets[0], secrets[1], aad)
    plaintexts = [AESGCM(secret).decrypt(_nonce(0), chunk, aad) for secret in secrets]
    assert plaintexts[0] != plaintexts[1]

    tag = bench.commit(bench.put(header + chunk))
    with pytest.raises(WrongVolumeKeyError):
        open_volume(bench.store, key=keys[1], volume_id=bench.volume_id, tag=tag)
    with pytest.raises(MalformedError):  # authenticated, but the plaintext is noise
        open_volume(bench.store, key=keys[0], volume_id=bench.volume_id, tag=tag)


def test_commitments_differ_between_keys_and_volumes(bench: Any) -> None:
    """A commitment is of one key in one volume, so it does not link volumes of one key."""
    other = type(bench.volume_id)("vol-" + "6" * 32)
    found = {
        key_commitment(key, volume_id=volume_id)
        for key in (bench.key, VolumeKey(b"z" * 32))
        for volume_id in (bench.volume_id, other)
    }
    assert len(found) == 4
