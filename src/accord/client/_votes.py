# SPDX-License-Identifier: Apache-2.0
"""A member's side of governance: proposing, voting and stopping, always with their own key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from accord.board import (
    Ballot,
    Choice,
    EnactPolicy,
    ExecutionStop,
    InstanceToken,
    Proposal,
    ProposalRecord,
    ProposalStatus,
    ProposalWithdrawal,
    ProposedAction,
    StopRecord,
)
from accord.client._home import MemberHome
from accord.client._session import TrustSession
from accord.encoding import Digest
from accord.errors import UnknownProposalError, UnknownStopError
from accord.evidence import Attester, Evidence, Purpose
from accord.identity import VerifyKey, sign_statement
from accord.release import TOKEN_BYTES, Machine, ballot_binding

_UNDECIDED = (ProposalStatus.OPEN, ProposalStatus.NOTICE)


def find_proposal(machine: Machine, prefix: str) -> ProposalRecord:
    """The one proposal whose id starts with ``prefix``, with or without ``sha256:``.

    Raises ``UnknownProposalError`` where there is none, or more than one.
    """
    wanted = prefix if prefix.startswith("sha256:") else f"sha256:{prefix}"
    found = [item for key, item in machine.board.proposals.items() if key.startswith(wanted)]
    if len(found) != 1:
        raise UnknownProposalError(proposal=prefix)
    return found[0]


def find_stop(machine: Machine, prefix: str) -> tuple[Digest, StopRecord]:
    """The one stop that still holds and whose id starts with ``prefix``.

    Raises ``UnknownStopError`` where there is none, or more than one.
    """
    wanted = prefix if prefix.startswith("sha256:") else f"sha256:{prefix}"
    stops = machine.board.stops.items()
    found = [item for item in stops if item[0].startswith(wanted) and not item[1].resumed]
    if len(found) != 1:
        raise UnknownStopError(stop=prefix)
    return found[0]


def find_same(
    machine: Machine, actions: Sequence[ProposedAction], now: datetime
) -> ProposalRecord | None:
    """A proposal of the same actions that is undecided or, if all are policies, enacted."""
    only_policies = all(isinstance(item, EnactPolicy) for item in actions)
    wanted = (*_UNDECIDED, ProposalStatus.ENACTED) if only_policies else _UNDECIDED
    found = (
        record
        for record in machine.board.proposals.values()
        if record.proposal.actions == tuple(actions) and machine.board.status(record, now) in wanted
    )
    return next(found, None)


def propose(
    home: MemberHome,
    session: TrustSession,
    machine: Machine,
    *,
    actions: Sequence[ProposedAction],
    title: str,
    now: datetime,
    expires: datetime,
) -> Digest:
    """Proposes ``actions``, all or none; what is proposed or enacted is not proposed twice.

    Proposing is not voting. Returns the proposal's id.
    """
    same = find_same(machine, actions, now)
    if same is not None:
        return same.id
    base = machine.board.charter.digest
    proposal = Proposal(session.board, home.name, title, base, tuple(actions), expires)
    envelope = sign_statement("proposal", proposal.to_json(), [home.identity.signer])
    session.submit(envelope)
    return envelope.statement_digest


def withdraw_proposal(home: MemberHome, session: TrustSession, record: ProposalRecord) -> int:
    """Takes the member's own proposal back. Returns the index of the entry."""
    body = ProposalWithdrawal(session.board, record.id).to_json()
    return session.submit(sign_statement("proposal-withdrawal", body, [home.identity.signer]))


def next_ballot(
    record: ProposalRecord,
    member: str,
    choice: Choice,
    *,
    challenge: bytes | None = None,
) -> Ballot:
    """The ballot with which ``member`` makes or changes its vote; the same vote is the same."""
    earlier = record.ballots.get(member)
    same = earlier is not None and earlier.choice is choice and challenge is None
    sequence = earlier.sequence + (not same) if earlier is not None else 1
    board = record.proposal.board
    return Ballot(board, record.id, member, choice, sequence, challenge=challenge)


def with_evidence(
    ballot: Ballot, key: VerifyKey, nonce: bytes, attester: Attester
) -> tuple[Ballot, Evidence]:
    """The ballot of an automated member, and evidence of where it was decided.

    ``nonce`` is the ballot's challenge.
    """
    binding = ballot_binding(
        ballot.board,
        ballot.proposal,
        choice=ballot.choice.value,
        sequence=ballot.sequence,
        key=key,
        nonce=nonce,
    )
    evidence = attester.collect(binding.report_data())
    return replace(ballot, evidence=evidence.digest), evidence


def vote(
    home: MemberHome,
    session: TrustSession,
    record: ProposalRecord,
    choice: Choice,
    *,
    attester: Attester | None = None,
) -> int:
    """Casts or changes the member's vote; the same vote again changes nothing.

    ``attester`` is the environment of an automated member, whose every ballot comes with
    fresh evidence.
    """
    evidence = None
    if attester is None:
        ballot = next_ballot(record, home.name, choice)
    else:
        nonce = session.challenge(Purpose.BALLOT)
        ballot = next_ballot(record, home.name, choice, challenge=nonce)
        ballot, evidence = with_evidence(ballot, home.identity.public.verify_key, nonce, attester)
    envelope = sign_statement("ballot", ballot.to_json(), [home.identity.signer])
    return session.submit(envelope, evidence=evidence)


def stop_execution(
    home: MemberHome, session: TrustSession, scope: str, reason: str, *, now: datetime
) -> tuple[Digest, int]:
    """Stops what is within ``scope`` at once. Returns the stop's id and its entry's index."""
    stop = ExecutionStop(session.board, home.name, scope, reason, now)
    envelope = sign_statement("execution-stop", stop.to_json(), [home.identity.signer])
    return envelope.statement_digest, session.submit(envelope)


def issue_token(
    home: MemberHome, session: TrustSession, *, policy: str, service: str, expires: datetime
) -> bytes:
    """A token for one start of one service; the board learns its SHA-256 alone."""
    token = os.urandom(TOKEN_BYTES)
    statement = InstanceToken(
        session.board, home.name, policy, service, hashlib.sha256(token).digest(), expires
    )
    body = statement.to_json()
    session.submit(sign_statement("instance-token", body, [home.identity.signer]))
    return token
