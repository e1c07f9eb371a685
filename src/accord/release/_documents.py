# SPDX-License-Identifier: Apache-2.0
"""What the trust service and an attested shield say to one another, and to the log."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accord.encoding import Digest, Fields, JSONValue, base64_encode, canonical_json, sha256
from accord.errors import MalformedError
from accord.evidence import Binding, Evidence, Purpose, Role
from accord.identity import Keyset, PublicIdentity
from accord.policy import Assurance, Service, parse_asset_name

NONCE_BYTES = 32
KEY_BYTES = 32

LOG_NAME = "accord-trust-service"
"""Name of the log key in signed notes."""

_RUN = re.compile(r"run-[0-9a-f]{32}")


def parse_run_id(value: object, *, what: str) -> str:
    """``run-`` and 32 hex digits. Raises ``MalformedError``."""
    if not isinstance(value, str) or not _RUN.fullmatch(value):
        raise MalformedError(what=what, detail="expected run-<32 hex digits>")
    return value


def log_origin(board: Digest) -> str:
    """The origin line of a board's log (C2SP tlog-checkpoint)."""
    return f"accord/boards/{board.removeprefix('sha256:')}"


def service_binding(board: Digest, keyset: Keyset, nonce: bytes, purpose: Purpose) -> Binding:
    """What the trust service's evidence must say: to a client (CHANNEL), to the log (LOG)."""
    tls = keyset.tls_spki_sha256
    spki = tls if purpose is Purpose.CHANNEL and tls else keyset.verify_spki_sha256
    claims = canonical_json({"board": board, "keyset": keyset.to_json()})
    return _binding(purpose, Role.SERVICE, nonce, spki, claims)


def shield_binding(
    board: Digest, policy: str, service: str, keyset: Keyset, nonce: bytes
) -> Binding:
    """What a shield's evidence must say to be released anything."""
    claims = canonical_json(
        {"board": board, "policy": policy, "service": service, "keyset": keyset.to_json()}
    )
    return _binding(Purpose.RELEASE, Role.SHIELD, nonce, keyset.verify_spki_sha256, claims)


def _binding(purpose: Purpose, role: Role, nonce: bytes, spki: bytes, claims: bytes) -> Binding:
    return Binding(
        purpose=purpose,
        role=role,
        nonce=nonce,
        spki_sha256=spki,
        tls_exporter=None,  # Channel level 1: the TLS key is pinned, its session is not.
        claims_digest=bytes.fromhex(sha256(claims).removeprefix("sha256:")),
    )


@dataclass(frozen=True, slots=True)
class ServiceStart:
    """The trust service's statement, at each start, of who it is."""

    SCHEMA = "accord.service-start.v1"

    board: Digest
    boot_nonce: bytes
    keyset: Keyset
    evidence: Digest

    @classmethod
    def from_fields(cls, fields: Fields) -> ServiceStart:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        start = cls(
            fields.digest("board"),
            fields.data("boot_nonce", size=NONCE_BYTES),
            Keyset.from_fields(fields.object("keyset")),
            fields.digest("evidence"),
        )
        fields.end()
        return start

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "boot_nonce": base64_encode(self.boot_nonce),
            "keyset": self.keyset.to_json(),
            "evidence": self.evidence,
        }

    @property
    def binding(self) -> Binding:
        return service_binding(self.board, self.keyset, self.boot_nonce, Purpose.LOG)


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A shield's wish to run one service of one policy."""

    SCHEMA = "accord.release-request.v1"

    board: Digest
    policy: str
    service: str
    keyset: Keyset
    nonce: bytes
    evidence: Evidence

    @classmethod
    def from_json(cls, value: JSONValue) -> ReleaseRequest:
        """Reads a request; nothing in it is believed yet."""
        fields = Fields(value, "release request")
        fields.schema(cls.SCHEMA)
        request = cls(
            board=fields.digest("board"),
            policy=fields.name("policy"),
            service=fields.name("service"),
            keyset=Keyset.from_fields(fields.object("keyset")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            evidence=Evidence.from_fields(fields.object("evidence")),
        )
        fields.end()
        return request

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "policy": self.policy,
            "service": self.service,
            "keyset": self.keyset.to_json(),
            "nonce": base64_encode(self.nonce),
            "evidence": self.evidence.to_json(),
        }

    @property
    def binding(self) -> Binding:
        return shield_binding(self.board, self.policy, self.service, self.keyset, self.nonce)


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
    """The attestation result (EAR), as `accord.evidence` wrote it."""

    uses: tuple[AssetUse, ...]

    @classmethod
    def from_fields(cls, fields: Fields) -> Release:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        release = cls(
            board=fields.digest("board"),
            run=parse_run_id(fields.take("run"), what=fields.path("run")),
            policy=fields.name("policy"),
            policy_digest=fields.digest("policy_digest"),
            service=fields.name("service"),
            keyset=Keyset.from_fields(fields.object("keyset")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            evidence=fields.digest("evidence"),
            assurance=fields.choice("assurance", Assurance),
            result=fields.take("result"),
            uses=tuple(map(AssetUse.from_fields, fields.objects("uses"))),
        )
        fields.end()
        return release

    def to_json(self) -> JSONValue:
        return {
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
        }

    @property
    def binding(self) -> Binding:
        return shield_binding(self.board, self.policy, self.service, self.keyset, self.nonce)


@dataclass(frozen=True, slots=True)
class GrantedInput:
    """One volume that the shield may open, with its key and the tag it must find."""

    asset: str
    volume_id: str
    tag: Digest
    key: bytes

    def __repr__(self) -> str:
        return f"GrantedInput(asset={self.asset!r}, tag={self.tag!r}, key=<secret>)"

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
class Grant:
    """What a shield receives: the service as voted on, the keys, and who reads the outputs.

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

    @classmethod
    def from_fields(cls, fields: Fields) -> Grant:
        """Reads and ends ``fields``."""
        fields.schema(cls.SCHEMA)
        grant = cls(
            board=fields.digest("board"),
            run=parse_run_id(fields.take("run"), what=fields.path("run")),
            policy_digest=fields.digest("policy_digest"),
            service_name=fields.name("service_name"),
            assurance=fields.choice("assurance", Assurance),
            service=Service.from_fields(fields.object("service")),
            inputs=tuple(map(GrantedInput.from_fields, fields.objects("inputs"))),
            readers=tuple(map(PublicIdentity.from_fields, fields.objects("readers"))),
        )
        fields.end()
        return grant

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "policy_digest": self.policy_digest,
            "service_name": self.service_name,
            "service": self.service.to_json(),
            "assurance": self.assurance.value,
            "inputs": [item.to_json() for item in self.inputs],
            "readers": [identity.to_json() for identity in self.readers],
        }


GRANT_PURPOSE = "grant"
ASSET_KEY_PURPOSE = "asset-key"
OUTPUT_KEY_PURPOSE = "output-key"


def grant_context(board: Digest, nonce: bytes, keyset: Keyset) -> JSONValue:
    """HPKE context of a sealed grant: only for this board, this nonce, these keys."""
    return {"board": board, "nonce": base64_encode(nonce), "keyset": keyset.digest}


def asset_key_context(offer: Digest) -> JSONValue:
    """HPKE context of a volume key that its owner seals to the trust service."""
    return {"offer": offer}


def output_key_context(board: Digest, run: str, output: str, reader: str) -> JSONValue:
    """HPKE context of an output volume's key that the shield seals to one reader."""
    return {"board": board, "run": run, "output": output, "reader": reader}
