# SPDX-License-Identifier: Apache-2.0
"""What the board remembers of a proposal and of an asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from accord.board._asset import AssetOffer
from accord.board._constitution import Action
from accord.board._proposal import Ballot, Choice, Proposal
from accord.encoding import Digest, canonical_json, sha256
from accord.identity import PublicIdentity
from accord.policy import Electorate, Rule


class ProposalStatus(StrEnum):
    """Where a proposal stands. Expiry and staleness are judged at the time of asking."""

    OPEN = "open"
    NOTICE = "notice"
    """It has all approvals and waits, so that whoever may veto it can."""

    ENACTED = "enacted"
    REJECTED = "rejected"
    VETOED = "vetoed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One rule that must be satisfied for one action of a proposal."""

    action: Action
    source: str
    """Where the rule stands: the constitution, or the access rules of a policy."""

    rule: Rule
    electorate: Electorate


@dataclass(slots=True)
class ProposalRecord:
    """A proposal with what it needs and the votes cast on it so far."""

    id: Digest
    proposal: Proposal
    requirements: tuple[Requirement, ...]
    vetoers: frozenset[str]
    """Members whose reject alone ends it."""

    notice_s: int
    ballots: dict[str, Ballot] = field(default_factory=dict)
    status: ProposalStatus = ProposalStatus.OPEN
    approved_at: datetime | None = None
    """Since when it has all approvals; ``None`` while it has not."""

    @property
    def approvals(self) -> frozenset[str]:
        return self._votes(Choice.APPROVE)

    @property
    def rejections(self) -> frozenset[str]:
        return self._votes(Choice.REJECT)

    def _votes(self, choice: Choice) -> frozenset[str]:
        return frozenset(name for name, ballot in self.ballots.items() if ballot.choice is choice)

    @property
    def vetoed(self) -> bool:
        """Whether somebody has rejected it whose reject alone ends it."""
        return not self.vetoers.isdisjoint(self.rejections)

    @property
    def enacted(self) -> bool:
        return self.status is ProposalStatus.ENACTED

    @property
    def affected_owners(self) -> frozenset[str]:
        """Everybody whose assets any of its actions is about."""
        return frozenset().union(*(item.electorate.affected_owners for item in self.requirements))

    def missing(self) -> tuple[str, ...]:
        """The approvals that it still needs; empty if it has them all."""
        approvals = self.approvals
        parts = (item.rule.missing(approvals, item.electorate) for item in self.requirements)
        return tuple(dict.fromkeys(phrase for part in parts for phrase in part))

    def possible(self, members: frozenset[str]) -> bool:
        """Whether it could still get what it needs from the members who have not rejected it."""
        left = members - self.rejections
        return all(item.rule.satisfied(left, item.electorate) for item in self.requirements)


@dataclass(slots=True)
class AssetRecord:
    """An asset's latest offer; ``withdrawn`` by a later statement of its owner."""

    offer: AssetOffer
    offered_by: Digest
    """Digest of the statement that made the offer: uses are counted per offer."""

    latest: Digest
    """Digest of the owner's latest statement about the asset."""

    owner_key: Digest
    """Id of the key that signed the offer: nobody who comes after inherits it."""

    reader_keys: Mapping[str, Digest]
    """By reader in the terms, the digest of the keys that the owner's consent was given for.

    A reader who was no member then has none: the owner could not know whom the name would mean.
    """

    deposits: tuple[Digest, ...] = ()
    """The offers whose keys or values the trust service keeps: those that were not erased."""

    withdrawn: bool = False


@lru_cache(4096)
def keys_digest(identity: PublicIdentity) -> Digest:
    """SHA-256 of both public keys of a member, and the name: whom results are sealed to."""
    return sha256(canonical_json(identity.to_json()))
