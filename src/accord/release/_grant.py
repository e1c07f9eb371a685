# SPDX-License-Identifier: Apache-2.0
"""What the trust service says to an attested shield alone: grants, leases, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from accord.encoding import Digest, Fields, JSONValue, base64_encode, format_time
from accord.identity import Keyset, PublicIdentity
from accord.policy import Assurance, Service, parse_asset_name
from accord.release._documents import NONCE_BYTES, parse_run_id

KEY_BYTES = 32
MAX_SECRET = 1 << 20
"""Largest secret as it is kept, in bytes: a deposit in base64, or a chain of certificates."""

MAX_CERTIFICATE = 16 << 10
"""Largest certificate of an identity, in bytes."""


@dataclass(frozen=True, slots=True)
class GrantedInput:
    """One volume that the shield may open, with its key and the tag it must find."""

    asset: str
    volume_id: str
    tag: Digest
    key: bytes = field(repr=False)

    @classmethod
    def from_fields(cls, fields: Fields) -> GrantedInput:
        granted = cls(
            parse_asset_name(fields.take("asset"), what=fields.path("asset")),
            fields.name("volume_id"),
            fields.digest("tag"),
            fields.data("key", size=KEY_BYTES),
        )
        fields.end()
        return granted

    def to_json(self) -> JSONValue:
        return {
            "asset": self.asset,
            "volume_id": self.volume_id,
            "tag": self.tag,
            "key": base64_encode(self.key),
        }


@dataclass(frozen=True, slots=True)
class GrantedVolume:
    """One live volume that the shield may open: its key, and the tag that it must find."""

    volume: str
    volume_id: str
    tag: Digest | None
    """``None``: there is nothing to find, the shield makes the volume."""

    key: bytes = field(repr=False)

    @classmethod
    def from_fields(cls, fields: Fields) -> GrantedVolume:
        granted = cls(
            fields.name("volume"),
            fields.name("volume_id"),
            fields.optional("tag", fields.digest),
            fields.data("key", size=KEY_BYTES),
        )
        fields.end()
        return granted

    def to_json(self) -> JSONValue:
        document = {
            "volume": self.volume,
            "volume_id": self.volume_id,
            "key": base64_encode(self.key),
        }
        return {**document} if self.tag is None else {**document, "tag": self.tag}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a shield receives: the service as voted on, keys, secrets, and who reads the outputs.

    Signed by the trust service, then sealed to the shield's attested key.
    """

    SCHEMA = "accord.grant.v1"

    board: Digest
    run: str
    policy_digest: Digest
    service_name: str
    service: Service
    assurance: Assurance
    inputs: tuple[GrantedInput, ...]
    readers: tuple[PublicIdentity, ...]
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By name, as `accord.secrets.SecretValue` writes them."""

    identity: tuple[bytes, ...] = ()
    """The certificate of the policy's authority for the shield's TLS key, and its chain, DER."""

    lease_until: datetime | None = None
    volumes: tuple[GrantedVolume, ...] = ()

    @classmethod
    def from_fields(cls, fields: Fields) -> Grant:
        """Reads and ends ``fields``."""
        fields.schema(cls.SCHEMA)
        secrets = fields.object("secrets")
        grant = cls(
            board=fields.digest("board"),
            run=parse_run_id(fields.take("run"), what=fields.path("run")),
            policy_digest=fields.digest("policy_digest"),
            service_name=fields.name("service_name"),
            service=Service.from_fields(fields.object("service")),
            assurance=fields.choice("assurance", Assurance),
            inputs=tuple(map(GrantedInput.from_fields, fields.objects("inputs"))),
            readers=tuple(map(PublicIdentity.from_fields, fields.objects("readers"))),
            secrets=MappingProxyType(
                {name: secrets.data(name, limit=MAX_SECRET) for name in secrets.names()}
            ),
            identity=fields.blobs("identity", limit=MAX_CERTIFICATE),
            lease_until=fields.optional("lease_until", fields.time),
            volumes=tuple(map(GrantedVolume.from_fields, fields.objects("volumes")))
            if fields.has("volumes")
            else (),
        )
        fields.end()
        return grant

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "policy_digest": self.policy_digest,
            "service_name": self.service_name,
            "service": self.service.to_json(),
            "assurance": self.assurance.value,
            "inputs": [item.to_json() for item in self.inputs],
            "readers": [identity.to_json() for identity in self.readers],
            "secrets": {name: base64_encode(value) for name, value in self.secrets.items()},
            "identity": [base64_encode(certificate) for certificate in self.identity],
        }
        if self.lease_until is not None:
            document["lease_until"] = format_time(self.lease_until)
        if self.volumes:
            document["volumes"] = [item.to_json() for item in self.volumes]
        return document


@dataclass(frozen=True, slots=True)
class Lease:
    """The trust service's answer to a shield: the run may go on until then."""

    SCHEMA = "accord.lease.v1"

    board: Digest
    run: str
    nonce: bytes
    until: datetime
    identity: tuple[bytes, ...] = ()
    """A fresh certificate for the same TLS key, for services that have one."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Lease:
        """Reads and ends ``fields``."""
        fields.schema(cls.SCHEMA)
        lease = cls(
            fields.digest("board"),
            parse_run_id(fields.take("run"), what=fields.path("run")),
            fields.data("nonce", size=NONCE_BYTES),
            fields.time("until"),
            fields.blobs("identity", limit=MAX_CERTIFICATE),
        )
        fields.end()
        return lease

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "nonce": base64_encode(self.nonce),
            "until": format_time(self.until),
            "identity": [base64_encode(certificate) for certificate in self.identity],
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """The trust service's signed word that it refused an attested requester, and why."""

    SCHEMA = "accord.refusal.v1"

    board: Digest
    nonce: bytes
    code: str
    title: str
    hint: str
    details: Mapping[str, str]
    """Among them, where they apply: ``field``, ``expected`` and ``found``."""

    time: datetime

    @classmethod
    def from_fields(cls, fields: Fields) -> Refusal:
        """Reads and ends ``fields``."""
        fields.schema(cls.SCHEMA)
        details = fields.object("details")
        refusal = cls(
            board=fields.digest("board"),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            code=fields.text("code", limit=64),
            title=fields.text("title"),
            hint=fields.text("hint"),
            details=MappingProxyType({name: details.text(name) for name in details.names()}),
            time=fields.time("time"),
        )
        fields.end()
        return refusal

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "nonce": base64_encode(self.nonce),
            "code": self.code,
            "title": self.title,
            "hint": self.hint,
            "details": dict(self.details),
            "time": format_time(self.time),
        }


GRANT_PURPOSE = "grant"
ASSET_KEY_PURPOSE = "asset-key"
OUTPUT_KEY_PURPOSE = "output-key"
EXPORT_PURPOSE = "export"


def grant_context(board: Digest, nonce: bytes, keyset: Keyset) -> JSONValue:
    """HPKE context of a sealed grant: only for this board, this nonce, these keys."""
    return {"board": board, "nonce": base64_encode(nonce), "keyset": keyset.digest}


def asset_key_context(offer: Digest) -> JSONValue:
    """HPKE context of a volume key, or a value, that its owner seals to the trust service."""
    return {"offer": offer}


def output_key_context(board: Digest, run: str, output: str, reader: str) -> JSONValue:
    """HPKE context of an output volume's key that the shield seals to one reader."""
    return {"board": board, "run": run, "output": output, "reader": reader}
