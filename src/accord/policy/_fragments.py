# SPDX-License-Identifier: Apache-2.0
"""Fragments: parts of services that one policy supplies to others which it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from accord.encoding import Fields, JSONValue, parse_name
from accord.errors import PolicyContentError
from accord.policy._attestation import AttestationVariant
from accord.policy._names import parse_policy_name
from accord.policy._service import InjectedFile, Service, read_environment
from accord.policy._templates import START

MAX_FRAGMENTS = 64
"""Most fragments of one policy."""


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """Environments, variables and files for services of other policies, and for no others.

    It names no secret, so whoever takes it hands out none by it; and it has no field for a
    program, its arguments, its network, inputs, outputs or further fragments.
    """

    to: tuple[str, ...]
    """The policies that may take it."""

    namespace: bool = False
    """Whether all policies in the namespaces of those may take it too."""

    attestation: tuple[AttestationVariant, ...] = ()
    environment: Mapping[str, str] = field(default_factory=_nothing)
    files: tuple[InjectedFile, ...] = ()

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``. Raises ``MalformedError`` or ``PolicyContentError``."""
        to = tuple(parse_policy_name(value, what=where) for where, value in fields.items("to"))
        listed = fields.objects("attestation") if fields.has("attestation") else []
        files = fields.objects("files") if fields.has("files") else []
        fragment = cls(
            to=to,
            namespace=fields.has("namespace") and fields.flag("namespace"),
            attestation=tuple(map(AttestationVariant.from_fields, listed)),
            environment=read_environment(
                fields.object("environment") if fields.has("environment") else None
            ),
            files=tuple(map(InjectedFile.from_fields, files)),
        )
        fields.end()
        fragment._check(fields.where)
        return fragment

    def _check(self, where: str) -> None:
        problem = None
        if not self.to:
            problem = "nobody may take it"
        elif len(set(self.to)) != len(self.to):
            problem = "a policy appears twice"
        elif not (self.attestation or self.environment or self.files):
            problem = "it supplies nothing"
        elif len({file.at for file in self.files}) != len(self.files):
            problem = "a file appears twice"
        elif any(map(START.search, (*self.environment.values(), *(f.content for f in self.files)))):
            # The name would mean a secret of whoever takes the fragment.
            problem = "a fragment names no secrets"
        if problem is not None:
            raise PolicyContentError(where=where, detail=problem)

    def covers(self, policy: str) -> bool:
        """Whether services of ``policy`` may take it."""
        return policy in self.to or (
            self.namespace and any(policy.startswith(f"{name}/") for name in self.to)
        )

    def within(self, service: Service) -> bool:
        """Whether ``service`` holds all of it, unchanged; what else it holds is its own."""
        variants = {variant.digest for variant in service.attestation}
        return (
            all(variant.digest in variants for variant in self.attestation)
            and self.environment.items() <= service.environment.items()
            and set(self.files) <= set(service.files)
        )

    def to_json(self) -> JSONValue:
        """Parts that it does not have are left out."""
        document: dict[str, JSONValue] = {"to": list(self.to), "namespace": self.namespace}
        parts: dict[str, JSONValue] = {
            "attestation": [variant.to_json() for variant in self.attestation],
            "environment": dict(self.environment),
            "files": [file.to_json() for file in self.files],
        }
        return document | {name: part for name, part in parts.items() if part}


def read_fragments(fields: Fields) -> Mapping[str, Fragment]:
    """The section ``fragments`` of a policy.

    Raises ``MalformedError`` or ``PolicyContentError``.
    """
    if not fields.has("fragments"):
        return MappingProxyType({})
    listed, found = fields.object("fragments"), {}
    for name in listed.names():
        parse_name(name, what=listed.where)
        found[name] = Fragment.from_fields(listed.object(name))
    if len(found) > MAX_FRAGMENTS:
        raise PolicyContentError(where=listed.where, detail=f"more than {MAX_FRAGMENTS}")
    return MappingProxyType(found)
