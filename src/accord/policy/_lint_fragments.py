# SPDX-License-Identifier: Apache-2.0
"""Lint of fragments: what is taken from other policies, and who takes what is supplied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from accord.policy._document import Policy
from accord.policy._finding import Finding, error, note, warning
from accord.policy._fragment_uses import FragmentUse
from accord.policy._resolve import unavailable
from accord.policy._service import Service


def lint_fragments(policy: Policy, policies: Mapping[str, Policy]) -> Iterator[Finding]:
    """What no release would accept today, what is behind, and who would be after this version."""
    for name, service in policy.services.items():
        for use in service.fragments:
            where = f"policy.services.{name}.fragments"
            yield from _lint_use(policy.name, service, use, policies.get(use.policy), where)
    for other in policies.values():
        for name, service in other.services.items():
            for use in service.fragments:
                if use.policy == policy.name:
                    yield from _lint_supplied(policy, other.name, name, service, use)


def _lint_use(
    importer: str, service: Service, use: FragmentUse, supplier: Policy | None, where: str
) -> Iterator[Finding]:
    problem = unavailable(importer, use.fragment, supplier)
    if supplier is None or problem is not None:
        yield error(
            "fragment-unavailable",
            where,
            f"fragment {use.fragment} cannot be taken from policy {use.policy}: {problem}",
            "both policies must say so: the one in `fragments`, the other in `to`",
        )
        return
    holds = supplier.fragments[use.fragment].within(service)
    if use.version == supplier.digest and not holds:
        yield error(
            "fragment-differs",
            where,
            f"the service does not hold what {use.policy} has in {use.fragment}",
            "propose what `accord policy resolve` printed, as it is",
        )
    elif not holds:
        yield warning(
            "fragment-outdated",
            where,
            f"the version of {use.policy} in force, {supplier.digest}, says something else",
            "run `accord policy resolve` on what you wrote, and propose what it prints",
        )


def _lint_supplied(
    policy: Policy, other: str, name: str, service: Service, use: FragmentUse
) -> Iterator[Finding]:
    """What this version would mean for a service of ``other`` that takes from it."""
    where = f"policy.fragments.{use.fragment}"
    if unavailable(other, use.fragment, policy) is not None:
        yield warning(
            "fragment-withdrawn",
            where,
            f"service {name} of policy {other} takes it, and could not start any more",
            "leave it in until that policy can do without it",
        )
    elif not policy.fragments[use.fragment].within(service):
        yield note(
            "fragment-users",
            where,
            f"service {name} of policy {other} goes on with an older version of it",
            "that policy takes this one when it is resolved and voted on again",
        )
