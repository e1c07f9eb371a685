# SPDX-License-Identifier: Apache-2.0
"""How many members together can bring the board back on another machine."""

from __future__ import annotations

from dataclasses import dataclass

from accord.encoding import Fields, JSONValue
from accord.errors import ConstitutionError

MAX_HOLDERS = 16
"""Most holders of shares of one secret (SLIP-0039, a member index has four bits)."""


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """Every member holds one share of the board's root secret; ``threshold`` of them rebuild it.

    As many members *and* whoever has a backup can read every secret of the board.
    """

    threshold: int
    epoch: int = 1
    """Raised by ``keys.rotate``: from then on older shares open nothing new."""

    @classmethod
    def from_fields(cls, fields: Fields) -> RecoveryPlan:
        """Reads and ends ``fields``; that there are enough members is *not* checked."""
        plan = cls(
            fields.integer("threshold", minimum=2, maximum=MAX_HOLDERS),
            fields.integer("epoch", minimum=1) if fields.has("epoch") else 1,
        )
        fields.end()
        return plan

    def to_json(self) -> JSONValue:
        return {"threshold": self.threshold, "epoch": self.epoch}

    def check(self, members: int) -> None:
        """Raises ``ConstitutionError`` where so many members could not hold its shares."""
        if not self.threshold <= members <= MAX_HOLDERS:
            raise ConstitutionError(
                where="recovery",
                detail=f"{members} members cannot hold shares of which {self.threshold} are needed"
                f" (from {self.threshold} to {MAX_HOLDERS} can)",
            )
