# SPDX-License-Identifier: Apache-2.0
"""Assets: what owners offer, and the terms under which it may be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accord.encoding import Digest, Fields, JSONValue, format_time
from accord.policy import Assurance, Network, parse_asset_name


@dataclass(frozen=True, slots=True)
class Terms:
    """An owner's conditions. A list that names nothing allows nothing."""

    policies: tuple[str, ...]
    purposes: tuple[str, ...]
    readers: tuple[str, ...]
    """Members who may read what is computed from the asset."""

    min_assurance: Assurance
    network: Network
    max_uses: int
    not_after: datetime

    @classmethod
    def from_fields(cls, fields: Fields) -> Terms:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        terms = cls(
            policies=fields.unique_names("policies"),
            purposes=fields.unique_names("purposes"),
            readers=fields.unique_names("readers"),
            min_assurance=fields.choice("min_assurance", Assurance),
            network=fields.choice("network", Network),
            max_uses=fields.integer("max_uses", minimum=0),
            not_after=fields.time("not_after"),
        )
        fields.end()
        return terms

    def to_json(self) -> JSONValue:
        return {
            "policies": list(self.policies),
            "purposes": list(self.purposes),
            "readers": list(self.readers),
            "min_assurance": self.min_assurance.value,
            "network": self.network.value,
            "max_uses": self.max_uses,
            "not_after": format_time(self.not_after),
        }


@dataclass(frozen=True, slots=True)
class AssetOffer:
    """An owner's statement that a volume, in exactly this version, is on offer."""

    SCHEMA = "accord.asset.v1"

    board: Digest
    name: str
    volume_id: str
    tag: Digest
    key_commitment: Digest
    """Commitment to the volume key (volume format, section "Key commitment")."""

    terms: Terms
    predecessor: Digest | None
    """The owner's previous statement about this asset; ``None`` for the first."""

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    @classmethod
    def from_fields(cls, fields: Fields) -> AssetOffer:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        offer = cls(
            board=fields.digest("board"),
            name=parse_asset_name(fields.take("name"), what=fields.path("name")),
            volume_id=fields.name("volume_id"),
            tag=fields.digest("tag"),
            key_commitment=fields.digest("key_commitment"),
            terms=Terms.from_fields(fields.object("terms")),
            predecessor=fields.optional("predecessor", fields.digest),
        )
        fields.end()
        return offer

    def to_json(self) -> JSONValue:
        document = {
            "schema": self.SCHEMA,
            "board": self.board,
            "name": self.name,
            "volume_id": self.volume_id,
            "tag": self.tag,
            "key_commitment": self.key_commitment,
            "terms": self.terms.to_json(),
        }
        if self.predecessor is not None:
            document["predecessor"] = self.predecessor
        return document


@dataclass(frozen=True, slots=True)
class AssetWithdrawal:
    """An owner's statement that the asset may not be used any more."""

    SCHEMA = "accord.asset-withdrawal.v1"

    board: Digest
    name: str
    predecessor: Digest

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    @classmethod
    def from_fields(cls, fields: Fields) -> AssetWithdrawal:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        withdrawal = cls(
            fields.digest("board"),
            parse_asset_name(fields.take("name"), what=fields.path("name")),
            fields.digest("predecessor"),
        )
        fields.end()
        return withdrawal

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "name": self.name,
            "predecessor": self.predecessor,
        }
