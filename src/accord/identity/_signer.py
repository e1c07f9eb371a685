# SPDX-License-Identifier: Apache-2.0
"""Who holds a private key: files for people, memory for attested processes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.encoding import Digest, Fields, base64_encode, canonical_json, parse_json, parse_name
from accord.errors import IdentityConflictError
from accord.identity._files import PRIVATE, read_private, write_whole
from accord.identity._keys import KEY_BYTES, PublicIdentity, SealKey, VerifyKey

_SCHEMA = "accord.identity-secret.v1"
_SECRET_FILE = "identity.secret.json"  # noqa: S105 - a file name
_PUBLIC_FILE = "identity.json"


class Signer(Protocol):
    """Anything that signs for one key: a file, a hardware token, a remote service."""

    @property
    def key_id(self) -> Digest: ...

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature (64 bytes) over ``message``."""
        ...


@dataclass(frozen=True, repr=False)
class KeySigner:
    """Signs with an Ed25519 key in this process's memory."""

    private_key: Ed25519PrivateKey

    @cached_property
    def verify_key(self) -> VerifyKey:
        raw = self.private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return VerifyKey(raw)

    @property
    def key_id(self) -> Digest:
        return self.verify_key.key_id

    def sign(self, message: bytes) -> bytes:
        return self.private_key.sign(message)


@dataclass(frozen=True, repr=False)
class FileIdentity:
    """A stakeholder's identity in a folder that only its owner can read."""

    home: Path
    public: PublicIdentity
    signer: KeySigner
    seal_private_key: X25519PrivateKey

    @classmethod
    def create(cls, home: Path, name: str) -> FileIdentity:
        """A new identity in ``home``, or the one that is there if it has the same name.

        Raises ``IdentityConflictError`` where ``home`` holds another: keys are never replaced.
        """
        secret = home / _SECRET_FILE
        if secret.exists():
            found = cls.load(home)
            if found.public.name != name:
                raise IdentityConflictError(path=home, found=found.public.name, expected=name)
            if not (home / _PUBLIC_FILE).exists():  # An earlier call was cut off in between.
                _publish(found)
            return found
        parse_name(name, what="identity.name")
        document = canonical_json(
            {
                "schema": _SCHEMA,
                "name": name,
                "sign": base64_encode(Ed25519PrivateKey.generate().private_bytes_raw()),
                "seal": base64_encode(X25519PrivateKey.generate().private_bytes_raw()),
            }
        )
        write_whole(secret, document, mode=PRIVATE)
        identity = cls.load(home)
        _publish(identity)
        return identity

    @classmethod
    def load(cls, home: Path) -> FileIdentity:
        """The identity in ``home``.

        Raises ``IdentityNotFoundError``, ``IdentityExposedError`` or ``MalformedError``.
        """
        path = home / _SECRET_FILE
        fields = Fields(parse_json(read_private(path), what=str(path)), str(path))
        fields.schema(_SCHEMA)
        name = fields.name("name")
        sign = Ed25519PrivateKey.from_private_bytes(fields.data("sign", size=KEY_BYTES))
        seal = X25519PrivateKey.from_private_bytes(fields.data("seal", size=KEY_BYTES))
        fields.end()
        signer = KeySigner(sign)
        public = PublicIdentity(
            name, signer.verify_key, SealKey(seal.public_key().public_bytes_raw())
        )
        return cls(home, public, signer, seal)


def _publish(identity: FileIdentity) -> None:
    write_whole(identity.home / _PUBLIC_FILE, canonical_json(identity.public.to_json()))
