# SPDX-License-Identifier: Apache-2.0
"""Proposals and ballots. Proposing is not voting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from accord.encoding import Digest, Fields, JSONValue, format_time
from accord.errors import MalformedError
from accord.policy import Policy


class Choice(StrEnum):
    """What a ballot says."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A member's wish that ``policy`` be enacted in place of its predecessor."""

    SCHEMA = "accord.proposal.v1"

    board: Digest
    author: str
    title: str
    policy: Policy
    expires: datetime

    @classmethod
    def from_fields(cls, fields: Fields) -> Proposal:
        """Reads and ends ``fields``. Raises what reading the policy raises."""
        fields.schema(cls.SCHEMA)
        proposal = cls(
            board=fields.digest("board"),
            author=fields.name("author"),
            title=_title(fields),
            policy=Policy.from_json(fields.take("policy"), where=fields.path("policy")),
            expires=fields.time("expires"),
        )
        fields.end()
        return proposal

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "author": self.author,
            "title": self.title,
            "policy": self.policy.to_json(),
            "expires": format_time(self.expires),
        }


def _title(fields: Fields) -> str:
    """One line: more of them could pass for what the voter's own client says."""
    title = fields.text("title", limit=200)
    if set("\n\r\t") & set(title):
        raise MalformedError(what=fields.path("title"), detail="a title is one line, without tabs")
    return title


@dataclass(frozen=True, slots=True)
class Ballot:
    """One member's vote on one proposal; a higher ``sequence`` replaces a lower one."""

    SCHEMA = "accord.ballot.v1"

    board: Digest
    proposal: Digest
    member: str
    choice: Choice
    sequence: int

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
        )
        fields.end()
        return ballot

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "proposal": self.proposal,
            "member": self.member,
            "choice": self.choice.value,
            "sequence": self.sequence,
        }


@dataclass(frozen=True, slots=True)
class Enactment:
    """The trust service's statement that a proposal has all the approvals it needs."""

    SCHEMA = "accord.enactment.v1"

    board: Digest
    proposal: Digest

    @classmethod
    def from_fields(cls, fields: Fields) -> Enactment:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        enactment = cls(fields.digest("board"), fields.digest("proposal"))
        fields.end()
        return enactment

    def to_json(self) -> JSONValue:
        return {"schema": self.SCHEMA, "board": self.board, "proposal": self.proposal}
