# SPDX-License-Identifier: Apache-2.0
"""The smallest sets of members who could complete a proposal, as far as people want to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations

from accord.board import Requirement

MAX_SETS = 32
"""Most sets that are listed."""

MAX_TRIES = 20_000
"""Most combinations that are looked at: a rule of at_least 20 of 40 has more than anybody lists."""


def deciding_sets(
    needed: Iterable[Requirement], approvals: frozenset[str], willing: frozenset[str]
) -> tuple[frozenset[str], ...]:
    """Minimal sets of ``willing`` members who, with ``approvals``, satisfy all of ``needed``.

    Smaller sets come first. Where there are very many, some of them are listed. Empty where
    nobody is missing, or nobody could help.
    """
    listed = tuple(needed)

    def satisfied(more: frozenset[str]) -> bool:
        given = approvals | more
        return all(item.rule.satisfied(given, item.electorate) for item in listed)

    if satisfied(frozenset()) or not satisfied(willing):
        return ()
    # A member without whom all the others do not suffice is in every set.
    always = frozenset(name for name in willing - approvals if not satisfied(willing - {name}))
    others = sorted(name for name in willing - approvals - always if _named(listed, name))
    found: list[frozenset[str]] = []
    tries = 0
    for size in range(len(others) + 1):
        for chosen in combinations(others, size):
            tries += 1
            if tries > MAX_TRIES or len(found) >= MAX_SETS:
                return tuple(found) or _some(always, others, satisfied)
            group = always.union(chosen)
            if not any(smaller <= group for smaller in found) and satisfied(group):
                found.append(group)
    return tuple(found)


def _some(
    always: frozenset[str], others: list[str], satisfied: Callable[[frozenset[str]], bool]
) -> tuple[frozenset[str], ...]:
    """Minimal sets without looking for all: of everybody, each in turn is left out first."""
    found: dict[frozenset[str], None] = {}
    for first in range(min(len(others), MAX_SETS)):
        group = always.union(others)
        for name in (*others[first:], *others[:first]):
            if satisfied(group - {name}):
                group -= {name}
        found[group] = None
    return tuple(sorted(found, key=lambda group: (len(group), sorted(group))))


def _named(needed: tuple[Requirement, ...], name: str) -> bool:
    """Whether any rule means this member at all."""
    return any(
        name in item.electorate.resolve(term) for item in needed for term in item.rule.terms()
    )
