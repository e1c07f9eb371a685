# SPDX-License-Identifier: Apache-2.0
"""The key of a witness: one file that only its owner reads, one that is handed out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.encoding import (
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
    parse_json,
    parse_name,
)
from accord.errors import IdentityNotFoundError, NoWitnessError, WitnessConflictError
from accord.identity import PRIVATE, KeySigner, read_private, write_whole
from accord.ledger import cosigner_vkey

_SCHEMA = "accord.witness-secret.v1"
_SECRET_FILE = "witness.secret.json"  # noqa: S105 - a file name
PUBLIC_FILE = "witness.json"


@dataclass(frozen=True, repr=False)
class WitnessKey:
    """The name under which a witness cosigns, and its key. One key signs for one name."""

    name: str
    signer: KeySigner

    @classmethod
    def create(cls, home: Path, name: str) -> WitnessKey:
        """A new key in ``home``, or the one that is there if it has the same name.

        Raises ``WitnessConflictError`` where there is another: keys are never replaced.
        """
        parse_name(name, what="name of the witness")
        secret = home / _SECRET_FILE
        if not secret.exists():
            sign = Ed25519PrivateKey.generate().private_bytes_raw()
            document = {"schema": _SCHEMA, "name": name, "sign": base64_encode(sign)}
            write_whole(secret, canonical_json(document), mode=PRIVATE)
        found = cls.load(home)
        if found.name != name:
            raise WitnessConflictError(path=home, found=found.name, expected=name)
        write_whole(home / PUBLIC_FILE, canonical_json(found.to_json()))
        return found

    @classmethod
    def load(cls, home: Path) -> WitnessKey:
        """Raises ``NoWitnessError``, ``IdentityExposedError`` or ``MalformedError``."""
        path = home / _SECRET_FILE
        try:
            data = read_private(path)
        except IdentityNotFoundError as exc:
            raise NoWitnessError(path=home) from exc
        fields = Fields(parse_json(data, what=str(path)), str(path))
        fields.schema(_SCHEMA)
        name = fields.name("name")
        signer = KeySigner(Ed25519PrivateKey.from_private_bytes(fields.data("sign", size=32)))
        fields.end()
        return cls(name, signer)

    def to_json(self) -> JSONValue:
        """What founders of a board name; it is public."""
        return {"name": self.name, "key": base64_encode(self.signer.verify_key.raw)}

    @property
    def vkey(self) -> str:
        """The verifier key that tools for cosignatures take."""
        return cosigner_vkey(self.name, self.signer.verify_key)
