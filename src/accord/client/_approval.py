# SPDX-License-Identifier: Apache-2.0
"""A member's approval service: what must hold before it votes, and its signed answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from accord.board import (
    ApprovalAnswer,
    ApprovalRequest,
    Choice,
    Proposal,
    ProposalRecord,
    ProposalStatus,
)
from accord.client._votes import next_ballot, with_evidence
from accord.encoding import JSONValue
from accord.errors import ApprovalRefusedError, WrongBoardError
from accord.evidence import Attester
from accord.identity import FileIdentity, sign_statement, verify_statement
from accord.policy import diff
from accord.release import Machine

Check = Callable[[JSONValue], Choice | None]
"""What a member's own program says of a case; ``None``: no vote."""


def proposal_asked_about(
    request: ApprovalRequest, machine: Machine, *, member: str, now: datetime
) -> ProposalRecord:
    """The open proposal that ``request`` is about, as the board's log has it.

    Raises ``WrongBoardError``, ``ApprovalRefusedError`` and what verifying it raises.
    """
    board = machine.board
    # (1) It is about the board that this member belongs to.
    if request.board != board.board:
        raise WrongBoardError(found=request.board, expected=board.board)
    if member not in board.members:
        raise ApprovalRefusedError(detail=f"{member} is no member of the board")
    # (2) There is still time.
    if now >= request.deadline:
        raise ApprovalRefusedError(detail="the deadline has passed")
    # (3) The proposal is a member's own, and the log has it.
    statement = verify_statement(request.envelope, "proposal", board.keys)
    proposal = Proposal.from_fields(statement.fields())
    record = board.proposals.get(statement.digest)
    if record is None:
        raise ApprovalRefusedError(detail="the proposal is not in the board's log")
    # (4) The request says what the proposal does, and it can still be voted on.
    if request.operation != tuple(item.action for item in proposal.actions):
        raise ApprovalRefusedError(detail="the request names other actions than the proposal")
    status = board.status(record, now)
    if status not in (ProposalStatus.OPEN, ProposalStatus.NOTICE):
        raise ApprovalRefusedError(detail=f"the proposal is {status.value}")
    # (5) The member has not voted: whoever asks again must not undo what a person has decided.
    if member in record.ballots:
        raise ApprovalRefusedError(detail=f"{member} has voted")
    return record


def case_of(record: ProposalRecord, machine: Machine) -> JSONValue:
    """What a member's program is told of a proposal."""
    changes: list[JSONValue] = []
    for policy in record.proposal.policies:
        before = machine.board.policy(policy.name)
        changes += [change.to_json() for change in diff(before, policy)]
    return {
        "schema": "accord.approval-case.v1",
        "proposal": record.id,
        "document": record.proposal.to_json(),
        "policies": {policy.name: policy.digest for policy in record.proposal.policies},
        "changes": changes,
        "missing": list(machine.board.missing(record)),
    }


def answer_request(
    request: ApprovalRequest,
    machine: Machine,
    identity: FileIdentity,
    *,
    now: Callable[[], datetime],
    check: Check,
    attester: Attester | None = None,
) -> ApprovalAnswer:
    """The member's signed vote, if ``check`` has an opinion.

    ``attester`` is the environment of an automated member, whose ballots come with evidence.
    Raises what `proposal_asked_about` raises; whatever fails, nothing is signed.
    """
    name = identity.public.name
    record = proposal_asked_about(request, machine, member=name, now=now())
    choice = check(case_of(record, machine))
    if choice is None:
        raise ApprovalRefusedError(detail="the member's own check has no opinion")
    # The check may have taken its time.
    proposal_asked_about(request, machine, member=name, now=now())
    ballot = next_ballot(record, name, choice, challenge=request.nonce)
    evidence = None
    if attester is not None:
        key = identity.public.verify_key
        ballot, evidence = with_evidence(ballot, key, request.nonce, attester)
    envelope = sign_statement("ballot", ballot.to_json(), [identity.signer])
    return ApprovalAnswer(envelope, None if evidence is None else evidence.to_json())
