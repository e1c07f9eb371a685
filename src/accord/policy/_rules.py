# SPDX-License-Identifier: Apache-2.0
"""Rule trees: which approvals suffice. Data, not code.

A rule is satisfied by a set of approving members and can only become more satisfied by more
of them, so that what is missing can always be computed and shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from accord.encoding import Fields, JSONValue, parse_name
from accord.errors import ConstitutionError, MalformedError

MAX_RULE_DEPTH = 8
"""Deepest nesting of a rule tree; people must be able to read it."""

MAX_WEIGHT = 1_000_000

AFFECTED_OWNERS = "affected_owners"
LINEAGE_OWNERS = "lineage_owners"
STOPPERS = "stoppers"
SETS = (AFFECTED_OWNERS, LINEAGE_OWNERS, STOPPERS)
"""Sets that follow from what is proposed rather than from who somebody is."""


@dataclass(frozen=True, slots=True)
class Electorate:
    """Who can be meant by a rule: members, their roles and weights, and whom this affects."""

    roles: Mapping[str, frozenset[str]]
    """Roles of each member, by member name."""

    weights: Mapping[str, int] = field(default_factory=dict)
    """Weights other than 1, by member name."""

    affected_owners: frozenset[str] = frozenset()
    lineage_owners: frozenset[str] = frozenset()
    """Owners of everything that what is proposed was, or would be, computed from."""

    stoppers: frozenset[str] = frozenset()

    def resolve(self, term: str) -> frozenset[str]:
        """The members that ``member:NAME``, ``role:NAME`` or one of `SETS` means."""
        match term:
            case "affected_owners":
                return self.affected_owners
            case "lineage_owners":
                return self.lineage_owners
            case "stoppers":
                return self.stoppers
        kind, _, name = term.partition(":")
        if kind == "member":
            return frozenset({name}) & self.roles.keys()
        return frozenset(member for member, roles in self.roles.items() if name in roles)

    def weight(self, members: frozenset[str]) -> int:
        """What these members weigh together."""
        return sum(self.weights.get(member, 1) for member in members)


class RuleKind(StrEnum):
    """How a rule combines what is below it."""

    ALL = "all"
    ANY = "any"
    AT_LEAST = "at_least"
    WEIGHTED = "weighted"
    EVERYONE = "everyone"


_COUNTED = {RuleKind.AT_LEAST: "n", RuleKind.WEIGHTED: "min"}
"""Rules that ask for a number, and what it is called."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A node of the tree: ``all`` and ``any`` over rules, the others over ``members``."""

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
            return cls(RuleKind.EVERYONE, members=parse_term(value, where))
        fields = Fields(value, where)
        counted = next((kind for kind in _COUNTED if fields.has(kind)), None)
        if counted is not None:
            inner = fields.object(counted)
            members = parse_term(inner.take("of"), inner.path("of"))
            number = inner.integer(_COUNTED[counted], minimum=1, maximum=1024 * MAX_WEIGHT)
            inner.end()
            rule = cls(counted, members=members, needed=number)
        else:
            kind = RuleKind.ANY if fields.has("any") else RuleKind.ALL
            rules = tuple(cls.from_json(v, w, depth + 1) for w, v in fields.items(kind))
            if not rules:  # An empty `all` would be satisfied by nobody at all.
                raise ConstitutionError(where=where, detail=f"{kind} of nothing")
            rule = cls(kind, rules=rules)
        fields.end()
        return rule

    def to_json(self) -> JSONValue:
        if self.kind is RuleKind.EVERYONE:
            return self.members
        if self.kind in _COUNTED:
            return {self.kind.value: {_COUNTED[self.kind]: self.needed, "of": self.members}}
        return {self.kind.value: [rule.to_json() for rule in self.rules]}

    def terms(self) -> Iterator[str]:
        """Everybody whom the tree names, in order."""
        if not self.rules:
            yield self.members
        for rule in self.rules:
            yield from rule.terms()

    def words(self) -> str:
        """The whole rule on one line; equal rules, equal words, and no others."""
        match self.kind:
            case RuleKind.EVERYONE:
                return term_words(self.members)
            case RuleKind.AT_LEAST:
                return f"at least {self.needed} of ({term_words(self.members)})"
            case RuleKind.WEIGHTED:
                return f"weight {self.needed} of ({term_words(self.members)})"
        return f"{self.kind.value} of ({'; '.join(rule.words() for rule in self.rules)})"

    def satisfied(self, approvals: frozenset[str], electorate: Electorate) -> bool:
        """Whether ``approvals`` suffice. A set that means nobody is never satisfied."""
        match self.kind:
            case RuleKind.ALL:
                return all(rule.satisfied(approvals, electorate) for rule in self.rules)
            case RuleKind.ANY:
                return any(rule.satisfied(approvals, electorate) for rule in self.rules)
        meant = electorate.resolve(self.members)
        match self.kind:
            case RuleKind.WEIGHTED:
                return electorate.weight(meant & approvals) >= self.needed
            case RuleKind.AT_LEAST:
                return len(meant & approvals) >= self.needed
        return bool(meant) and meant <= approvals

    def missing(self, approvals: frozenset[str], electorate: Electorate) -> tuple[str, ...]:
        """What is still needed, each item a member's name or a phrase; empty if satisfied."""
        if self.satisfied(approvals, electorate):
            return ()
        if self.rules:
            parts = [rule.missing(approvals, electorate) for rule in self.rules]
            if self.kind is RuleKind.ALL:
                return tuple(dict.fromkeys(item for part in parts for item in part))
            return (" or ".join(" and ".join(part) for part in parts),)
        return self._missing_members(approvals, electorate)

    def _missing_members(
        self, approvals: frozenset[str], electorate: Electorate
    ) -> tuple[str, ...]:
        meant = electorate.resolve(self.members)
        absent = meant - approvals
        listed = ", ".join(sorted(absent))
        if self.kind is RuleKind.EVERYONE:
            needed, left, unit = len(meant), len(absent), ""
        elif self.kind is RuleKind.WEIGHTED:
            needed, left, unit = self.needed, electorate.weight(absent), "weight "
        else:
            needed, left, unit = self.needed, len(absent), ""
        given = meant & approvals
        weighs = self.kind is RuleKind.WEIGHTED
        more = needed - (electorate.weight(given) if weighs else len(given))
        if left < more or not meant:
            return (f"{self.members} (there are too few of them)",)
        everybody = more == left and not weighs
        return tuple(sorted(absent)) if everybody else (f"{unit}{more} of {listed}",)


_SET_WORDS = {
    AFFECTED_OWNERS: "every owner of what is used",
    LINEAGE_OWNERS: "every owner of what that was computed from",
    STOPPERS: "everybody who stopped it",
}


def term_words(term: str) -> str:
    """Whom a term means."""
    kind, _, name = term.partition(":")
    if kind in _SET_WORDS:
        return _SET_WORDS[kind]
    return f"member {name}" if kind == "member" else f"everyone with role {name}"


def parse_term(value: JSONValue, where: str) -> str:
    """``member:NAME``, ``role:NAME`` or one of `SETS`. Raises ``MalformedError``."""
    if isinstance(value, str):
        if value in SETS:
            return value
        kind, _, name = value.partition(":")
        if kind in ("member", "role"):
            parse_name(name, what=where)
            return value
    raise MalformedError(
        what=where,
        detail="expected all, any, at_least, weighted, member:NAME, role:NAME or "
        + ", ".join(SETS),
    )
