# SPDX-License-Identifier: Apache-2.0
"""The documents of approval services."""

from typing import Any

import pytest
from tests.support.board import LATER, World, digest, member_json, seed

from accord.board import (
    Action,
    ApprovalAnswer,
    ApprovalRequest,
    ApprovalService,
    Ballot,
    Choice,
    Member,
)
from accord.encoding import Fields
from accord.errors import MalformedError


def request() -> ApprovalRequest:
    world = World.ready()
    envelope = world.sign("proposal", world.proposal_of().to_json(), "lab")
    return ApprovalRequest(
        world.board,
        seed("nonce"),
        envelope.statement_digest,
        (Action.POLICY_ENACT,),
        LATER,
        envelope,
    )


def test_request_and_answer_round_trip() -> None:
    """Each is read as it was written; evidence is optional."""
    asked = request()
    ballot = Ballot(asked.board, asked.proposal, "ann", Choice.REJECT, 1, challenge=asked.nonce)
    signed = World.ready().sign("ballot", ballot.to_json(), "ann")

    assert asked == ApprovalRequest.from_fields(Fields(asked.to_json(), "request"))
    for answer in (ApprovalAnswer(signed), ApprovalAnswer(signed, {"family": "tdx"})):
        assert answer == ApprovalAnswer.from_fields(Fields(answer.to_json(), "answer"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "accord.approval-request.v2"),
        ("nonce", "AAAA"),
        ("proposal", digest("another")),
        ("operation", ["board.dissolve"]),
        ("operation", "policy.enact"),
        ("deadline", "soon"),
        ("envelope", {}),
        ("extra", 1),
    ],
)
def test_malformed_request_is_refused(field: str, value: Any) -> None:
    """Also one whose digest is not that of the proposal it holds."""
    with pytest.raises(MalformedError if field != "schema" else Exception):
        ApprovalRequest.from_fields(Fields({**request().to_json(), field: value}, "request"))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/approve",
        "https://",
        "https://user@example.org/",
        "https://example.org:0/",
        "https://example.org:99999999/",
        "https://[::1/",
        "https://exa mple.org/",
        "ftp://example.org",
    ],
)
def test_approval_service_is_asked_over_https_only(url: str) -> None:
    """At an address with one reading, without a password in it."""
    document = {"url": url, "tls_spki_sha256": "00" * 32, "timeout_s": 5}
    with pytest.raises(MalformedError):
        ApprovalService.from_fields(Fields(document, "approval"))


def test_member_with_an_approval_service_round_trips() -> None:
    """It is part of the charter, TLS key included."""
    approval = {"url": "https://[::1]:8444/approve", "tls_spki_sha256": "ab" * 32, "timeout_s": 5}
    document = member_json("ann", "data-owner", approval=approval)

    assert document == Member.from_fields(Fields(document, "member")).to_json()
