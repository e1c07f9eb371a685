# SPDX-License-Identifier: Apache-2.0
"""Lint: what is allowed in a policy and yet is probably not what its author means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from accord.policy._access import ANYONE
from accord.policy._document import Policy
from accord.policy._fates import Fate, carried_over
from accord.policy._finding import Finding, Severity, error, note, warning
from accord.policy._lint_fragments import lint_fragments
from accord.policy._lint_freshness import lint_freshness
from accord.policy._lint_rules import lint_access, lint_people
from accord.policy._lint_secrets import lint_secrets, lint_sharing
from accord.policy._lint_services import lint_service
from accord.policy._live import UpdateMode


def lint(
    policy: Policy,
    *,
    previous: Policy | None = None,
    members: Mapping[str, frozenset[str]] | None = None,
    policies: Mapping[str, Policy] | None = None,
    witnessed: bool | None = None,
) -> tuple[Finding, ...]:
    """Everything worth a second look, errors first.

    ``previous`` is the version in force, ``members`` the roles by member as they will be,
    ``policies`` those in force by name, ``witnessed`` whether the board has witnesses. What needs
    one that is not given is *not* checked; neither is whether assets are registered and allow
    it, which owners' terms decide.
    """
    found = [
        *_lint_whole(policy),
        *lint_freshness(policy, witnessed),
        *lint_access(policy, members),
        *(lint_people(policy, members) if members is not None else ()),
        *(_lint_update(policy, previous, members) if previous is not None else ()),
        *lint_secrets(policy),
        *(lint_sharing(policy, policies) if policies is not None else ()),
        *(lint_fragments(policy, policies) if policies is not None else ()),
    ]
    for name, service in policy.services.items():
        found += lint_service(policy, service, f"policy.services.{name}")
    order = list(Severity)
    return tuple(sorted(found, key=lambda item: order.index(item.severity)))


def _lint_whole(policy: Policy) -> Iterator[Finding]:
    if policy.not_after is None:
        yield note(
            "no-expiry",
            "policy.not_after",
            "the policy never expires",
            "say until when it is needed; a new version can extend it",
        )
    seen, read = set(policy.access.list), set(policy.access.read)
    if policy.salt is None and seen - read and ANYONE not in read:
        yield warning(
            "unsalted",
            "policy.salt",
            "whoever may see the digest but not the policy can try out what it says",
            "add a salt: 32 random hex digits",
        )
    if policy.authority and not any(item.identity for item in policy.services.values()):
        yield note(
            "authority-unused",
            "policy.authority",
            "the policy has a certificate authority, and no service gets a certificate of it",
            "say `identity: true` in a service, or leave `authority` out",
        )


def _lint_update(
    policy: Policy, previous: Policy, members: Mapping[str, frozenset[str]] | None
) -> Iterator[Finding]:
    if policy.name != previous.name:
        yield error(
            "other-name",
            "policy.name",
            f"the version in force is called {previous.name}",
            "versions of one policy share a name; a policy cannot be renamed",
        )
    elif policy.predecessor != previous.digest:
        yield error(
            "stale",
            "policy.predecessor",
            f"it does not replace the version in force, which is {previous.digest}",
            "look at what changed with `accord policy diff`, then name that digest",
        )
    for finding in lint_access(previous, members):
        if finding.code in ("lock-out", "unsatisfiable-rule") and finding.where.endswith("update"):
            yield error(
                "locked",
                finding.where,
                f"the version in force lets nobody replace it: {finding.sentence}",
                "the members or roles that its rule names must come back first",
            )
    if previous.access.update is not None and policy.access.update is None:
        yield warning(
            "access-dropped",
            "policy.access.update",
            f"the next version would no longer need {previous.access.update.words()}",
            "keep `access.update`, unless the constitution alone should decide",
        )
    yield from _lint_lost(policy, previous)
    for name in sorted(policy.volumes.keys() & previous.volumes.keys()):
        thrown = policy.volumes[name].update is UpdateMode.EPHEMERAL
        if thrown and previous.volumes[name].update is not UpdateMode.EPHEMERAL:
            yield warning(
                "volume-was-kept",
                f"policy.volumes.{name}",
                f"once a run has opened {name}, no service that mounts it could start any more",
                "give the ephemeral volume another name",
            )


def _lint_lost(policy: Policy, previous: Policy) -> Iterator[Finding]:
    """Key pairs that change although nobody asked for it."""
    for name, fate in carried_over(previous.secrets, policy.secrets).items():
        before, after = previous.secrets.get(name), policy.secrets.get(name)
        if before is None or after is None or after.algorithm is None:
            continue
        unasked = (before.kind, before.algorithm, before.rotate) == (
            after.kind,
            after.algorithm,
            after.rotate,
        )
        if fate is Fate.GENERATED and unasked:
            yield warning(
                "key-made-anew",
                f"policy.secrets.{name}",
                f"the key {name} would be made anew by this version",
                "to keep it, `migrate: true` must stand in both versions",
            )
