# SPDX-License-Identifier: Apache-2.0
"""What a charter allows that its founders may not have meant. Nothing here is refused.

A rule that nobody could satisfy is refused when a charter is read; these are warnings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accord.board._charter import Charter
from accord.board._constitution import Action, ActionRule
from accord.encoding import JSONValue
from accord.policy import Electorate

_CHANGES = (
    Action.MEMBER_ADD,
    Action.MEMBER_REMOVE,
    Action.MEMBER_UPDATE,
    Action.CONSTITUTION_REPLACE,
    Action.SERVICE_REPLACE,
)
"""Actions that change what every charter has."""

_HASTY = (
    Action.MEMBER_REMOVE,
    Action.MEMBER_UPDATE,
    Action.CONSTITUTION_REPLACE,
    Action.SERVICE_REPLACE,
    Action.WITNESSES_REPLACE,
    Action.KEYS_ROTATE,
    Action.LOG_FORK_RESOLVE,
)
"""Actions that take something from members, who should have time to notice."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning about a charter."""

    code: str
    where: str
    words: str

    def to_json(self) -> JSONValue:
        return {"code": self.code, "where": self.where, "words": self.words}


def lint_constitution(charter: Charter) -> tuple[Finding, ...]:
    """The warnings about ``charter``, by action and then in order of the findings' codes.

    What depends on whom a proposal affects is judged for one that affects nobody else.
    """
    found = [
        finding
        for action, rule in charter.constitution.rules.items()
        for finding in _of_action(charter, action, rule)
    ]
    changes = [*_CHANGES]
    changes += [Action.WITNESSES_REPLACE] * (charter.witnesses is not None)
    changes += [Action.KEYS_ROTATE] * (charter.recovery is not None)
    missing = [action.value for action in changes if action not in charter.constitution.rules]
    if missing:
        words = f"without a rule, this can never be done: {', '.join(missing)}"
        found.append(Finding("unchangeable", "constitution", words))
    found += _updates(charter)
    silent = [
        name for name, member in charter.members.items() if not member.weight and not member.roles
    ]
    found += [Finding("no-voice", f"member {name}", "no role and no weight") for name in silent]
    return tuple(found)


def _updates(charter: Charter) -> Iterator[Finding]:
    """What somebody's own approval does to their own membership."""
    rules, where = charter.constitution.rules, Action.MEMBER_UPDATE
    rule = rules.get(where)
    if rule is None:
        return
    if rules.keys().isdisjoint((Action.CONSTITUTION_REPLACE, Action.MEMBER_ADD)):
        words = "without a rule for constitution.replace or member.add, nothing but keys changes"
        yield Finding("keys-only", where.value, words)
    for name in sorted(charter.members):
        me = frozenset({name})
        own = Electorate(charter.roles, charter.weights, affected_owners=me, lineage_owners=me)
        others = Electorate(charter.roles, charter.weights)
        if rule.approve.satisfied(me, own) and not rule.approve.satisfied(me, others):
            words = "whoever finds the key of a member can replace it: its own approval suffices"
            yield Finding("self-update", where.value, words)
            return


def _of_action(charter: Charter, action: Action, rule: ActionRule) -> Iterator[Finding]:
    electorate = Electorate(charter.roles, charter.weights)
    where = action.value
    alone = [
        name for name in charter.members if rule.approve.satisfied(frozenset({name}), electorate)
    ]
    if alone:
        who = ", ".join(sorted(alone))
        yield Finding("one-member-decides", where, f"one approval suffices: of {who}")
    machines = frozenset(name for name, member in charter.members.items() if member.attestation)
    if machines and rule.approve.satisfied(machines, electorate):
        yield Finding("machines-decide", where, "the approvals of automated members suffice")
    # Nobody proposes a recovery, so neither a veto nor a notice could hold it up.
    if action is Action.RECOVERY_OPEN:
        return
    if not rule.veto:
        yield Finding("no-veto", where, "nobody can stop it once enough members have approved")
    for term in rule.veto:
        if ":" in term and not electorate.resolve(term):
            yield Finding("empty-veto", where, f"no member is meant by the veto of {term}")
    if action in _HASTY and not rule.notice_s:
        yield Finding("no-notice", where, "it takes effect with the last approval")
    if rule.voting_s is not None and rule.notice_s >= rule.voting_s:
        yield Finding("no-time", where, "the notice leaves no time to vote")
    if action is Action.POLICY_ENACT and not rule.approve.satisfied(
        frozenset(charter.members), electorate
    ):
        words = "a policy without assets could never be enacted"
        yield Finding("needs-assets", where, words)
