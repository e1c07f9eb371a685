# SPDX-License-Identifier: Apache-2.0
"""Stops, resuming and instance tokens."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import LATER, MEMBERS, NOW, World, digest, member_json

from accord.board import ExecutionStop, InstanceToken, ResumeExecution, StopRecord, parse_scope
from accord.encoding import Digest, Fields
from accord.errors import (
    MalformedError,
    NotAMemberError,
    SignatureInvalidError,
    TokenError,
    UnknownStopError,
)

ASSETS = frozenset({"ann/records", "lab/code"})
RUN = "run-" + "0" * 32


def stopped(scope: str) -> StopRecord:
    return StopRecord(ExecutionStop(digest("board"), "ann", scope, "why", NOW), 7, digest("key"))


def stop(world: World, member: str = "ann", scope: str = "board", **changes: Any) -> Digest:
    body = replace(ExecutionStop(world.board, member, scope, "why", NOW), **changes)
    return world.say("execution-stop", body.to_json(), member).digest


@pytest.mark.parametrize(
    ("scope", "hit"),
    [
        ("board", True),
        ("policy:train", True),
        ("policy:trai", False),
        ("policy:train/fine", False),
        ("asset:ann/records", True),
        ("asset:bob/records", False),
        (f"run:{RUN}", True),
        ("run:run-" + "1" * 32, False),
    ],
)
def test_stop_covers_its_scope_alone(scope: str, hit: bool) -> None:  # noqa: FBT001
    """Once resumed, nothing."""
    record = stopped(scope)

    assert hit is record.covers(policy="train", assets=ASSETS, run=RUN)
    record.resumed = True
    assert not record.covers(policy="train", assets=ASSETS, run=RUN)


def test_stop_of_a_policy_covers_its_namespace() -> None:
    """What is below it stops as well."""
    assert stopped("policy:train").covers(policy="train/fine", assets=ASSETS, run=RUN)


@pytest.mark.parametrize(
    "scope", ["", "all", "board:x", "policy:", "policy:A", "asset:ann", "run:x", "run:run-../x"]
)
def test_malformed_scope_is_refused(scope: str) -> None:
    """A stop that nobody understands stops nothing, so it is not taken."""
    with pytest.raises(MalformedError):
        parse_scope(scope, what="scope")


def test_any_member_stops_in_their_own_name() -> None:
    """At once, without a vote; strangers and others cannot."""
    world = World.enacted()
    first, second = stop(world), stop(world, "clinic", "policy:train")
    live = [record.stop.member for record in world.machine.board.live_stops()]

    assert live == ["ann", "clinic"]
    assert first != second
    with world.refuses(NotAMemberError):
        body = ExecutionStop(world.board, "ann", "board", "why", LATER)
        world.say("execution-stop", body.to_json(), "bob")
    with world.refuses(SignatureInvalidError):
        stop(world, "mallory")


def test_whoever_stopped_must_agree_to_go_on() -> None:
    """Unless the constitution says otherwise."""
    world = World.enacted()
    halt = stop(world, "bob", "asset:ann/records")
    proposal = world.propose(actions=(ResumeExecution(halt),))
    record = world.machine.board.proposals[proposal]

    assert world.machine.board.missing(record) == ("bob",)
    assert record.affected_owners == {"ann"}
    world.vote("bob", proposal)
    world.enact(proposal)
    assert world.machine.board.live_stops() == ()
    with world.refuses(UnknownStopError, "executions went on since"):
        world.propose(actions=(ResumeExecution(halt),), title="again")
    with world.refuses(UnknownStopError):
        world.propose(actions=(ResumeExecution(digest("x")),))


def test_second_proposal_to_resume_is_stale() -> None:
    """What goes on already cannot be resumed again by an older vote."""
    world = World.enacted()
    halt = stop(world, "bob")
    first = world.propose(actions=(ResumeExecution(halt),))
    second = world.propose(actions=(ResumeExecution(halt),), title="second")
    world.vote("bob", first)
    world.enact(first)
    record = world.machine.board.proposals[second]

    assert world.machine.board.status(record, NOW).value == "stale"


def test_constitution_may_ask_more_for_resuming() -> None:
    """The rule of execution.resume replaces the usual one."""
    rules = {"policy.enact": "role:result-user", "execution.resume": {"all": ["member:lab"]}}
    world = World.ready(constitution=rules)
    proposal = world.propose(actions=(ResumeExecution(stop(world, "bob")),))

    assert world.machine.board.missing(world.machine.board.proposals[proposal]) == ("lab",)


def token_of(world: World, member: str = "ann", **changes: Any) -> InstanceToken:
    token = InstanceToken(world.board, member, "train", "train", b"t" * 32, LATER)
    return replace(token, **changes)


def test_owners_and_operators_issue_tokens() -> None:
    """For services that there are, once, and not for the past."""
    members = [member_json(name, role) for name, role in MEMBERS.items()]
    members.append(member_json("ops", "operator"))
    world = World.enacted(members=members)
    for number, member in enumerate(("ann", "lab", "ops")):
        token = token_of(world, member, token_sha256=bytes([number]) * 32)
        assert token == InstanceToken.from_fields(Fields(token.to_json(), "token"))
        world.say("instance-token", token.to_json(), member)

    assert len(world.machine.board.tokens) == 3
    for token, match in (
        (token_of(world, "clinic"), "neither an owner nor an operator"),
        (token_of(world, "bob"), "neither an owner nor an operator"),
        (token_of(world, policy="other"), "no service train in other"),
        (token_of(world, service="other"), "no service other in train"),
        (token_of(world, expires=NOW), "has expired"),
        (token_of(world, token_sha256=bytes(32), expires=LATER - timedelta(1)), "issued before"),
    ):
        with world.refuses(TokenError, match):
            world.say("instance-token", token.to_json(), token.member)


def test_documents_round_trip() -> None:
    """A stop is read as it was written, and its reason is one line."""
    halt = stopped("policy:train").stop

    assert halt == ExecutionStop.from_fields(Fields(halt.to_json(), "stop"))
    with pytest.raises(MalformedError, match="one line"):
        ExecutionStop.from_fields(Fields({**halt.to_json(), "reason": "a\nb"}, "stop"))
