# SPDX-License-Identifier: Apache-2.0
"""Volume keys and ids, and what is derived from them (docs/spec/volume.md, section 3)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NewType

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from accord.encoding import Digest, sha256
from accord.errors import MalformedError

KEY_BYTES = 32
ALGORITHM = "AES-256-GCM"
"""The only algorithm of format version 1; part of every key derivation."""

Entropy = Callable[[int], bytes]
"""Gives that many random bytes; the operating system's, outside tests."""

VolumeId = NewType("VolumeId", str)
"""Names a volume through all its versions: ``vol-`` and 32 lower-case hex digits."""

_VOLUME_ID = re.compile(r"vol-[0-9a-f]{32}")


def new_volume_id(*, entropy: Entropy = os.urandom) -> VolumeId:
    """A random id, never used before."""
    return VolumeId("vol-" + entropy(16).hex())


def parse_volume_id(text: object, *, what: str) -> VolumeId:
    """``text`` as a volume id. Raises ``MalformedError``."""
    if not isinstance(text, str) or not _VOLUME_ID.fullmatch(text):
        raise MalformedError(what=what, detail="expected vol- and 32 lower-case hex digits")
    return VolumeId(text)


def volume_id_bytes(volume_id: VolumeId) -> bytes:
    """The 16 bytes that an id spells."""
    return bytes.fromhex(volume_id.removeprefix("vol-"))


@dataclass(frozen=True, repr=False)
class VolumeKey:
    """The secret that opens a volume: 32 bytes, never shown."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise MalformedError(what="volume key", detail=f"expected {KEY_BYTES} bytes")

    def __repr__(self) -> str:
        return "VolumeKey(***)"

    @classmethod
    def generate(cls, *, entropy: Entropy = os.urandom) -> VolumeKey:
        """A new random key."""
        return cls(entropy(KEY_BYTES))


def _derive(key: VolumeKey, *, salt: bytes | None, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info.encode()).derive(key.raw)


def object_key(key: VolumeKey, *, volume_id: VolumeId, salt: bytes) -> bytes:
    """The AES-256 key of one object; its random salt makes it a key that is used once."""
    return _derive(key, salt=salt, info=f"accord/volume/v1|{ALGORITHM}|{volume_id}")


def key_commitment(key: VolumeKey, *, volume_id: VolumeId) -> Digest:
    """A public value that only this key has, and that says nothing about the key.

    GCM alone does not commit to its key: somebody who knows two keys can make one ciphertext
    that opens under both. With this value in the commit object, only one key is accepted.
    """
    info = f"accord/volume/v1|key-commitment|{volume_id}"
    return sha256(_derive(key, salt=None, info=info))
