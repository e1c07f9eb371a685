# SPDX-License-Identifier: Apache-2.0
"""What evidence is bound to: purpose, role, nonce, key, connection (docs/spec/evidence.md, 2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cbor2

_LABEL = b"accord/attest/v1\0"
REPORT_DATA: Final = "report_data"
"""The slot that holds the 64 bytes as they are; every other holds `link` of its name."""

_LINK_LABEL = b"accord/attest/v1/"
_HASH_BYTES = 32


def link(slot: str, report_data: bytes) -> bytes:
    """The 32 bytes for a slot that is too small for ``report_data``, or of another part.

    ``slot`` says whose (a family's name): what was made for one never serves another. That
    part and whole sit in the same machine is *not* proved by it, only that both were asked
    together.
    """
    return hashlib.sha256(_LINK_LABEL + slot.encode() + b"\0" + report_data).digest()


class Purpose(StrEnum):
    """Why evidence was made; evidence for one purpose never serves another."""

    CHANNEL = "channel"
    LOG = "log"
    RELEASE = "release"
    LEASE = "lease"
    BALLOT = "ballot"
    EXCHANGE = "exchange"
    HANDOVER = "handover"


class Role(StrEnum):
    """What the attested program is."""

    SERVICE = "service"
    SHIELD = "shield"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Binding:
    """Everything that one piece of evidence must be bound to, as the verifier knows it.

    Whether ``nonce`` is fresh and used once is *not* checked here: its issuer counts it.
    """

    purpose: Purpose
    role: Role
    nonce: bytes
    spki_sha256: bytes
    tls_exporter: bytes | None
    claims_digest: bytes

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for a wrong size: a bug of the caller, never bad input."""
        for name in ("nonce", "spki_sha256", "claims_digest"):
            if len(getattr(self, name)) != _HASH_BYTES:
                message = f"{name} must be {_HASH_BYTES} bytes"
                raise ValueError(message)

    def report_data(self) -> bytes:
        """The 64 bytes that the hardware signs."""
        bound = [
            self.purpose.value,
            self.role.value,
            self.nonce,
            self.spki_sha256,
            self.tls_exporter,
            self.claims_digest,
        ]
        return hashlib.sha512(_LABEL + cbor2.dumps(bound, canonical=True)).digest()
