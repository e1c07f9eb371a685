# SPDX-License-Identifier: Apache-2.0
"""The owner of a trust service: who claimed it, and which boards it takes on.

The owner is whoever pays for the service. Nothing here reaches a board, and no secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    format_time,
    parse_canonical_json,
)
from accord.identity import PublicIdentity, VerifyKey, verify_statement

MAX_BOARDS = 1_000_000

REQUESTS_PER_S = 1000
"""More than two cores answer: it keeps one address from having the service to itself."""

MAX_REQUESTS_PER_S = 1_000_000

CLAIM_KIND = "service-claim"
CONFIG_KIND = "service-config"


class Founding(StrEnum):
    """Whose boards the service takes on."""

    ANYONE = "anyone"
    OWNER = "owner"
    """Those of which the owner's key is a founder."""


@dataclass(frozen=True, slots=True)
class ServiceClaim:
    """Somebody's statement that a trust service is theirs; the first one holds."""

    SCHEMA = "accord.service-claim.v1"

    service: Digest
    """Id of the key that signs the service's logs."""

    owner: PublicIdentity
    time: datetime

    @classmethod
    def from_fields(cls, fields: Fields) -> ServiceClaim:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        claim = cls(
            fields.digest("service"),
            PublicIdentity.from_fields(fields.object("owner")),
            fields.time("time"),
        )
        fields.end()
        return claim

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "service": self.service,
            "owner": self.owner.to_json(),
            "time": format_time(self.time),
        }


def verify_claim(envelope: Envelope) -> ServiceClaim:
    """The claim in ``envelope``, signed by the owner it names; for which service is *not* checked.

    Raises what reading and `verify_statement` raise.
    """
    # The key is in the document: what is proved is that its holder wants to be the owner.
    body = parse_canonical_json(envelope.payload, what=CLAIM_KIND)
    claimed = ServiceClaim.from_fields(Fields(body, CLAIM_KIND))
    key = claimed.owner.verify_key
    verify_statement(envelope, CLAIM_KIND, {key.key_id: key})
    return claimed


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The owner's wishes; a higher ``sequence`` replaces a lower one."""

    SCHEMA = "accord.service-config.v1"

    service: Digest
    sequence: int = 0
    """0: nobody has wished for anything."""

    founding: Founding = Founding.ANYONE
    max_boards: int = MAX_BOARDS
    requests_per_s: int = REQUESTS_PER_S
    """What it answers to one address, or for one board; half of it to one key."""

    counter: int | None = None
    """The value of its counter at which the owner takes the store for the latest one."""

    @classmethod
    def from_fields(cls, fields: Fields) -> ServiceConfig:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        config = cls(
            fields.digest("service"),
            fields.integer("sequence", minimum=0),
            fields.choice("founding", Founding),
            fields.integer("max_boards", minimum=0, maximum=MAX_BOARDS),
            fields.integer("requests_per_s", minimum=10, maximum=MAX_REQUESTS_PER_S)
            if fields.has("requests_per_s")
            else REQUESTS_PER_S,
            fields.integer("counter", minimum=0) if fields.has("counter") else None,
        )
        fields.end()
        return config

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "service": self.service,
            "sequence": self.sequence,
            "founding": self.founding.value,
            "max_boards": self.max_boards,
            "requests_per_s": self.requests_per_s,
        }
        return document if self.counter is None else {**document, "counter": self.counter}


def verify_config(envelope: Envelope, owner: VerifyKey) -> ServiceConfig:
    """The wishes in ``envelope``, signed by ``owner``; that they are the latest is *not* checked.

    Raises what reading and `verify_statement` raise.
    """
    statement = verify_statement(envelope, CONFIG_KIND, {owner.key_id: owner})
    return ServiceConfig.from_fields(statement.fields())
