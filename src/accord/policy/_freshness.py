# SPDX-License-Identifier: Apache-2.0
"""How fresh the trust service's state must be before a policy's secrets leave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from accord.encoding import Fields, JSONValue

MAX_LEASE_USES = 1_000_000
MAX_LEASE_TTL_S = 24 * 3600


class FreshnessMode(StrEnum):
    """What a rollback of the trust service could make of a policy's releases."""

    STRICT = "strict"
    """Nothing: each waits until a quorum of witnesses has cosigned its entry."""

    LEASE = "lease"
    """As many as a cosigned reservation holds, for as long as it lasts, may go unrecorded."""

    SOLO = "solo"
    """Anything: nobody is asked. Only on boards without witnesses; every result says so."""


@dataclass(frozen=True, slots=True)
class FreshnessRule:
    """The mode of a policy; of a lease, its size and how long it lasts, in seconds."""

    mode: FreshnessMode
    max_uses: int = 0
    ttl_s: int = 0

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        mode = fields.choice("mode", FreshnessMode)
        if mode is FreshnessMode.LEASE:
            uses = fields.integer("max_uses", minimum=1, maximum=MAX_LEASE_USES)
            rule = cls(mode, uses, fields.integer("ttl_s", minimum=1, maximum=MAX_LEASE_TTL_S))
        else:
            rule = cls(mode)
        fields.end()
        return rule

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {"mode": self.mode.value}
        if self.mode is FreshnessMode.LEASE:
            document |= {"max_uses": self.max_uses, "ttl_s": self.ttl_s}
        return document

    @property
    def is_lease(self) -> bool:
        return self.mode is FreshnessMode.LEASE

    @property
    def words(self) -> str:
        """What the mode means, as a sentence; a lease's says its bound."""
        if self.mode is FreshnessMode.STRICT:
            return "every release waits until a quorum of witnesses has cosigned it"
        if self.mode is FreshnessMode.LEASE:
            return (
                f"up to {self.max_uses} releases of each service within {self.ttl_s} s of a "
                "cosigned reservation MAY BE IN NO LOG after a rollback; owners' limits hold"
            )
        return "releases wait for NO WITNESS: a rollback of the trust service goes unseen"
