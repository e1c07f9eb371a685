# SPDX-License-Identifier: Apache-2.0
"""What a store puts on the disk: sealed fields, masked names, and a digest of everything."""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from accord.encoding import JSONValue, canonical_json

FORMAT = "accord.store.v2"

KEY_BYTES = 32
MASK_BYTES = 32
_NONCE_BYTES = 12
"""96 bits, random: safe for 2**32 records under one key (NIST SP 800-38D section 8.3)."""


class Seal:
    """The keys of one store, derived from the caller's key and the store's own salt.

    AES-256-GCM seals every field; its associated data names format, table and place, so a
    record that was moved does not open.
    """

    def __init__(self, key: bytes, *, salt: bytes) -> None:
        def derive(purpose: str) -> bytes:
            info = f"{FORMAT}/{purpose}".encode()
            return HKDF(SHA256(), KEY_BYTES, salt, info).derive(key)

        self._records = AESGCM(derive("records"))
        self._names = derive("names")
        self._marks = derive("marks")

    def seal(self, plaintext: bytes, *place: JSONValue) -> bytes:
        """Nonce and ciphertext of ``plaintext``, bound to ``place``."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._records.encrypt(nonce, plaintext, _bound(place))

    def open(self, sealed: bytes, *place: JSONValue) -> bytes | None:
        """The plaintext, or ``None`` if it was not sealed here for this place."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._records.decrypt(nonce, ciphertext, _bound(place))
        except (InvalidTag, ValueError):
            return None

    def mask(self, *name: JSONValue) -> bytes:
        """A stand-in for a name: equal names give equal masks, which tell nothing else."""
        return hmac.digest(self._names, _bound(name), "sha256")

    def mark(self, *state: JSONValue) -> int:
        """A secret number that stands for one piece of state; see `StateDigest`."""
        return int.from_bytes(hmac.digest(self._marks, _bound(state), "sha256"))


class StateDigest:
    """A digest of a set of states, changed one at a time: the XOR of their secret marks.

    Marks are outputs of a keyed function and are never shown, so nobody without the key can
    put together another set with the same digest.
    """

    def __init__(self) -> None:
        self._value = 0

    def swapped(self, old: int, new: int) -> StateDigest:
        """The digest after the state marked ``old`` (0: none) became the one marked ``new``."""
        result = StateDigest()
        result._value = self._value ^ old ^ new
        return result

    def to_hex(self) -> str:
        return f"{self._value:064x}"


def link(sealed: bytes) -> bytes:
    """What other records are bound to: the digest of this one as it is stored."""
    return hashlib.sha256(sealed).digest()


def _bound(place: tuple[JSONValue, ...]) -> bytes:
    return canonical_json([FORMAT, *place])
