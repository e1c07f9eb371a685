# SPDX-License-Identifier: Apache-2.0
"""Voting, and proposing with one's own vote: what several commands end with."""

from __future__ import annotations

from datetime import UTC, datetime

from accord.board import Choice, ProposalRecord, ProposedAction
from accord.cli._output import Output
from accord.cli._proposing import expiry, show_proposal
from accord.client import MemberHome, TrustSession, find_proposal, propose
from accord.client import vote as cast
from accord.evidence import Attester
from accord.release import Machine


def cast_vote(
    out: Output,
    member: MemberHome,
    session: TrustSession,
    record: ProposalRecord,
    choice: Choice,
    *,
    attester: Attester | None = None,
) -> None:
    """Votes, unless this very vote was counted and the proposal is enacted."""
    earlier = record.ballots.get(member.name)
    if record.enacted and earlier is not None and earlier.choice is choice:
        out.note("this vote was counted before; nothing to do")
        return
    index = cast(member, session, record, choice, attester=attester)
    out.fact(f"{member.name} voted to {choice.value}, entry {index}")


def propose_and_approve(
    out: Output,
    member: MemberHome,
    session: TrustSession,
    machine: Machine,
    action: ProposedAction,
    *,
    title: str,
) -> None:
    """Proposes one action, votes for it, and shows the proposal as it then stands."""
    now = datetime.now(UTC).replace(microsecond=0)
    proposal = propose(
        member,
        session,
        machine,
        actions=(action,),
        title=title,
        now=now,
        expires=expiry(machine, (action,), now, None),
    )
    _, machine, _ = member.read(session)
    cast_vote(out, member, session, find_proposal(machine, proposal), Choice.APPROVE)
    _, machine, _ = member.read(session)
    show_proposal(out, machine, find_proposal(machine, proposal))
