# SPDX-License-Identifier: Apache-2.0
"""The constitution: per action, a monotone tree of approvals. Data, not code.

A rule is satisfied by a set of approving members and can only become more satisfied by more
of them, so that what is missing can always be computed and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from accord.encoding import Fields, JSONValue
from accord.errors import ConstitutionError, MalformedError

MAX_RULE_DEPTH = 8
"""Deepest nesting of a rule tree; people must be able to read it."""

AFFECTED_OWNERS = "affected_owners"


class Action(StrEnum):
    """What a proposal can do."""

    POLICY_ENACT = "policy.enact"


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who can be meant by a rule: members, their roles, and whom this proposal affects."""

    roles: Mapping[str, frozenset[str]]
    """Roles of each member, by member name."""

    affected_owners: frozenset[str]

    def resolve(self, term: str) -> frozenset[str]:
        """The members that ``member:NAME``, ``role:NAME`` or ``affected_owners`` means."""
        if term == AFFECTED_OWNERS:
            return self.affected_owners
        kind, _, name = term.partition(":")
        if kind == "member":
            return frozenset({name}) & self.roles.keys()
        return frozenset(member for member, roles in self.roles.items() if name in roles)


class RuleKind(StrEnum):
    """How a rule combines what is below it."""

    ALL = "all"
    ANY = "any"
    AT_LEAST = "at_least"
    EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Rule:
    """A node of the tree: ``all`` and ``any`` over rules, the other two over ``members``."""

    kind: RuleKind
    rules: tuple[Rule, ...] = ()
    members: str = ""
    needed: int = 0

    @classmethod
    def from_json(cls, value: JSONValue, where: str, depth: int = 0) -> Rule:
        """Reads a rule. Raises ``ConstitutionError`` or ``MalformedError``."""
        if depth > MAX_RULE_DEPTH:
            raise ConstitutionError(where=where, detail=f"nested deeper than {MAX_RULE_DEPTH}")
        if isinstance(value, str):
            return cls(RuleKind.EVERYONE, members=_term(value, where))
        fields = Fields(value, where)
        if fields.has("at_least"):
            inner = fields.object("at_least")
            members = _term(inner.take("of"), inner.path("of"))
            rule = cls(RuleKind.AT_LEAST, members=members, needed=inner.integer("n", minimum=1))
            inner.end()
        else:
            kind = RuleKind.ANY if fields.has("any") else RuleKind.ALL
            rules = tuple(cls.from_json(v, w, depth + 1) for w, v in fields.items(kind))
            if not rules:  # An empty `all` would be satisfied by nobody at all.
                raise ConstitutionError(where=where, detail=f"{kind} of nothing")
            rule = cls(kind, rules=rules)
        fields.end()
        return rule

    def to_json(self) -> JSONValue:
        match self.kind:
            case RuleKind.EVERYONE:
                return self.members
            case RuleKind.AT_LEAST:
                return {"at_least": {"n": self.needed, "of": self.members}}
            case _:
                return {self.kind.value: [rule.to_json() for rule in self.rules]}

    def satisfied(self, approvals: frozenset[str], electorate: Electorate) -> bool:
        """Whether ``approvals`` suffice. A set that means nobody is never satisfied."""
        if self.kind is RuleKind.ALL:
            return all(rule.satisfied(approvals, electorate) for rule in self.rules)
        if self.kind is RuleKind.ANY:
            return any(rule.satisfied(approvals, electorate) for rule in self.rules)
        meant = electorate.resolve(self.members)
        needed = self.needed if self.kind is RuleKind.AT_LEAST else len(meant)
        return bool(meant) and len(meant & approvals) >= needed

    def missing(self, approvals: frozenset[str], electorate: Electorate) -> tuple[str, ...]:
        """What is still needed, each item a member's name or a phrase; empty if satisfied."""
        if self.satisfied(approvals, electorate):
            return ()
        if self.rules:
            parts = [rule.missing(approvals, electorate) for rule in self.rules]
            if self.kind is RuleKind.ALL:
                return tuple(dict.fromkeys(item for part in parts for item in part))
            return (" or ".join(" and ".join(part) for part in parts),)
        meant = electorate.resolve(self.members)
        absent = sorted(meant - approvals)
        if self.kind is RuleKind.EVERYONE and absent:
            return tuple(absent)
        more = self.needed - len(meant & approvals)
        if not absent or more > len(absent):
            return (f"{self.members} (there are too few of them)",)
        return tuple(absent) if more == len(absent) else (f"{more} of {', '.join(absent)}",)


@dataclass(frozen=True, slots=True)
class Constitution:
    """The rule of each action; every action must have one."""

    rules: Mapping[Action, Rule]

    @classmethod
    def from_fields(cls, fields: Fields) -> Constitution:
        """Reads and ends ``fields``. Raises ``ConstitutionError`` or ``MalformedError``."""
        rules = {}
        for action in Action:
            rules[action] = Rule.from_json(fields.take(action.value), fields.path(action.value))
        fields.end()
        return cls(MappingProxyType(rules))

    def to_json(self) -> JSONValue:
        return {action.value: rule.to_json() for action, rule in self.rules.items()}

    def check(self, roles: Mapping[str, frozenset[str]]) -> None:
        """Raises ``ConstitutionError`` where all members together could not satisfy a rule."""
        everybody = frozenset(roles)
        for action, rule in self.rules.items():
            electorate = Electorate(roles, affected_owners=everybody)
            if not rule.satisfied(everybody, electorate):
                raise ConstitutionError(where=action.value, detail="nobody could satisfy it")


def _term(value: JSONValue, where: str) -> str:
    if value == AFFECTED_OWNERS:
        return AFFECTED_OWNERS
    if isinstance(value, str):
        kind, _, name = value.partition(":")
        if kind in ("member", "role"):
            Fields({"name": name}, where).name("name")
            return value
    raise MalformedError(
        what=where, detail="expected all, any, at_least, member:NAME, role:NAME, affected_owners"
    )
