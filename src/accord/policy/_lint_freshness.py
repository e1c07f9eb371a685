# SPDX-License-Identifier: Apache-2.0
"""Lint of freshness: modes that the board cannot have, leases that promise little."""

from __future__ import annotations

from collections.abc import Iterator

from accord.policy._document import Policy
from accord.policy._finding import Finding, error, note, warning
from accord.policy._freshness import FreshnessMode

LONG_LEASE_S = 3600
"""A reservation saves one round trip to the witnesses: an hour of them is hardly felt."""


def lint_freshness(policy: Policy, witnessed: bool | None) -> Iterator[Finding]:  # noqa: FBT001 - of the board
    """All findings about ``freshness``; ``witnessed``: whether the board has witnesses."""
    rule, where = policy.freshness, "policy.freshness"
    if rule is None:
        return
    solo = rule.mode is FreshnessMode.SOLO
    if solo and witnessed is True:
        yield error(
            "solo-on-witnessed",
            where,
            "the board has witnesses, and the policy would not wait for them",
            "leave `freshness` out, which means strict there, or say `mode: lease`",
        )
    elif solo:
        yield warning(
            "solo",
            where,
            "a rollback of the trust service goes unseen, and uses are counted again from there",
            "give the board witnesses, and leave `freshness` out",
        )
    elif witnessed is False:
        yield error(
            "no-witnesses",
            where,
            "the board has no witnesses, so nothing would ever be released",
            "give the board witnesses first, or leave `freshness` out, which means solo there",
        )
    if rule.mode is FreshnessMode.LEASE:
        yield from _lint_lease(policy, rule.ttl_s)


def _lint_lease(policy: Policy, ttl_s: int) -> Iterator[Finding]:
    if ttl_s > LONG_LEASE_S:
        yield warning(
            "lease-long",
            "policy.freshness.ttl_s",
            f"for {ttl_s} s after each reservation a rollback can lose releases from the log",
            f"{LONG_LEASE_S} s or less: a reservation costs one round trip to the witnesses",
        )
    for name, service in policy.services.items():
        if not service.may_be_leased:
            yield note(
                "lease-unused",
                f"policy.services.{name}",
                "each of its starts waits for the witnesses: what exists once cannot be reserved",
                "nothing to do, unless its starts must be fast: that needs a service without "
                "`singleton`, `totp` and `volumes`",
            )
