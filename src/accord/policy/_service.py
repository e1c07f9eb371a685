# SPDX-License-Identifier: Apache-2.0
"""One service of a policy: what runs, where it may run, what it reads and what leaves it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType

from accord.encoding import Digest, Fields, JSONValue
from accord.errors import MalformedError, PolicyContentError
from accord.policy._attestation import AttestationVariant
from accord.policy._fragment_uses import FragmentUse, read_uses
from accord.policy._live import LiveMount
from accord.policy._names import parse_asset_name

MAX_TIMEOUT_S = 7 * 24 * 3600
"""Longest run that a policy may allow: a week, in seconds."""

MIN_LEASE_S, MAX_LEASE_S = 10, 24 * 3600
"""A lease is renewed at half its life: often enough to mean something, seldom enough to work."""

MAX_FILE = 64 << 10
"""Longest content of an injected file, in characters, before secrets are filled in."""

MAX_PATH = 1024
"""Longest path of an input, an output or a file, in characters."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MODE = re.compile(r"0[0-7]{3}")


class Network(StrEnum):
    """What a service may reach."""

    NONE = "none"
    OPEN = "open"
    """Whatever the host reaches: nothing keeps a program from sending away what it read."""

    def allows(self, wanted: Network) -> bool:
        """Whether terms that say this allow a service that says ``wanted``."""
        return self is Network.OPEN or wanted is Network.NONE


