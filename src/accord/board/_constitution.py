# SPDX-License-Identifier: Apache-2.0
"""The constitution: per action, the approvals it needs, who may veto it, and how long it waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from accord.encoding import Fields, JSONValue
from accord.errors import ConstitutionError
from accord.policy import STOPPERS, Electorate, Rule, RuleKind, parse_term

MAX_WAIT_S = 365 * 24 * 3600
"""Longest notice and voting time: a year, in seconds."""


class Action(StrEnum):
    """What a proposal can do."""

    POLICY_ENACT = "policy.enact"
    MEMBER_ADD = "member.add"
    MEMBER_REMOVE = "member.remove"
    MEMBER_UPDATE = "member.update"
    CONSTITUTION_REPLACE = "constitution.replace"
    SERVICE_REPLACE = "service.replace"
    WITNESSES_REPLACE = "witnesses.replace"
    KEYS_ROTATE = "keys.rotate"
    RECOVERY_OPEN = "recovery.open"
    """Nobody proposes it: the rule of who must agree that a restored board goes on."""

    EXECUTION_RESUME = "execution.resume"
    TAG_ACCEPT = "tag.accept"
    LOG_FORK_RESOLVE = "log.fork.resolve"


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What one action needs. Every part can only make it harder."""

    approve: Rule
    veto: tuple[str, ...] = ()
    """Terms: one reject by anybody they mean ends the proposal."""

    notice_s: int = 0
    """Seconds between the last approval and the effect, in which a veto still counts."""

    voting_s: int | None = None
    """Longest time for which a proposal may be open; ``None``: as its author says."""

    @classmethod
    def from_json(cls, value: JSONValue, where: str) -> ActionRule:
        """Reads a bare rule, or an object with ``approve`` and more.

        Raises ``ConstitutionError`` or ``MalformedError``.
        """
        if not isinstance(value, dict) or "approve" not in value:
            return cls(Rule.from_json(value, where))
        fields = Fields(value, where)
        rule = cls(
            Rule.from_json(fields.take("approve"), fields.path("approve")),
            tuple(parse_term(v, w) for w, v in fields.items("veto")) if fields.has("veto") else (),
            fields.integer("notice_s", minimum=0, maximum=MAX_WAIT_S)
            if fields.has("notice_s")
            else 0,
            fields.integer("voting_s", minimum=1, maximum=MAX_WAIT_S)
            if fields.has("voting_s")
            else None,
        )
        fields.end()
        return rule

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "approve": self.approve.to_json(),
            "veto": list(self.veto),
            "notice_s": self.notice_s,
        }
        return document if self.voting_s is None else {**document, "voting_s": self.voting_s}

    def vetoers(self, electorate: Electorate) -> frozenset[str]:
        """Everybody whose reject alone ends a proposal."""
        return frozenset(member for term in self.veto for member in electorate.resolve(term))


_RESUME = ActionRule(Rule(RuleKind.EVERYONE, members=STOPPERS))
"""Whoever stopped executions must agree that they go on, unless the constitution says more."""


@dataclass(frozen=True, slots=True)
class Constitution:
    """The rule of each action. What has no rule cannot be done; policies always have one."""

    rules: Mapping[Action, ActionRule]

    @classmethod
    def from_fields(cls, fields: Fields) -> Constitution:
        """Reads and ends ``fields``. Raises ``ConstitutionError`` or ``MalformedError``."""
        rules = {
            action: ActionRule.from_json(fields.take(action.value), fields.path(action.value))
            for action in Action
            if action is Action.POLICY_ENACT or fields.has(action.value)
        }
        fields.end()
        return cls(MappingProxyType(rules))

    def to_json(self) -> JSONValue:
        return {action.value: rule.to_json() for action, rule in self.rules.items()}

    def rule(self, action: Action) -> ActionRule:
        """What ``action`` needs. Raises ``ConstitutionError`` where nothing allows it."""
        found = self.rules.get(action)
        if found is None and action is Action.EXECUTION_RESUME:
            return _RESUME
        if found is None and action is Action.TAG_ACCEPT:
            # As if the policy were enacted anew; the owners concerned are asked besides.
            return self.rules[Action.POLICY_ENACT]
        if found is None and action is Action.LOG_FORK_RESOLVE:
            # Who may change every rule may say which of two histories was the board's.
            return self.rule(Action.CONSTITUTION_REPLACE)
        if found is None:
            raise ConstitutionError(where=action.value, detail="this board has no rule for it")
        return found

    def check(self, everybody: Electorate) -> None:
        """Raises ``ConstitutionError`` where all members together could not satisfy a rule."""
        members = frozenset(everybody.roles)
        for action, rule in self.rules.items():
            if not rule.approve.satisfied(members, everybody):
                raise ConstitutionError(where=action.value, detail="nobody could satisfy it")
