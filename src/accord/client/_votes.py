# SPDX-License-Identifier: Apache-2.0
"""A member's side of governance: proposing and voting, always with their own key."""

from __future__ import annotations

from datetime import datetime

from accord.board import Ballot, Choice, Proposal, ProposalRecord, ProposalStatus
from accord.client._home import MemberHome
from accord.client._session import TrustSession
from accord.encoding import Digest
from accord.errors import UnknownProposalError
from accord.identity import sign_statement
from accord.policy import Policy
from accord.release import Machine


def find_proposal(machine: Machine, prefix: str) -> ProposalRecord:
    """The one proposal whose id starts with ``prefix``, with or without ``sha256:``.

    Raises ``UnknownProposalError`` where there is none, or more than one.
    """
    wanted = prefix if prefix.startswith("sha256:") else f"sha256:{prefix}"
    found = [item for key, item in machine.board.proposals.items() if key.startswith(wanted)]
    if len(found) != 1:
        raise UnknownProposalError(proposal=prefix)
    return found[0]


def propose(
    home: MemberHome,
    session: TrustSession,
    machine: Machine,
    *,
    policy: Policy,
    title: str,
    now: datetime,
    expires: datetime,
) -> Digest:
    """Proposes ``policy``; one that is open or in force already is not proposed twice.

    Proposing is not voting. Returns the proposal's id.
    """
    for record in machine.board.proposals.values():
        status = machine.board.status(record, now)
        wanted = record.proposal.policy.digest == policy.digest
        if wanted and status in (ProposalStatus.OPEN, ProposalStatus.ENACTED):
            return record.id
    proposal = Proposal(session.board, home.name, title, policy, expires)
    envelope = sign_statement("proposal", proposal.to_json(), [home.identity.signer])
    session.submit(envelope)
    return envelope.statement_digest


def vote(
    home: MemberHome,
    session: TrustSession,
    record: ProposalRecord,
    choice: Choice,
) -> int:
    """Casts or changes the member's vote; the same vote again changes nothing."""
    earlier = record.ballots.get(home.name)
    same = earlier is not None and earlier.choice is choice
    sequence = earlier.sequence + (not same) if earlier is not None else 1
    ballot = Ballot(session.board, record.id, home.name, choice, sequence)
    return session.submit(sign_statement("ballot", ballot.to_json(), [home.identity.signer]))
