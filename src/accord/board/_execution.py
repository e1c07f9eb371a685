# SPDX-License-Identifier: Apache-2.0
"""Execution: stopping it, and the tokens with which single instances start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accord.board._proposal import one_line
from accord.encoding import Digest, Fields, JSONValue, format_time, parse_name
from accord.errors import MalformedError
from accord.policy import parse_asset_name, parse_policy_name

WHOLE_BOARD = "board"
_RUN_PREFIX = "run-"


def parse_scope(text: str, *, what: str) -> str:
    """``board``, ``policy:NAME``, ``asset:OWNER/NAME`` or ``run:ID``. Raises ``MalformedError``."""
    kind, _, name = text.partition(":")
    match kind:
        case "policy":
            parse_policy_name(name, what=what)
        case "asset":
            parse_asset_name(name, what=what)
        case "run" if name.startswith(_RUN_PREFIX):
            parse_name(name, what=what)
        case _ if text != WHOLE_BOARD:
            raise MalformedError(
                what=what, detail="expected board, policy:NAME, asset:OWNER/NAME or run:ID"
            )
    return text


@dataclass(frozen=True, slots=True)
class ExecutionStop:
    """One member's statement that nothing within ``scope`` may be released or go on."""

    SCHEMA = "accord.execution-stop.v1"

    board: Digest
    member: str
    scope: str
    reason: str
    time: datetime
    """When it was signed: two stops of one member are two statements."""

    @classmethod
    def from_fields(cls, fields: Fields) -> ExecutionStop:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        stop = cls(
            board=fields.digest("board"),
            member=fields.name("member"),
            scope=parse_scope(fields.text("scope", limit=300), what=fields.path("scope")),
            reason=one_line(fields, "reason"),
            time=fields.time("time"),
        )
        fields.end()
        return stop

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "member": self.member,
            "scope": self.scope,
            "reason": self.reason,
            "time": format_time(self.time),
        }


@dataclass(slots=True)
class StopRecord:
    """A stop, and whether the board has agreed since that things go on."""

    stop: ExecutionStop
    index: int
    key: Digest
    """Id of the key that signed it: whoever gets the name later has not stopped anything."""

    resumed: bool = False

    def covers(self, *, policy: str, assets: frozenset[str], run: str) -> bool:
        """Whether it stops this run of this policy, which uses these assets."""
        if self.resumed:
            return False
        kind, _, name = self.stop.scope.partition(":")
        match kind:
            case "policy":
                return policy == name or policy.startswith(f"{name}/")
            case "asset":
                return name in assets
            case "run":
                return run == name
        return True


@dataclass(frozen=True, slots=True)
class InstanceToken:
    """A member's permission for one start of one service; whoever shows the token may use it."""

    SCHEMA = "accord.instance-token.v1"

    board: Digest
    member: str
    policy: str
    service: str
    token_sha256: bytes
    expires: datetime

    @classmethod
    def from_fields(cls, fields: Fields) -> InstanceToken:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        token = cls(
            board=fields.digest("board"),
            member=fields.name("member"),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            service=fields.name("service"),
            token_sha256=fields.hex("token_sha256", size=32),
            expires=fields.time("expires"),
        )
        fields.end()
        return token

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "member": self.member,
            "policy": self.policy,
            "service": self.service,
            "token_sha256": self.token_sha256.hex(),
            "expires": format_time(self.expires),
        }
