# SPDX-License-Identifier: Apache-2.0
"""The policy document: who may run what on whose data, and who may read what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    canonical_json,
    format_time,
    parse_name,
    sha256,
)
from accord.errors import PolicyContentError
from accord.identity import VerifyKey
from accord.policy._access import Access
from accord.policy._exports import Export, read_exports
from accord.policy._fragments import Fragment, read_fragments
from accord.policy._freshness import FreshnessRule
from accord.policy._live import LiveVolume, read_volumes
from accord.policy._names import parent_name, parse_policy_name
from accord.policy._secrets import AUTHORITY, IDENTITY, RAW_KINDS, SecretSpec, read_secrets
from accord.policy._service import Service
from accord.policy._templates import check_template

POLICY_SCHEMA = "accord.policy.v1"

SALT_BYTES = 16


def _nothing() -> Mapping[str, SecretSpec]:
    return MappingProxyType({})


def _no_fragments() -> Mapping[str, Fragment]:
    return MappingProxyType({})


def _no_volumes() -> Mapping[str, LiveVolume]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Policy:
    """A whole policy. Two spellings with the same meaning have the same digest."""

    name: str
    purpose: str
    predecessor: Digest | None
    """Digest of the version this one replaces; ``None`` on the first."""

    services: Mapping[str, Service]
    namespace: Digest | None = None
    """On the first version in a namespace: the digest of the parent's version in force."""

    salt: bytes | None = None
    """Makes the digest unguessable where what the policy says could be guessed."""

    not_after: datetime | None = None
    """From then on nothing is released under it."""

    freshness: FreshnessRule | None = None
    """``None``: strict where the board has witnesses, solo where it has none."""

    access: Access = field(default_factory=Access)
    authority: bool = False
    """Whether the policy has a certificate authority of its own."""

    secrets: Mapping[str, SecretSpec] = field(default_factory=_nothing)
    exports: tuple[Export, ...] = ()
    volumes: Mapping[str, LiveVolume] = field(default_factory=_no_volumes)
    """What its services keep from one run to the next, by name."""

    fragments: Mapping[str, Fragment] = field(default_factory=_no_fragments)
    """Parts of services that it supplies to other policies, by name."""

    @classmethod
    def from_json(cls, value: JSONValue, *, where: str = "policy") -> Policy:
        """Reads a policy; whether its assets and members exist is *not* checked here.

        Raises ``MalformedError``, ``UnsupportedFormatError`` or ``PolicyContentError``.
        """
        fields = Fields(value, where)
        fields.schema(POLICY_SCHEMA)
        secrets = read_secrets(fields.object("secrets")) if fields.has("secrets") else {}
        policy = cls(
            name=parse_policy_name(fields.take("name"), what=fields.path("name")),
            purpose=fields.name("purpose"),
            predecessor=fields.optional("predecessor", fields.digest),
            services=_services(fields.object("services")),
            namespace=fields.optional("namespace", fields.digest),
            salt=fields.hex("salt", size=SALT_BYTES) if fields.has("salt") else None,
            not_after=fields.optional("not_after", fields.time),
            freshness=FreshnessRule.from_fields(fields.object("freshness"))
            if fields.has("freshness")
            else None,
            access=Access.from_fields(fields.object("access"))
            if fields.has("access")
            else Access(),
            authority=fields.has("authority") and fields.flag("authority"),
            secrets=MappingProxyType(dict(secrets)),
            exports=read_exports(fields, secrets) if fields.has("exports") else (),
            volumes=read_volumes(fields.object("volumes"))
            if fields.has("volumes")
            else _no_volumes(),
            fragments=read_fragments(fields),
        )
        fields.end()
        policy._check(where)
        return policy

    def _check(self, where: str) -> None:
        if not self.services and not self.secrets and not self.fragments:
            raise PolicyContentError(where=f"{where}.services", detail="there is no service")
        if self.namespace is not None and (self.predecessor is not None or self.parent is None):
            raise PolicyContentError(
                where=f"{where}.namespace",
                detail="only the first version of a policy in a namespace names its parent",
            )
        if self.namespace is None and self.predecessor is None and self.parent is not None:
            raise PolicyContentError(
                where=f"{where}.namespace",
                detail=f"the first version must name the digest of {self.parent}",
            )
        for name, service in self.services.items():
            self._check_service(name, service, f"{where}.services.{name}")

    def _check_service(self, name: str, service: Service, where: str) -> None:
        self._check_templates(service, self.secrets, where)
        if service.identity and not self.authority:
            raise PolicyContentError(
                where=f"{where}.identity", detail=f"{name} needs `authority: true` in its policy"
            )
        if any(use.policy == self.name for use in service.fragments):
            raise PolicyContentError(where=f"{where}.fragments", detail="one of its own policy")
        for mount in service.volumes:
            if mount.volume not in self.volumes:
                raise PolicyContentError(
                    where=f"{where}.volumes", detail=f"the policy has no volume {mount.volume}"
                )
        if service.totp is not None:
            spec = self.secrets.get(service.totp)
            if spec is None or spec.kind not in RAW_KINDS:
                raise PolicyContentError(
                    where=f"{where}.totp", detail=f"{service.totp} is no random or deposited secret"
                )

    def _check_templates(
        self, service: Service, secrets: Mapping[str, SecretSpec], where: str
    ) -> None:
        own = {AUTHORITY} if self.authority else set()
        own |= {IDENTITY} if service.identity else set()
        for place, text in service.templates():
            file = place.startswith("files")
            check_template(text, secrets, where=f"{where}.{place}", file=file, own=own)

    def check_imports(self, exporters: Mapping[str, Policy]) -> None:
        """Refuses a format that an imported secret does not have, where its policy is known.

        ``exporters`` are policies of the same board by name. Whether they export anything is
        *not* checked: each release asks that anew. Raises ``SecretFormatError``.
        """
        secrets = dict(self.secrets)
        for name, spec in self.secrets.items():
            exporter = exporters.get(spec.policy or "") if spec.service is None else None
            exported = exporter.secrets.get(spec.secret or "") if exporter is not None else None
            secrets[name] = exported or spec
        for name, service in self.services.items():
            self._check_templates(service, secrets, f"policy.services.{name}")

    def to_json(self) -> JSONValue:
        """The resolved form, defaults written out: this is what is hashed and voted on."""
        document: dict[str, JSONValue] = {
            "schema": POLICY_SCHEMA,
            "name": self.name,
            "purpose": self.purpose,
            "access": self.access.to_json(),
            "authority": self.authority,
            "secrets": {name: spec.to_json() for name, spec in self.secrets.items()},
            "exports": [export.to_json() for export in self.exports],
            "services": {name: service.to_json() for name, service in self.services.items()},
        }
        optional: dict[str, JSONValue] = {
            "predecessor": self.predecessor,
            "namespace": self.namespace,
            "salt": self.salt.hex() if self.salt is not None else None,
            "not_after": format_time(self.not_after) if self.not_after is not None else None,
            "freshness": self.freshness.to_json() if self.freshness is not None else None,
        }
        document.update({name: value for name, value in optional.items() if value is not None})
        if self.volumes:
            document["volumes"] = {name: item.to_json() for name, item in self.volumes.items()}
        if self.fragments:
            document["fragments"] = {name: part.to_json() for name, part in self.fragments.items()}
        return document

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the resolved form; this is what ballots are about."""
        return sha256(canonical_json(self.to_json()))

    @property
    def parent(self) -> str | None:
        """The policy in whose namespace this one lives."""
        return parent_name(self.name)

    @property
    def assets(self) -> frozenset[str]:
        """Everything of owners that it uses: volumes that are read, and deposited secrets."""
        read = {item.asset for service in self.services.values() for item in service.inputs}
        deposited = {spec.asset for spec in self.secrets.values() if spec.asset is not None}
        return frozenset(read | deposited)

    def shares(
        self,
        secret: str,
        *,
        importer: str,
        digest: Digest,
        board: Digest | None = None,
        log_key: VerifyKey | None = None,
    ) -> bool:
        """Whether that version of ``importer`` gets ``secret``, as `Export.covers` says."""
        return any(
            item.secret == secret and item.covers(importer, digest, board=board, log_key=log_key)
            for item in self.exports
        )

    @property
    def readers(self) -> frozenset[str]:
        return frozenset(
            reader
            for service in self.services.values()
            for output in service.outputs
            for reader in output.readers
        )


def _services(listed: Fields) -> Mapping[str, Service]:
    services = {}
    for name in listed.names():
        parse_name(name, what=listed.where)
        services[name] = Service.from_fields(listed.object(name))
    return MappingProxyType(services)
