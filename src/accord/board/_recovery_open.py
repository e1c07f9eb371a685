# SPDX-License-Identifier: Apache-2.0
"""Who must agree that a restored board goes on where it is now."""

from __future__ import annotations

from accord.board._constitution import Action
from accord.board._requirements import owners_electorate
from accord.board._state import BoardState


def recovery_missing(state: BoardState, approvals: frozenset[str]) -> tuple[str, ...]:
    """What the rule ``recovery.open`` still needs; empty once ``approvals`` suffice.

    A board without that rule needs what replacing its service needs, and without that
    everybody. Vetoes and notices do *not* apply: whoever objects gives no share.
    """
    rules = state.charter.constitution.rules
    rule = rules.get(Action.RECOVERY_OPEN) or rules.get(Action.SERVICE_REPLACE)
    if rule is None:
        return tuple(sorted(state.members.keys() - approvals))
    return rule.approve.missing(approvals, owners_electorate(state))
