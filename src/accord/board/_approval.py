# SPDX-License-Identifier: Apache-2.0
"""Asking a member's own approval service for a vote, and its answer (PALAEMON, section 2.2).

The trust service asks over TLS that is pinned to the key in the charter. What it says is
checked by the one who is asked: the proposal comes as its author signed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accord.board._constitution import Action
from accord.board._proposal import CHALLENGE_BYTES
from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    base64_encode,
    format_time,
)
from accord.errors import MalformedError


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """The trust service's question to one member: how they vote on this proposal."""

    SCHEMA = "accord.approval-request.v1"

    board: Digest
    nonce: bytes
    """32 bytes; the ballot that answers names them as its ``challenge``."""

    proposal: Digest
    """The proposal's id: the statement digest of ``envelope``."""

    operation: tuple[Action, ...]
    """What the proposal would do, one item for each of its actions, in order."""

    deadline: datetime
    """An answer after this moment is not recorded."""

    envelope: Envelope
    """The proposal as its author signed it."""

    @classmethod
    def from_fields(cls, fields: Fields) -> ApprovalRequest:
        """Reads and ends ``fields``. Raises ``MalformedError``.

        Neither the proposal's signature nor that ``operation`` tells the truth is checked here.
        """
        fields.schema(cls.SCHEMA)
        request = cls(
            board=fields.digest("board"),
            nonce=fields.data("nonce", size=CHALLENGE_BYTES),
            proposal=fields.digest("proposal"),
            operation=tuple(_action(value, where) for where, value in fields.items("operation")),
            deadline=fields.time("deadline"),
            envelope=Envelope.from_json(fields.take("envelope"), what=fields.path("envelope")),
        )
        fields.end()
        if request.envelope.statement_digest != request.proposal:
            raise MalformedError(what=fields.path("envelope"), detail="it is another proposal")
        return request

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "nonce": base64_encode(self.nonce),
            "proposal": self.proposal,
            "operation": [action.value for action in self.operation],
            "deadline": format_time(self.deadline),
            "envelope": self.envelope.to_json(),
        }


def _action(value: JSONValue, where: str) -> Action:
    return Fields({"action": value}, where).choice("action", Action)


@dataclass(frozen=True, slots=True)
class ApprovalAnswer:
    """A member's signed ballot; its ``challenge`` is the nonce of the request."""

    SCHEMA = "accord.approval-answer.v1"

    ballot: Envelope
    evidence: JSONValue = None
    """Of an automated member's environment, as `accord.evidence` writes it; else ``None``."""

    @classmethod
    def from_fields(cls, fields: Fields) -> ApprovalAnswer:
        """Reads and ends ``fields``; the signature is *not* verified, nor is the evidence read."""
        fields.schema(cls.SCHEMA)
        answer = cls(
            Envelope.from_json(fields.take("ballot"), what=fields.path("ballot")),
            fields.take("evidence") if fields.has("evidence") else None,
        )
        fields.end()
        return answer

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {"schema": self.SCHEMA, "ballot": self.ballot.to_json()}
        return document if self.evidence is None else {**document, "evidence": self.evidence}
