# SPDX-License-Identifier: Apache-2.0
"""Messages sealed to one key: HPKE (RFC 9180), base mode.

DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Base mode does not authenticate the
sender: whoever needs that signs the statement that carries the sealed message.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from accord.encoding import JSONValue, canonical_json
from accord.errors import SealedMessageError
from accord.identity._keys import SealKey

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _info(purpose: str, context: JSONValue) -> bytes:
    return b"accord/seal/v1\0" + canonical_json({"purpose": purpose, "context": context})


def seal(plaintext: bytes, to: SealKey, *, purpose: str, context: JSONValue) -> bytes:
    """``plaintext`` readable by the holder of ``to`` alone: encapsulated key, then ciphertext.

    ``purpose`` and ``context`` are authenticated and must be named again to open it, so a
    message sealed for one use cannot be passed off as another.
    """
    return _SUITE.encrypt(plaintext, to.key, _info(purpose, context))


def open_sealed(
    message: bytes, key: X25519PrivateKey, *, purpose: str, context: JSONValue
) -> bytes:
    """The plaintext of a message sealed to ``key`` for this purpose and context.

    Says nothing about who sealed it. Raises ``SealedMessageError``.
    """
    try:
        return _SUITE.decrypt(message, key, _info(purpose, context))
    except (InvalidTag, ValueError) as exc:
        raise SealedMessageError(what=purpose) from exc
