# SPDX-License-Identifier: Apache-2.0
"""Lint of secrets: unused, unpinned, and imports that the exporter does not agree to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from accord.policy._document import Policy
from accord.policy._finding import Finding, error, note, warning
from accord.policy._secrets import SecretKind, SecretSpec
from accord.policy._templates import names_in


def lint_secrets(policy: Policy) -> Iterator[Finding]:
    """What can be seen in the policy alone."""
    used = used_secrets(policy)
    for name, spec in policy.secrets.items():
        where = f"policy.secrets.{name}"
        if name not in used:
            yield warning(
                "secret-unused",
                where,
                f"nothing uses the secret {name}",
                "name it in a template, or leave it out",
            )
        if spec.kind is SecretKind.IMPORT and spec.pin is None:
            yield warning(
                "unpinned-import",
                where,
                f"whatever a later version of {spec.policy} makes of {spec.secret} is taken",
                "pin the version that you reviewed: `pin: sha256:...`",
            )
    for index, export in enumerate(policy.exports):
        if export.is_public or export.pin is not None:
            continue
        who = f"every later version of {export.to}"
        if export.namespace:
            who += " and every policy that is ever created below it"
        yield note(
            "unpinned-export",
            f"policy.exports[{index}]",
            f"{who} gets {export.secret}",
            "pin one version with `pin`, if the other side does not pin yours",
        )


def used_secrets(policy: Policy) -> frozenset[str]:
    """Names of secrets that something refers to: templates, other secrets, exports."""
    used = {
        reference.name
        for service in policy.services.values()
        for _, text in service.templates()
        for reference in names_in(text)
    }
    used |= {service.totp for service in policy.services.values() if service.totp is not None}
    used |= {export.secret for export in policy.exports}
    for spec in policy.secrets.values():
        used |= {name for name in (spec.of, spec.key, spec.issuer) if name is not None}
    return frozenset(used)


def lint_sharing(policy: Policy, policies: Mapping[str, Policy]) -> Iterator[Finding]:
    """Imports from policies of this board that would fail today."""
    for name, spec in policy.secrets.items():
        if spec.kind is SecretKind.IMPORT and spec.service is None:
            problem = _unavailable(policy, spec, policies.get(spec.policy or ""))
            if problem is not None:
                yield error(
                    "import-unavailable",
                    f"policy.secrets.{name}",
                    f"{name} cannot be imported: {problem}",
                    "importer and exporter must both say so, with pins that agree",
                )


def _unavailable(policy: Policy, spec: SecretSpec, exporter: Policy | None) -> str | None:
    if exporter is None:
        return f"there is no policy {spec.policy}"
    if spec.pin is not None and spec.pin != exporter.digest:
        return f"{spec.policy} is at version {exporter.digest}, not the one that is pinned"
    if spec.secret is None or spec.secret not in exporter.secrets:
        return f"{spec.policy} has no secret {spec.secret}"
    covered = exporter.shares(spec.secret, importer=policy.name, digest=policy.digest)
    return None if covered else f"{spec.policy} does not export it to this version"
