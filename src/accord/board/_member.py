# SPDX-License-Identifier: Apache-2.0
"""Members: people, organisations, and checkers that vote from inside a TEE."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from accord.encoding import Fields, JSONValue
from accord.errors import MalformedError
from accord.identity import PublicIdentity
from accord.policy import MAX_WEIGHT, AttestationVariant

MAX_TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True)
class ApprovalService:
    """Where the trust service asks for a member's vote, and which TLS key must answer."""

    url: str
    tls_spki_sha256: bytes
    timeout_s: int

    @classmethod
    def from_fields(cls, fields: Fields) -> ApprovalService:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        url = fields.text("url", limit=1024)
        try:
            parts = urlsplit(url)
            usable = parts.scheme == "https" and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or "@" in url or any(c <= " " for c in url):
            raise MalformedError(
                what=fields.path("url"), detail="expected https://HOST[:PORT]/PATH"
            )
        service = cls(
            url,
            fields.hex("tls_spki_sha256", size=32),
            fields.integer("timeout_s", minimum=1, maximum=MAX_TIMEOUT_S),
        )
        fields.end()
        return service

    def to_json(self) -> JSONValue:
        return {
            "url": self.url,
            "tls_spki_sha256": self.tls_spki_sha256.hex(),
            "timeout_s": self.timeout_s,
        }


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who votes: identity, roles, weight, and how an automated one is reached."""

    identity: PublicIdentity
    roles: frozenset[str]
    weight: int = 1
    approval: ApprovalService | None = None
    attestation: tuple[AttestationVariant, ...] = ()
    """Where an automated member must run: each of its ballots comes with evidence of it."""

    @property
    def name(self) -> str:
        return self.identity.name

    @classmethod
    def from_fields(cls, fields: Fields) -> Member:
        """Reads and ends ``fields``. Raises ``MalformedError`` or ``PolicyContentError``."""
        variants = fields.objects("attestation") if fields.has("attestation") else []
        member = cls(
            PublicIdentity.from_fields(fields.object("identity")),
            frozenset(fields.unique_names("roles")),
            fields.integer("weight", minimum=0, maximum=MAX_WEIGHT) if fields.has("weight") else 1,
            ApprovalService.from_fields(fields.object("approval"))
            if fields.has("approval")
            else None,
            tuple(map(AttestationVariant.from_fields, variants)),
        )
        fields.end()
        return member

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "identity": self.identity.to_json(),
            "roles": sorted(self.roles),
            "weight": self.weight,
            "attestation": [variant.to_json() for variant in self.attestation],
        }
        if self.approval is not None:
            document["approval"] = self.approval.to_json()
        return document
