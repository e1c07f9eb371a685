# SPDX-License-Identifier: Apache-2.0
"""Lint of who decides and who is named: rules that nobody satisfies, people who are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from accord.policy._document import Policy
from accord.policy._finding import Finding, error, note, warning
from accord.policy._names import owner_of
from accord.policy._rules import STOPPERS, Electorate, Rule, RuleKind

_SUBJECT = {
    "update": "nobody could ever replace this version",
    "create": "nobody could ever create a policy in its namespace",
}


def lint_access(policy: Policy, members: Mapping[str, frozenset[str]] | None) -> Iterator[Finding]:
    """Rules of ``access`` that can never hold: by themselves, or for these ``members``."""
    rules = {"update": policy.access.update}
    if policy.access.create != policy.access.update:
        rules["create"] = policy.access.create
    for right, rule in rules.items():
        if rule is None:
            continue
        where = f"policy.access.{right}"
        code = "lock-out" if right == "update" else "unsatisfiable-rule"
        if not _satisfiable(rule):
            yield error(
                code,
                where,
                f"{_SUBJECT[right]}: {rule.words()} never holds",
                "a single member counts once, and nobody stops executions by a policy",
            )
        elif members is not None:
            yield from _lint_electorate(policy, rule, members, code=code, right=right)


def _satisfiable(rule: Rule) -> bool:
    """Whether any members at all could satisfy ``rule``; weights count as large enough."""
    if rule.kind is RuleKind.ALL:
        return all(map(_satisfiable, rule.rules))
    if rule.kind is RuleKind.ANY:
        return any(map(_satisfiable, rule.rules))
    one = rule.members.startswith("member:")
    alone = rule.kind is RuleKind.AT_LEAST and one and rule.needed > 1
    return rule.members != STOPPERS and not alone


def _lint_electorate(
    policy: Policy, rule: Rule, members: Mapping[str, frozenset[str]], *, code: str, right: str
) -> Iterator[Finding]:
    where, subject = f"policy.access.{right}", _SUBJECT[right]
    everybody = frozenset(members)
    electorate = _electorate(policy, members)
    if not rule.satisfied(everybody, electorate):
        missing = ", ".join(rule.missing(everybody, electorate))
        yield error(
            code,
            where,
            f"{subject}: all members together lack {missing}",
            "name members or roles of this board",
        )
        return
    for member in sorted(everybody):
        rest = {name: roles for name, roles in members.items() if name != member}
        if not rule.satisfied(everybody - {member}, _electorate(policy, rest)):
            yield note(
                "depends-on-one",
                where,
                f"{subject} once {member} has left the board, or is silent",
                "add `any` with an alternative, or count with `at_least`",
            )


def _electorate(policy: Policy, members: Mapping[str, frozenset[str]]) -> Electorate:
    """As of the next version if it uses what this one does; lineage may be anybody's."""
    owners = frozenset(owner_of(asset) for asset in policy.assets)
    return Electorate(
        members,
        affected_owners=owners & members.keys(),
        lineage_owners=owners & members.keys(),
    )


def lint_people(policy: Policy, members: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    """Members and roles that the policy names and the board does not have."""
    for reader in sorted(policy.readers - members.keys()):
        yield error(
            "unknown-member",
            "policy.services",
            f"output is for {reader}, who is no member",
            "outputs are encrypted for members; `accord board show` lists them",
        )
    owners = {owner_of(asset) for asset in policy.assets}
    for owner in sorted(owners - members.keys()):
        yield error(
            "unknown-member",
            "policy.services",
            f"it uses assets of {owner}, who is no member",
            "only members offer assets; check the spelling",
        )
    roles = frozenset().union(*members.values())
    for right, rule in (("update", policy.access.update), ("create", policy.access.create)):
        for term in dict.fromkeys(rule.terms() if rule is not None else ()):
            kind, _, name = term.partition(":")
            known = {"member": members, "role": roles}.get(kind)
            if known is not None and name not in known:
                yield warning(
                    "unknown-member" if kind == "member" else "unknown-role",
                    f"policy.access.{right}",
                    f"the board has no {kind} {name}",
                    "a name that nobody has today can be taken by somebody tomorrow",
                )
