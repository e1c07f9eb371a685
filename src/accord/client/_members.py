# SPDX-License-Identifier: Apache-2.0
"""Identities whose private keys are elsewhere: in a token, or on a machine without a network."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from accord.encoding import Fields, canonical_json, parse_json, parse_name
from accord.errors import IdentityConflictError, MalformedError
from accord.identity import PublicIdentity, SealKey, VerifyKey, write_whole

IDENTITY_FILE = "identity.json"


def read_verify_key(pem: bytes, *, what: str) -> VerifyKey:
    """An Ed25519 public key from PEM (RFC 8410). Raises ``MalformedError``."""
    key = _load(pem, what)
    if not isinstance(key, Ed25519PublicKey):
        raise MalformedError(what=what, detail="expected an Ed25519 public key in PEM")
    return VerifyKey(key.public_bytes_raw())


def read_seal_key(pem: bytes, *, what: str) -> SealKey:
    """An X25519 public key from PEM (RFC 8410). Raises ``MalformedError``."""
    key = _load(pem, what)
    if not isinstance(key, X25519PublicKey):
        raise MalformedError(what=what, detail="expected an X25519 public key in PEM")
    seal = SealKey(key.public_bytes_raw())
    _ = seal.key  # A point of low order is no key.
    return seal


def _load(pem: bytes, what: str) -> object:
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise MalformedError(what=what, detail="expected a public key in PEM") from exc


def import_identity(
    home: Path, name: str, verify_key: VerifyKey, seal_key: SealKey
) -> PublicIdentity:
    """Writes ``identity.json`` for keys that this machine never had; again changes nothing.

    Nothing proves that somebody holds the private keys: they do by signing the genesis.
    Raises ``IdentityConflictError`` where ``home`` holds another identity.
    """
    parse_name(name, what="identity.name")
    identity, path = PublicIdentity(name, verify_key, seal_key), home / IDENTITY_FILE
    if path.exists():
        found = read_identity(path.read_bytes(), what=str(path))
        if found != identity:
            raise IdentityConflictError(path=home, found=found.name, expected=name)
        return found
    write_whole(path, canonical_json(identity.to_json()))
    return identity


def read_identity(data: bytes, *, what: str) -> PublicIdentity:
    """A public identity from its file. Raises ``MalformedError``."""
    return PublicIdentity.from_fields(Fields(parse_json(data, what=what), what))
