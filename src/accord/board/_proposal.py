# SPDX-License-Identifier: Apache-2.0
"""Proposals and ballots. Proposing is not voting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from accord.board._action import EnactPolicy, ProposedAction, read_action
from accord.encoding import Digest, Fields, JSONValue, base64_encode, format_time
from accord.errors import MalformedError
from accord.policy import Policy, parse_policy_name

MAX_ACTIONS = 64
MAX_SECRETS = 512
"""Most secrets of the policies that one proposal enacts: all are made at once, in one entry."""

CHALLENGE_BYTES = 32
MAX_PUBLIC = 64 << 10
"""Longest public part of one secret: a chain of certificates."""


class Choice(StrEnum):
    """What a ballot says."""

    APPROVE = "approve"
    REJECT = "reject"
    ABSTAIN = "abstain"
    """Neither: it replaces an earlier vote."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A member's wish that all of ``actions`` be done, in order, or none."""

    SCHEMA = "accord.proposal.v1"

    board: Digest
    author: str
    title: str
    base: Digest
    """Digest of the charter it was written against; under another one it is stale."""

    actions: tuple[ProposedAction, ...]
    expires: datetime

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies it would enact, in order."""
        return tuple(item.policy for item in self.actions if isinstance(item, EnactPolicy))

    @classmethod
    def from_fields(cls, fields: Fields) -> Proposal:
        """Reads and ends ``fields``. Raises what reading the actions raises."""
        fields.schema(cls.SCHEMA)
        proposal = cls(
            board=fields.digest("board"),
            author=fields.name("author"),
            title=one_line(fields, "title"),
            base=fields.digest("base"),
            actions=tuple(map(read_action, fields.objects("actions"))),
            expires=fields.time("expires"),
        )
        fields.end()
        names = [policy.name for policy in proposal.policies]
        if not 1 <= len(proposal.actions) <= MAX_ACTIONS or len(set(names)) != len(names):
            raise MalformedError(
                what=fields.path("actions"),
                detail=f"expected 1 to {MAX_ACTIONS} actions, each about another policy",
            )
        secrets = sum(len(policy.secrets) for policy in proposal.policies)
        if secrets > MAX_SECRETS:
            raise MalformedError(
                what=fields.path("actions"),
                detail=f"its policies have {secrets} secrets, more than {MAX_SECRETS}",
            )
        return proposal

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "author": self.author,
            "title": self.title,
            "base": self.base,
            "actions": [action.to_json() for action in self.actions],
            "expires": format_time(self.expires),
        }


def one_line(fields: Fields, name: str) -> str:
    """One line: more of them could pass for what the reader's own client says."""
    text = fields.text(name, limit=200)
    if set("\n\r\t") & set(text):
        raise MalformedError(what=fields.path(name), detail="it is one line, without tabs")
    return text


@dataclass(frozen=True, slots=True)
class ProposalWithdrawal:
    """The author's statement that a proposal is not wanted any more."""

    SCHEMA = "accord.proposal-withdrawal.v1"

    board: Digest
    proposal: Digest

    @classmethod
    def from_fields(cls, fields: Fields) -> ProposalWithdrawal:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        withdrawal = cls(fields.digest("board"), fields.digest("proposal"))
        fields.end()
        return withdrawal

    def to_json(self) -> JSONValue:
        return {"schema": self.SCHEMA, "board": self.board, "proposal": self.proposal}


@dataclass(frozen=True, slots=True)
class Ballot:
    """One member's vote on one proposal; a higher ``sequence`` replaces a lower one."""

    SCHEMA = "accord.ballot.v1"

    board: Digest
    proposal: Digest
    member: str
    choice: Choice
    sequence: int
    evidence: Digest | None = None
    """Of the environment in which an automated member decided."""

    challenge: bytes | None = None
    """The nonce of the approval request that this answers (PALAEMON's approval service)."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Ballot:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        ballot = cls(
            board=fields.digest("board"),
            proposal=fields.digest("proposal"),
            member=fields.name("member"),
            choice=fields.choice("choice", Choice),
            sequence=fields.integer("sequence", minimum=1),
            evidence=fields.optional("evidence", fields.digest),
            challenge=fields.data("challenge", size=CHALLENGE_BYTES)
            if fields.has("challenge")
            else None,
        )
        fields.end()
        return ballot

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "proposal": self.proposal,
            "member": self.member,
            "choice": self.choice.value,
            "sequence": self.sequence,
        }
        if self.evidence is not None:
            document["evidence"] = self.evidence
        if self.challenge is not None:
            document["challenge"] = base64_encode(self.challenge)
        return document


@dataclass(frozen=True, slots=True)
class Enactment:
    """The trust service's statement that a proposal has all that it needs, and is done."""

    SCHEMA = "accord.enactment.v1"

    board: Digest
    proposal: Digest
    public: Mapping[str, Mapping[str, str]]
    """By policy and secret: certificates and public keys, for everybody to see."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Enactment:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        listed = fields.object("public")
        public = {}
        for policy in listed.names():
            parse_policy_name(policy, what=listed.where)
            parts = listed.object(policy)
            public[policy] = MappingProxyType(
                {name: parts.text(name, limit=MAX_PUBLIC) for name in parts.names()}
            )
        enactment = cls(fields.digest("board"), fields.digest("proposal"), MappingProxyType(public))
        fields.end()
        return enactment

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "proposal": self.proposal,
            "public": {policy: dict(parts) for policy, parts in self.public.items()},
        }
