# SPDX-License-Identifier: Apache-2.0
"""Assets: what owners offer, and the terms under which it may be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from accord.encoding import Digest, Fields, JSONValue, format_time, parse_digest
from accord.errors import MalformedError
from accord.policy import Assurance, Network, Policy, owner_of, parse_asset_name, parse_policy_name

_DIGEST = "sha256:"
_NAMESPACE = "/*"


class AssetKind(StrEnum):
    """What an owner offers."""

    VOLUME = "volume"
    """An encrypted tree of files; the trust service holds its key."""

    SECRET = "secret"  # noqa: S105 - a kind of asset
    """A value that the trust service holds."""


@dataclass(frozen=True, slots=True)
class Terms:
    """An owner's conditions. A list that names nothing allows nothing."""

    policies: tuple[str, ...]
    """Names, namespaces (``NAME/*``) or digests of single versions."""

    purposes: tuple[str, ...]
    readers: tuple[str, ...]
    """Members who may read what is computed from the asset."""

    min_assurance: Assurance
    network: Network
    max_uses: int
    not_after: datetime
    max_output_bytes: int | None = None
    """Most that each output of a run that uses the asset may hold; ``None``: no limit."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Terms:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        policies = tuple(_policy_term(value, where) for where, value in fields.items("policies"))
        if len(set(policies)) != len(policies):
            raise MalformedError(what=fields.path("policies"), detail="a policy appears twice")
        terms = cls(
            policies=policies,
            purposes=fields.unique_names("purposes"),
            readers=fields.unique_names("readers"),
            min_assurance=fields.choice("min_assurance", Assurance),
            network=fields.choice("network", Network),
            max_uses=fields.integer("max_uses", minimum=0),
            not_after=fields.time("not_after"),
            max_output_bytes=fields.integer("max_output_bytes", minimum=1)
            if fields.has("max_output_bytes")
            else None,
        )
        fields.end()
        return terms

    def allow_policy(self, policy: Policy) -> bool:
        """Whether the terms name this version, its policy, or a namespace that it is in."""
        names = policy.name.split("/")
        spaces = {"/".join(names[:end]) + _NAMESPACE for end in range(1, len(names))}
        return not {policy.name, policy.digest, *spaces}.isdisjoint(self.policies)

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "policies": list(self.policies),
            "purposes": list(self.purposes),
            "readers": list(self.readers),
            "min_assurance": self.min_assurance.value,
            "network": self.network.value,
            "max_uses": self.max_uses,
            "not_after": format_time(self.not_after),
        }
        if self.max_output_bytes is not None:
            document["max_output_bytes"] = self.max_output_bytes
        return document


def _policy_term(value: JSONValue, where: str) -> str:
    if isinstance(value, str) and value.startswith(_DIGEST):
        return parse_digest(value, what=where)
    name = value.removesuffix(_NAMESPACE) if isinstance(value, str) else value
    parse_policy_name(name, what=where)
    return str(value)


@dataclass(frozen=True, slots=True)
class AssetOffer:
    """An owner's statement that a volume or a secret, in exactly this version, is on offer."""

    SCHEMA = "accord.asset.v1"

    board: Digest
    name: str
    kind: AssetKind
    tag: Digest
    """Of a volume: its Merkle root. Of a secret: SHA-256 of a salt and the value."""

    terms: Terms
    predecessor: Digest | None
    """The owner's previous statement about this asset; ``None`` for the first."""

    volume_id: str | None = None
    key_commitment: Digest | None = None
    """Commitment to the volume key (volume format, section "Key commitment")."""

    @property
    def owner(self) -> str:
        return owner_of(self.name)

    @classmethod
    def from_fields(cls, fields: Fields) -> AssetOffer:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        kind = fields.choice("kind", AssetKind) if fields.has("kind") else AssetKind.VOLUME
        is_volume = kind is AssetKind.VOLUME
        offer = cls(
            board=fields.digest("board"),
            name=parse_asset_name(fields.take("name"), what=fields.path("name")),
            kind=kind,
            tag=fields.digest("tag"),
            terms=Terms.from_fields(fields.object("terms")),
            predecessor=fields.optional("predecessor", fields.digest),
            volume_id=fields.name("volume_id") if is_volume else None,
            key_commitment=fields.digest("key_commitment") if is_volume else None,
        )
        fields.end()
        return offer

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "name": self.name,
            "kind": self.kind.value,
            "tag": self.tag,
            "terms": self.terms.to_json(),
        }
        optional = {
            "volume_id": self.volume_id,
            "key_commitment": self.key_commitment,
            "predecessor": self.predecessor,
        }
        document.update({name: value for name, value in optional.items() if value is not None})
        return document


@dataclass(frozen=True, slots=True)
class AssetWithdrawal:
    """An owner's statement that the asset may not be used any more."""

    SCHEMA = "accord.asset-withdrawal.v1"

    board: Digest
    name: str
    predecessor: Digest
    erase: bool = False
    """Whether what came with its offers goes as well: keys, or values. Offers stay in the log."""

    @property
    def owner(self) -> str:
        return owner_of(self.name)

    @classmethod
    def from_fields(cls, fields: Fields) -> AssetWithdrawal:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        withdrawal = cls(
            fields.digest("board"),
            parse_asset_name(fields.take("name"), what=fields.path("name")),
            fields.digest("predecessor"),
            fields.flag("erase") if fields.has("erase") else False,
        )
        fields.end()
        return withdrawal

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "name": self.name,
            "predecessor": self.predecessor,
        }
        return {**document, "erase": True} if self.erase else document