class Channel(StrEnum):
    """How closely evidence is tied to the connection (docs/spec/channel.md)."""

    L0 = "L0"
    """Not at all: guests of the Key Broker protocol, whose evidence names no policy, may ask."""

    L1 = "L1"
    """The peer's key is pinned to its evidence."""

    L2 = "L2"
    """The evidence proves this very TLS connection as well."""

    def at_least(self, wanted: Channel) -> bool:
        levels = list(Channel)
        return levels.index(self) >= levels.index(wanted)


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
    max_bytes: int | None = None
    """Most that may leave, in bytes; ``None``: what the shield can hold."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Output:
        read = cls(
            fields.name("name"),
            _path(fields, "/out"),
            fields.unique_names("readers"),
            _optional_integer(fields, "max_bytes", 1, 2**53 - 1),
        )
        fields.end()
        if not read.readers:
            raise PolicyContentError(where=fields.path("readers"), detail="nobody could read it")
        return read

    def to_json(self) -> JSONValue:
        document = {"name": self.name, "at": self.at, "readers": list(self.readers)}
        return document if self.max_bytes is None else {**document, "max_bytes": self.max_bytes}


@dataclass(frozen=True, slots=True)
class InjectedFile:
    """A file made in memory from a template; the program sees it, no disk ever does."""

    at: str
    """An absolute path below ``/run``."""

    content: str
    mode: str = "0400"

    @classmethod
    def from_fields(cls, fields: Fields) -> InjectedFile:
        at = _path(fields, "/run")
        content = fields.text("content", limit=MAX_FILE)
        mode = fields.text("mode") if fields.has("mode") else "0400"
        if not MODE.fullmatch(mode):
            raise MalformedError(what=fields.path("mode"), detail="expected four octal digits")
        fields.end()
        return cls(at, content, mode)

    def to_json(self) -> JSONValue:
        return {"at": self.at, "content": self.content, "mode": self.mode}


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
    files: tuple[InjectedFile, ...] = ()
    channel: Channel = Channel.L1
    """The least that a release to it needs."""

    singleton: bool = False
    """Whether each start needs an instance token of its own."""

    identity: bool = False
    """Whether it gets a short-lived certificate of the policy's authority."""

    lease_s: int | None = None
    """For how long it may run without fresh evidence, in seconds; ``None``: to its end."""

    totp: str | None = None
    """The secret whose one-time password each start needs."""

    volumes: tuple[LiveMount, ...] = ()
    """Live volumes of the policy that it reads and writes."""

    fragments: tuple[FragmentUse, ...] = ()
    """What of it comes from other policies; that it does is *not* known before a release."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Service:
        """Reads and ends ``fields``. Raises ``MalformedError`` or ``PolicyContentError``."""
        environment = fields.object("environment") if fields.has("environment") else None
        files = fields.objects("files") if fields.has("files") else []
        service = cls(
            attestation=tuple(map(AttestationVariant.from_fields, fields.objects("attestation"))),
            command=fields.texts("command"),
            environment=read_environment(environment),
            workdir=fields.text("workdir") if fields.has("workdir") else "/tmp",  # noqa: S108
            network=fields.choice("network", Network) if fields.has("network") else Network.NONE,
            timeout_s=_optional_integer(fields, "timeout_s", 1, MAX_TIMEOUT_S) or 3600,
            inputs=tuple(map(Input.from_fields, fields.objects("inputs"))),
            outputs=tuple(map(Output.from_fields, fields.objects("outputs"))),
            files=tuple(map(InjectedFile.from_fields, files)),
            channel=fields.choice("channel", Channel) if fields.has("channel") else Channel.L1,
            singleton=fields.has("singleton") and fields.flag("singleton"),
            identity=fields.has("identity") and fields.flag("identity"),
            lease_s=_optional_integer(fields, "lease_s", MIN_LEASE_S, MAX_LEASE_S),
            totp=fields.optional("totp", fields.name),
            volumes=tuple(map(_mount, fields.objects("volumes"))) if fields.has("volumes") else (),
            fragments=read_uses(fields),
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
        no_guest = self.singleton or self.identity or bool(self.volumes)
        if self.channel is Channel.L0 and (
            no_guest or self.totp is not None or self.lease_s is not None
        ):
            raise PolicyContentError(
                where=f"{where}.channel",
                detail="L0 has no place for instance tokens, one-time passwords, certificates,"
                " leases or live volumes",
            )
        if not _plain(self.workdir) or not self.workdir.startswith("/"):
            raise PolicyContentError(
                where=f"{where}.workdir", detail="expected a plain absolute path"
            )
        mounts = [item.at for item in self.inputs] + [item.at for item in self.outputs]
        mounts += [item.at for item in self.volumes]
        places = [PurePosixPath(at) for at in (*mounts, *(file.at for file in self.files))]
        for index, place in enumerate(places):
            for other in places[index + 1 :]:
                if place.is_relative_to(other) or other.is_relative_to(place):
                    raise PolicyContentError(where=where, detail=f"{place} and {other} overlap")
        assets = [item.asset for item in self.inputs]
        if len(set(assets)) != len(assets):
            # One use of an asset is of one version, and is counted once.
            raise PolicyContentError(where=f"{where}.inputs", detail="an asset appears twice")
        names = [output.name for output in self.outputs]
        if len(set(names)) != len(names):
            raise PolicyContentError(where=f"{where}.outputs", detail="a name appears twice")
        if len({item.volume for item in self.volumes}) != len(self.volumes):
            raise PolicyContentError(where=f"{where}.volumes", detail="a volume appears twice")

    @property
    def may_be_leased(self) -> bool:
        """Whether starts can be reserved before they happen, and so need not be in the log first.

        Not where a start uses up something that exists once: a rollback would bring it back.
        """
        return not self.singleton and self.totp is None and not self.volumes

    def templates(self) -> Iterator[tuple[str, str]]:
        """Every text that may name secrets, with where it stands."""
        for number, word in enumerate(self.command):
            yield f"command[{number}]", word
        for name, value in self.environment.items():
            yield f"environment.{name}", value
        for file in self.files:
            yield f"files {file.at}", file.content

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "attestation": [variant.to_json() for variant in self.attestation],
            "command": list(self.command),
            "environment": dict(self.environment),
            "workdir": self.workdir,
            "network": self.network.value,
            "timeout_s": self.timeout_s,
            "inputs": [item.to_json() for item in self.inputs],
            "outputs": [item.to_json() for item in self.outputs],
            "files": [item.to_json() for item in self.files],
            "channel": self.channel.value,
            "singleton": self.singleton,
            "identity": self.identity,
        }
        if self.lease_s is not None:
            document["lease_s"] = self.lease_s
        if self.totp is not None:
            document["totp"] = self.totp
        if self.volumes:
            document["volumes"] = [item.to_json() for item in self.volumes]
        if self.fragments:
            document["fragments"] = [use.to_json() for use in self.fragments]
        return document


def _mount(fields: Fields) -> LiveMount:
    mount = LiveMount(fields.name("volume"), _path(fields, "/data"))
    fields.end()
    return mount


def _optional_integer(fields: Fields, name: str, minimum: int, maximum: int) -> int | None:
    if not fields.has(name):
        return None
    return fields.integer(name, minimum=minimum, maximum=maximum)


def _path(fields: Fields, root: str) -> str:
    text = fields.text("at", limit=MAX_PATH)
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


def read_environment(fields: Fields | None) -> Mapping[str, str]:
    """Variables and their values. Raises ``MalformedError`` or ``PolicyContentError``."""
    if fields is None:
        return MappingProxyType({})
    values = {}
    for name in fields.names():
        if not VARIABLE.fullmatch(name):
            raise PolicyContentError(where=fields.where, detail=f"{name!r} is no variable name")
        values[name] = fields.text(name)
    return MappingProxyType(values)
