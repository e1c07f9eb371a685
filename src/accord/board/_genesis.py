# SPDX-License-Identifier: Apache-2.0
"""The genesis: who founds the board, by which rules, trusting which hardware and service.

Its digest is the board's identity. Whoever knows that digest can check everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from accord.board._constitution import Constitution
from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    canonical_json,
    format_time,
    parse_canonical_json,
    parse_digest,
    sha256,
)
from accord.errors import GenesisError, SignatureInvalidError
from accord.identity import PublicIdentity, VerifyKey, verify_statement
from accord.policy import AttestationVariant

GENESIS_SCHEMA = "accord.genesis.v1"


class Freshness(StrEnum):
    """What protects the trust service's own state from being rolled back."""

    SOLO = "solo"
    """Nothing: no witnesses. For development, and said so in every result."""


@dataclass(frozen=True, slots=True)
class Member:
    """A founder: identity and roles."""

    identity: PublicIdentity
    roles: frozenset[str]

    @property
    def name(self) -> str:
        return self.identity.name

    @classmethod
    def from_fields(cls, fields: Fields) -> Member:
        member = cls(
            PublicIdentity.from_fields(fields.object("identity")),
            frozenset(fields.unique_names("roles")),
        )
        fields.end()
        return member

    def to_json(self) -> JSONValue:
        return {"identity": self.identity.to_json(), "roles": sorted(self.roles)}


@dataclass(frozen=True)
class Genesis:
    """What all founders sign. ``anchors`` are SHA-256 digests of DER root certificates."""

    name: str
    founded: datetime
    members: Mapping[str, Member]
    constitution: Constitution
    anchors: tuple[Digest, ...]
    service: tuple[AttestationVariant, ...]
    """Which trust service the founders accept."""

    freshness: Freshness

    @classmethod
    def from_json(cls, value: JSONValue) -> Genesis:
        """Reads a genesis; signatures are *not* looked at.

        Raises ``GenesisError``, ``ConstitutionError`` or ``MalformedError``.
        """
        fields = Fields(value, "genesis")
        fields.schema(GENESIS_SCHEMA)
        listed = [Member.from_fields(item) for item in fields.objects("members")]
        genesis = cls(
            name=fields.name("name"),
            founded=fields.time("founded"),
            members=MappingProxyType({member.name: member for member in listed}),
            constitution=Constitution.from_fields(fields.object("constitution")),
            anchors=tuple(parse_digest(v, what=w) for w, v in fields.items("anchors")),
            service=tuple(map(AttestationVariant.from_fields, fields.objects("service"))),
            freshness=fields.choice("freshness", Freshness),
        )
        fields.end()
        genesis._check(listed)
        return genesis

    def _check(self, listed: list[Member]) -> None:
        for what, values in (
            ("name", [member.name for member in listed]),
            ("key", [member.identity.verify_key.raw for member in listed]),
            ("sealing key", [member.identity.seal_key.raw for member in listed]),
        ):
            if len(set(values)) != len(values):
                raise GenesisError(detail=f"two members have the same {what}")
        for what, sequence in (
            ("member", listed),
            ("trust anchor", self.anchors),
            ("acceptable trust service", self.service),
        ):
            if not sequence:
                raise GenesisError(detail=f"there is no {what}")
        self.constitution.check(self.roles)

    @cached_property
    def roles(self) -> Mapping[str, frozenset[str]]:
        return {name: member.roles for name, member in self.members.items()}

    @cached_property
    def keys(self) -> Mapping[Digest, VerifyKey]:
        """The members' keys, by key id."""
        keys = [member.identity.verify_key for member in self.members.values()]
        return {key.key_id: key for key in keys}

    def to_json(self) -> JSONValue:
        return {
            "schema": GENESIS_SCHEMA,
            "name": self.name,
            "founded": format_time(self.founded),
            "members": [member.to_json() for member in self.members.values()],
            "constitution": self.constitution.to_json(),
            "anchors": list(self.anchors),
            "service": [variant.to_json() for variant in self.service],
            "freshness": self.freshness.value,
        }

    def to_bytes(self) -> bytes:
        return canonical_json(self.to_json())

    @cached_property
    def digest(self) -> Digest:
        """The board's identity: SHA-256 of the canonical document, without signatures."""
        return sha256(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Genesis:
        """Reads a genesis in canonical form; signatures are *not* looked at."""
        return cls.from_json(parse_canonical_json(data, what="genesis"))


def verify_genesis(envelope: Envelope) -> Genesis:
    """The genesis in ``envelope``, signed by every one of its members and nobody else.

    That this is the board somebody *means* is not checked: compare its digest with the one
    they hold. Raises ``GenesisError`` or what reading raises.
    """
    # (1) The document is well formed and has one spelling.
    genesis = Genesis.from_bytes(envelope.payload)
    if genesis.to_bytes() != envelope.payload:
        raise GenesisError(detail="a default was left out; write every field")
    # (2) Every signature is by a member's key.
    try:
        statement = verify_statement(envelope, "genesis", genesis.keys)
    except SignatureInvalidError as exc:
        raise GenesisError(detail=str(exc)) from exc
    # (3) Nobody is a founder without having said so.
    unsigned = [
        member.name
        for member in genesis.members.values()
        if member.identity.verify_key.key_id not in statement.signers
    ]
    if unsigned:
        raise GenesisError(detail=f"not signed by {', '.join(unsigned)}")
    return genesis
