# SPDX-License-Identifier: Apache-2.0
"""Resolving: fragments of other policies become part of the document that is voted on."""

from __future__ import annotations

from collections.abc import Mapping

from accord.encoding import Digest, Fields, JSONValue
from accord.errors import FragmentConflictError, FragmentUnavailableError, MalformedError
from accord.policy._attestation import AttestationVariant
from accord.policy._document import Policy
from accord.policy._fragment_uses import MAX_USES, read_wanted
from accord.policy._fragments import Fragment
from accord.policy._names import parse_policy_name
from accord.policy._service import InjectedFile


def resolve(value: JSONValue, policies: Mapping[str, Policy], *, where: str = "policy") -> Policy:
    """The policy that ``value`` means, with what its services take from ``policies`` in force.

    A fragment's parts follow the service's own, in the order in which it lists fragments; what
    two of them say differently is refused. Without fragments it is `Policy.from_json`.
    Raises ``FragmentUnavailableError``, ``FragmentConflictError`` and what that raises.
    """
    document = _object(value, where)
    name = parse_policy_name(document.get("name"), what=f"{where}.name")
    if "services" in document:
        below = f"{where}.services"
        services = _object(document["services"], below)
        document["services"] = {
            key: _merged(_object(item, f"{below}.{key}"), name, policies, f"{below}.{key}")
            for key, item in services.items()
        }
    return Policy.from_json(document, where=where)


def _object(value: JSONValue, where: str) -> dict[str, JSONValue]:
    if not isinstance(value, dict):
        raise MalformedError(what=where, detail="expected an object")
    return dict(value)


def _merged(
    service: dict[str, JSONValue], importer: str, policies: Mapping[str, Policy], where: str
) -> dict[str, JSONValue]:
    """One service with the fragments that it lists."""
    if "fragments" not in service:
        return service
    fields = Fields(service, where)
    uses = list[JSONValue]()
    for item in fields.objects("fragments", limit=MAX_USES):
        policy, fragment, version = read_wanted(item)
        found, digest = _supplied(importer, policy, fragment, version, policies)
        service = _with(service, found, where)
        uses.append({"policy": policy, "fragment": fragment, "version": digest})
    return {**service, "fragments": uses}


def _supplied(
    importer: str,
    policy: str,
    fragment: str,
    version: Digest | None,
    policies: Mapping[str, Policy],
) -> tuple[Fragment, Digest]:
    """The fragment as it is in force, if ``importer`` may take it, and its policy's version."""
    supplier = policies.get(policy)
    problem = unavailable(importer, fragment, supplier)
    if supplier is not None and version not in (None, supplier.digest):
        problem = f"in force is {supplier.digest}; resolve what you wrote, not what came of it"
    if supplier is None or problem is not None:
        raise FragmentUnavailableError(
            importer=importer, fragment=fragment, policy=policy, detail=problem
        )
    return supplier.fragments[fragment], supplier.digest


def unavailable(importer: str, fragment: str, supplier: Policy | None) -> str | None:
    """Why ``importer`` may not take that fragment from ``supplier``, the version in force."""
    if supplier is None:
        return "there is no such policy"
    if fragment not in supplier.fragments:
        return "it has no such fragment"
    covered = supplier.fragments[fragment].covers(importer)
    return None if covered else "it is not supplied to that policy"


def _with(service: dict[str, JSONValue], fragment: Fragment, where: str) -> dict[str, JSONValue]:
    fields = Fields(service, where)
    own = fields.objects("attestation") if fields.has("attestation") else []
    variants = [*map(AttestationVariant.from_fields, own), *fragment.attestation]
    placed = fields.objects("files") if fields.has("files") else []
    files = {file.at: file for file in map(InjectedFile.from_fields, placed)}
    if len(files) != len(placed):
        raise MalformedError(what=f"{where}.files", detail="a path appears twice")
    environment = _object(service.get("environment", {}), f"{where}.environment")
    for name, value in fragment.environment.items():
        if environment.setdefault(name, value) != value:
            raise FragmentConflictError(where=f"{where}.environment.{name}")
    for file in fragment.files:
        if files.setdefault(file.at, file) != file:
            raise FragmentConflictError(where=f"{where}.files {file.at}")
    unique = {variant.digest: variant.to_json() for variant in variants}
    return {
        **service,
        "attestation": list(unique.values()),
        "environment": environment,
        "files": [file.to_json() for file in files.values()],
    }
