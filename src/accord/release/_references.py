# SPDX-License-Identifier: Apache-2.0
"""Which secrets a service means, and whose they are."""

from __future__ import annotations

from accord.policy import AUTHORITY, IDENTITY, Policy, Service, names_in


def referenced_secrets(service: Service) -> tuple[str, ...]:
    """The secrets that the service's templates name; no others are released to it."""
    names = {item.name for _, text in service.templates() for item in names_in(text)}
    return tuple(sorted(names - {AUTHORITY, IDENTITY}))


def password_source(policy: Policy, name: str) -> str:
    """Where the secret comes from that one-time passwords are checked with.

    One that is deposited is the same one under every name and in every policy, and each of its
    passwords starts one run.
    """
    asset = policy.secrets[name].asset
    return f"policy:{policy.name}/{name}" if asset is None else f"asset:{asset}"
