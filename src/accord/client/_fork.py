# SPDX-License-Identifier: Apache-2.0
"""Following the history that members chose, where a home had seen the one that they abandoned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accord.board import ForkHead, ProposalRecord, ProposalStatus, ResolveFork
from accord.errors import ForkUnresolvedError, NoForkSeenError
from accord.ledger import Checkpoint, Ledger
from accord.release import Machine


@dataclass(frozen=True, slots=True)
class Resolution:
    """The vote after which a home may follow another history than the one that it saw."""

    seen: tuple[Checkpoint, ...]
    """What the home saw of the abandoned history."""

    index: int
    """Of the entry that resolved the fork, in the history that goes on."""

    time: datetime
    action: ResolveFork
    record: ProposalRecord


def find_resolution(
    ledger: Ledger,
    machine: Machine,
    *,
    seen: tuple[Checkpoint, ...],
    abandoned: Ledger | None = None,
) -> Resolution:
    """The vote in ``ledger`` that abandoned all that was ``seen`` and that it does not continue.

    Without ``abandoned``, the other history, only exactly the head that was voted on is known to
    belong to it. That the vote satisfied the constitution was checked when the log was replayed.

    Raises ``NoForkSeenError`` where the log continues all of it, or ``ForkUnresolvedError``.
    """
    lost = tuple(item for item in seen if not _covers(ledger, item.size, item.root))
    if not lost:
        raise NoForkSeenError(size=ledger.size)
    for index, action in reversed(machine.board.resolved):
        # (1) This history is the survivor, the other one is not, and the vote came after.
        survivor, other = action.survivor, action.abandoned
        ours = survivor.size <= index and _covers(ledger, survivor.size, survivor.root)
        ours = ours and not _covers(ledger, other.size, other.root)
        # (2) All that was seen is of the history that was abandoned.
        if ours and all(_abandoned(item, other, abandoned) for item in lost):
            record = _voted(machine, action)
            return Resolution(lost, index, ledger.entry(index).time, action, record)
    newest = max(lost, key=lambda item: item.size)
    raise ForkUnresolvedError(size=newest.size, root=newest.root.hex())


def _covers(ledger: Ledger, size: int, root: bytes) -> bool:
    return size <= ledger.size and ledger.root(size) == root


def _abandoned(item: Checkpoint, head: ForkHead, history: Ledger | None) -> bool:
    """Whether ``item`` is the abandoned head, or lies on one history with it."""
    if (item.size, item.root) == (head.size, head.root):
        return True
    if history is None:
        return False
    return _covers(history, head.size, head.root) and _covers(history, item.size, item.root)


def _voted(machine: Machine, action: ResolveFork) -> ProposalRecord:
    return next(
        record
        for record in machine.board.proposals.values()
        if record.status is ProposalStatus.ENACTED and action in record.proposal.actions
    )
