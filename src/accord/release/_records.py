# SPDX-License-Identifier: Apache-2.0
"""What the trust service says to the log: releases, renewals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from accord.encoding import Digest, Fields, JSONValue, base64_encode, format_time
from accord.errors import MalformedError
from accord.evidence import Binding
from accord.identity import Keyset
from accord.policy import Assurance, Channel, parse_asset_name, parse_policy_name
from accord.release._documents import NONCE_BYTES, lease_binding, parse_run_id, shield_binding

HASH_BYTES = 32
_VOLUME_ID = re.compile("vol-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class AssetUse:
    """The ``number``-th use of one offer of an asset, counting from 1."""

    asset: str
    offer: Digest
    number: int

    @classmethod
    def from_fields(cls, fields: Fields) -> AssetUse:
        use = cls(
            parse_asset_name(fields.take("asset"), what=fields.path("asset")),
            fields.digest("offer"),
            fields.integer("number", minimum=1),
        )
        fields.end()
        return use

    def to_json(self) -> JSONValue:
        return {"asset": self.asset, "offer": self.offer, "number": self.number}


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A secret that was released, and where its value came from."""

    name: str
    source: str
    """``policy:NAME``, ``asset:OWNER/NAME`` or ``peer:BOARD:NAME``."""

    version: Digest
    """Digest of that policy's version, or of the statement that offered the asset."""

    @classmethod
    def from_fields(cls, fields: Fields) -> SecretUse:
        use = cls(fields.name("name"), fields.text("source", limit=512), fields.digest("version"))
        fields.end()
        return use

    def to_json(self) -> JSONValue:
        return {"name": self.name, "source": self.source, "version": self.version}


@dataclass(frozen=True, slots=True)
class OpenedVolume:
    """A live volume that a run may write from now on, and the tag that it must find."""

    volume: str
    volume_id: str
    tag: Digest | None
    """``None``: nothing was ever committed, so it is made anew."""

    @classmethod
    def from_fields(cls, fields: Fields) -> OpenedVolume:
        volume_id = fields.text("volume_id", limit=64)
        if not _VOLUME_ID.fullmatch(volume_id):
            raise MalformedError(what=fields.path("volume_id"), detail="expected a volume id")
        opened = cls(fields.name("volume"), volume_id, fields.optional("tag", fields.digest))
        fields.end()
        return opened

    def to_json(self) -> JSONValue:
        document = {"volume": self.volume, "volume_id": self.volume_id}
        return {**document} if self.tag is None else {**document, "tag": self.tag}


@dataclass(frozen=True, slots=True)
class Release:
    """The trust service's statement that it released a service's secrets to a shield."""

    SCHEMA = "accord.release.v1"

    board: Digest
    run: str
    policy: str
    policy_digest: Digest
    service: str
    keyset: Keyset
    nonce: bytes
    evidence: Digest
    assurance: Assurance
    result: JSONValue
    """The attestation result (EAR), as `accord.evidence` wrote it; ``None`` in a `RunRecord`."""

    uses: tuple[AssetUse, ...]
    secrets: tuple[SecretUse, ...] = ()
    exporter: bytes | None = None
    """The client's binder of the connection, which shows nothing of it (channel level 2)."""

    token_sha256: bytes | None = None
    tls_spki_sha256: bytes | None = None
    """Of the key that got a certificate of the policy's authority."""

    totp_step: int | None = None
    """The time step whose one-time password is used up."""

    lease_until: datetime | None = None
    reservation: Digest | None = None
    """The statement that counted its uses in advance; then no witness need have seen this one."""

    volumes: tuple[OpenedVolume, ...] = ()
    """Live volumes that it opens; as ``result``, not in a `RunRecord`."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Release:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        release = cls(
            board=fields.digest("board"),
            run=parse_run_id(fields.take("run"), what=fields.path("run")),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            policy_digest=fields.digest("policy_digest"),
            service=fields.name("service"),
            keyset=Keyset.from_fields(fields.object("keyset")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            evidence=fields.digest("evidence"),
            assurance=fields.choice("assurance", Assurance),
            result=fields.take("result"),
            uses=tuple(map(AssetUse.from_fields, fields.objects("uses"))),
            secrets=tuple(map(SecretUse.from_fields, fields.objects("secrets"))),
            exporter=_hash(fields, "exporter"),
            token_sha256=_hash(fields, "token_sha256"),
            tls_spki_sha256=_hash(fields, "tls_spki_sha256"),
            totp_step=fields.integer("totp_step", minimum=0) if fields.has("totp_step") else None,
            lease_until=fields.optional("lease_until", fields.time),
            reservation=fields.optional("reservation", fields.digest),
            volumes=tuple(map(OpenedVolume.from_fields, fields.objects("volumes")))
            if fields.has("volumes")
            else (),
        )
        fields.end()
        return release

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "service": self.service,
            "keyset": self.keyset.to_json(),
            "nonce": base64_encode(self.nonce),
            "evidence": self.evidence,
            "assurance": self.assurance.value,
            "result": self.result,
            "uses": [use.to_json() for use in self.uses],
            "secrets": [use.to_json() for use in self.secrets],
        }
        hashes = {
            "exporter": self.exporter,
            "token_sha256": self.token_sha256,
            "tls_spki_sha256": self.tls_spki_sha256,
        }
        document.update({name: value.hex() for name, value in hashes.items() if value is not None})
        if self.totp_step is not None:
            document["totp_step"] = self.totp_step
        if self.lease_until is not None:
            document["lease_until"] = format_time(self.lease_until)
        if self.reservation is not None:
            document["reservation"] = self.reservation
        if self.volumes:
            document["volumes"] = [item.to_json() for item in self.volumes]
        return document

    @property
    def channel(self) -> Channel:
        return Channel.L1 if self.exporter is None else Channel.L2

    @property
    def binding(self) -> Binding:
        return shield_binding(
            self.board,
            self.policy,
            self.service,
            self.keyset,
            self.nonce,
            token_sha256=self.token_sha256,
            tls_spki_sha256=self.tls_spki_sha256,
            exporter=self.exporter,
        )


@dataclass(frozen=True, slots=True)
class Renewal:
    """The trust service's statement that a run may go on until then."""

    SCHEMA = "accord.renewal.v1"

    board: Digest
    run: str
    nonce: bytes
    evidence: Digest
    assurance: Assurance
    """The weakest so far of the shield's, the trust service's and the release's."""

    until: datetime
    exporter: bytes | None = None

    @classmethod
    def from_fields(cls, fields: Fields) -> Renewal:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        renewal = cls(
            board=fields.digest("board"),
            run=parse_run_id(fields.take("run"), what=fields.path("run")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            evidence=fields.digest("evidence"),
            assurance=fields.choice("assurance", Assurance),
            until=fields.time("until"),
            exporter=_hash(fields, "exporter"),
        )
        fields.end()
        return renewal

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "nonce": base64_encode(self.nonce),
            "evidence": self.evidence,
            "assurance": self.assurance.value,
            "until": format_time(self.until),
        }
        return document if self.exporter is None else {**document, "exporter": self.exporter.hex()}

    @property
    def channel(self) -> Channel:
        return Channel.L1 if self.exporter is None else Channel.L2

    def binding(self, keyset: Keyset) -> Binding:
        """What its evidence must say, for a run whose release was to ``keyset``."""
        return lease_binding(self.board, self.run, keyset, self.nonce, exporter=self.exporter)


def _hash(fields: Fields, name: str) -> bytes | None:
    return fields.hex(name, size=HASH_BYTES) if fields.has(name) else None
