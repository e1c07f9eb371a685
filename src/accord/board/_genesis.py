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

from accord.board._charter import Charter
from accord.board._constitution import Constitution
from accord.board._member import Member
from accord.board._recovery_plan import RecoveryPlan
from accord.board._witness import WitnessPolicy
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
from accord.identity import verify_statement
from accord.policy import AttestationVariant

GENESIS_SCHEMA = "accord.genesis.v1"


class Freshness(StrEnum):
    """What protects the trust service's own state from being rolled back."""

    SOLO = "solo"
    """Nothing: no witnesses. For development, and said so in every result."""

    WITNESSED = "witnessed"
    """Witnesses: nothing leaves before a quorum of them has seen it."""


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
    witnesses: WitnessPolicy | None = None
    """The first ones; the board can replace them."""

    recovery: RecoveryPlan | None = None

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
            witnesses=WitnessPolicy.from_fields(fields.object("witnesses"))
            if fields.has("witnesses")
            else None,
            recovery=RecoveryPlan.from_fields(fields.object("recovery"))
            if fields.has("recovery")
            else None,
        )
        fields.end()
        genesis._check(listed)
        return genesis

    def _check(self, listed: list[Member]) -> None:
        if len(self.members) != len(listed):
            raise GenesisError(detail="two members have the same name")
        if not self.anchors:
            raise GenesisError(detail="there is no trust anchor")
        if (self.witnesses is not None) is not (self.freshness is Freshness.WITNESSED):
            raise GenesisError(detail="freshness is witnessed where there are witnesses")
        if self.recovery is not None and self.recovery.epoch != 1:
            raise GenesisError(detail="the first epoch of recovery is 1")
        self.charter.check()

    @cached_property
    def charter(self) -> Charter:
        """What of this the board can change later."""
        return Charter(self.members, self.constitution, self.service, self.witnesses, self.recovery)

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": GENESIS_SCHEMA,
            "name": self.name,
            "founded": format_time(self.founded),
            "members": [member.to_json() for member in self.members.values()],
            "constitution": self.constitution.to_json(),
            "anchors": list(self.anchors),
            "service": [variant.to_json() for variant in self.service],
            "freshness": self.freshness.value,
        }
        if self.witnesses is not None:
            document["witnesses"] = self.witnesses.to_json()
        if self.recovery is not None:
            document["recovery"] = self.recovery.to_json()
        return document

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
        statement = verify_statement(envelope, "genesis", genesis.charter.keys)
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
