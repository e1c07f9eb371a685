# SPDX-License-Identifier: Apache-2.0
"""The policy document: who may run what on whose data, and who may read what comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath
from types import MappingProxyType

from accord.encoding import Digest, Fields, JSONValue, canonical_json, sha256
from accord.errors import MalformedError, PolicyContentError
from accord.policy._attestation import AttestationVariant

POLICY_SCHEMA = "accord.policy.v1"

MAX_TIMEOUT_S = 7 * 24 * 3600
"""Longest run that a policy may allow: a week, in seconds."""

_ASSET = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def parse_asset_name(text: object, *, what: str) -> str:
    """``OWNER/NAME``. Raises ``MalformedError``."""
    if not isinstance(text, str) or not _ASSET.fullmatch(text):
        raise MalformedError(what=what, detail="expected OWNER/NAME")
    return text


class Network(StrEnum):
    """What a service may reach. Anything but ``none`` waits for the network shield."""

    NONE = "none"


@dataclass(frozen=True, slots=True)
class Input:
    """An asset that the service reads, pinned to the exact version that is voted on."""

    asset: str
    tag: Digest
    at: str
    """Where the program sees it: an absolute path below ``/in``."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Input:
        asset = parse_asset_name(fields.take("asset"), what=fields.path("asset"))
        read = cls(asset, fields.digest("tag"), _path(fields, "/in"))
        fields.end()
        return read

    def to_json(self) -> JSONValue:
        return {"asset": self.asset, "tag": self.tag, "at": self.at}


@dataclass(frozen=True, slots=True)
class Output:
    """A folder that leaves the service, encrypted for exactly these members."""

    name: str
    at: str
    readers: tuple[str, ...]

    @classmethod
    def from_fields(cls, fields: Fields) -> Output:
        read = cls(fields.name("name"), _path(fields, "/out"), fields.unique_names("readers"))
        fields.end()
        if not read.readers:
            raise PolicyContentError(where=fields.path("readers"), detail="nobody could read it")
        return read

    def to_json(self) -> JSONValue:
        return {"name": self.name, "at": self.at, "readers": list(self.readers)}


@dataclass(frozen=True, slots=True)
class Service:
    """One program: what it is, where it may run, what it reads and what leaves it."""

    attestation: tuple[AttestationVariant, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    workdir: str
    network: Network
    timeout_s: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    @classmethod
    def from_fields(cls, fields: Fields) -> Service:
        """Reads and ends ``fields``. Raises ``MalformedError`` or ``PolicyContentError``."""
        environment = fields.object("environment") if fields.has("environment") else None
        service = cls(
            attestation=tuple(map(AttestationVariant.from_fields, fields.objects("attestation"))),
            command=fields.texts("command"),
            environment=_environment(environment),
            workdir=fields.text("workdir") if fields.has("workdir") else "/tmp",  # noqa: S108
            network=fields.choice("network", Network) if fields.has("network") else Network.NONE,
            timeout_s=fields.integer("timeout_s", minimum=1, maximum=MAX_TIMEOUT_S)
            if fields.has("timeout_s")
            else 3600,
            inputs=tuple(map(Input.from_fields, fields.objects("inputs"))),
            outputs=tuple(map(Output.from_fields, fields.objects("outputs"))),
        )
        fields.end()
        service._check(fields.where)
        return service

    def _check(self, where: str) -> None:
        if not self.attestation:
            raise PolicyContentError(
                where=f"{where}.attestation", detail="no environment is acceptable"
            )
        if not self.command or not self.command[0]:
            raise PolicyContentError(where=f"{where}.command", detail="there is no program")
        if not _plain(self.workdir) or not self.workdir.startswith("/"):
            raise PolicyContentError(
                where=f"{where}.workdir", detail="expected a plain absolute path"
            )
        mounts = [*(item.at for item in self.inputs), *(item.at for item in self.outputs)]
        places = [PurePosixPath(mount) for mount in mounts]
        for index, place in enumerate(places):
            for other in places[index + 1 :]:
                if place.is_relative_to(other) or other.is_relative_to(place):
                    raise PolicyContentError(where=where, detail=f"{place} and {other} overlap")
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise PolicyContentError(where=f"{where}.outputs", detail="a name appears twice")

    def to_json(self) -> JSONValue:
        return {
            "attestation": [variant.to_json() for variant in self.attestation],
            "command": list(self.command),
            "environment": dict(self.environment),
            "workdir": self.workdir,
            "network": self.network.value,
            "timeout_s": self.timeout_s,
            "inputs": [item.to_json() for item in self.inputs],
            "outputs": [item.to_json() for item in self.outputs],
        }


@dataclass(frozen=True)
class Policy:
    """A whole policy. Two spellings with the same meaning have the same digest."""

    name: str
    purpose: str
    predecessor: Digest | None
    """Digest of the version this one replaces; ``None`` on the first."""

    services: Mapping[str, Service]

    @classmethod
    def from_json(cls, value: JSONValue, *, where: str = "policy") -> Policy:
        """Reads a policy; whether its assets and members exist is *not* checked here.

        Raises ``MalformedError``, ``UnsupportedFormatError`` or ``PolicyContentError``.
        """
        fields = Fields(value, where)
        fields.schema(POLICY_SCHEMA)
        listed = fields.object("services")
        services = {}
        for name in listed.names():
            Fields({"name": name}, listed.where).name("name")
            services[name] = Service.from_fields(listed.object(name))
        if not services:
            raise PolicyContentError(where=listed.where, detail="there is no service")
        policy = cls(
            name=fields.name("name"),
            purpose=fields.name("purpose"),
            predecessor=fields.optional("predecessor", fields.digest),
            services=MappingProxyType(services),
        )
        fields.end()
        return policy

    def to_json(self) -> JSONValue:
        """The resolved form, defaults written out: this is what is hashed and voted on."""
        document = {
            "schema": POLICY_SCHEMA,
            "name": self.name,
            "purpose": self.purpose,
            "services": {name: service.to_json() for name, service in self.services.items()},
        }
        if self.predecessor is not None:
            document["predecessor"] = self.predecessor
        return document

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the resolved form; this is what ballots are about."""
        return sha256(canonical_json(self.to_json()))

    @property
    def assets(self) -> frozenset[str]:
        return frozenset(item.asset for s in self.services.values() for item in s.inputs)

    @property
    def readers(self) -> frozenset[str]:
        return frozenset(
            reader
            for service in self.services.values()
            for output in service.outputs
            for reader in output.readers
        )


def _path(fields: Fields, root: str) -> str:
    text = fields.text("at", limit=1024)
    path = PurePosixPath(text)
    if not _plain(text) or not path.is_relative_to(root) or text == root:
        raise PolicyContentError(
            where=fields.path("at"), detail=f"expected a plain path below {root}"
        )
    return text


def _plain(text: str) -> bool:
    """Whether a path has one spelling and one line: no ``..``, no ``//``, no line break."""
    path = PurePosixPath(text)
    return str(path) == text and ".." not in path.parts and not set("\n\r\t") & set(text)


def _environment(fields: Fields | None) -> Mapping[str, str]:
    if fields is None:
        return MappingProxyType({})
    values = {}
    for name in fields.names():
        if not _VARIABLE.fullmatch(name):
            raise PolicyContentError(where=fields.where, detail=f"{name!r} is no variable name")
        values[name] = fields.text(name)
    return MappingProxyType(values)
