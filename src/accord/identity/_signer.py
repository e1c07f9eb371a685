# SPDX-License-Identifier: Apache-2.0
"""Who holds a private key: files for people, memory for attested processes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.encoding import Digest, Fields, base64_encode, canonical_json, parse_json
from accord.errors import (
    IdentityConflictError,
    IdentityExposedError,
    IdentityNotFoundError,
)
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

    @property
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
            return found
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        Fields({"name": name}, "identity").name("name")
        document = canonical_json(
            {
                "schema": _SCHEMA,
                "name": name,
                "sign": base64_encode(Ed25519PrivateKey.generate().private_bytes_raw()),
                "seal": base64_encode(X25519PrivateKey.generate().private_bytes_raw()),
            }
        )
        _write_new(secret, document, mode=0o600)
        identity = cls.load(home)
        public = canonical_json(identity.public.to_json())
        (home / _PUBLIC_FILE).write_bytes(public)
        return identity

    @classmethod
    def load(cls, home: Path) -> FileIdentity:
        """The identity in ``home``.

        Raises ``IdentityNotFoundError``, ``IdentityExposedError`` or ``MalformedError``.
        """
        path = home / _SECRET_FILE
        try:
            data, mode = path.read_bytes(), path.stat().st_mode & 0o777
        except OSError as exc:
            raise IdentityNotFoundError(path=path) from exc
        if mode & 0o077:
            raise IdentityExposedError(path=path, mode=f"{mode:04o}")
        fields = Fields(parse_json(data, what=str(path)), str(path))
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


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Writes ``path`` whole or not at all, readable only as ``mode`` from the first byte on."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
