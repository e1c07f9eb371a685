# SPDX-License-Identifier: Apache-2.0
"""What evidence is bound to, and the requests that come with it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace

from accord.encoding import (
    Digest,
    EnvelopeSignature,
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
)
from accord.errors import MalformedError, SignatureInvalidError, UnknownRunError
from accord.evidence import Binding, Evidence, Purpose, Role
from accord.identity import Keyset, Signer, VerifyKey, sign_statement, verify_statement
from accord.policy import Channel, parse_policy_name

NONCE_BYTES = 32
TOKEN_BYTES = 32

_SIGNATURE_BYTES = 64
_LEASE_REQUEST = "lease-request"
_RUN = re.compile(r"run-[0-9a-f]{32}")


def parse_run_id(value: object, *, what: str) -> str:
    """``run-`` and 32 hex digits. Raises ``MalformedError``."""
    if not isinstance(value, str) or not _RUN.fullmatch(value):
        raise MalformedError(what=what, detail="expected run-<32 hex digits>")
    return value


def log_origin(board: Digest, generation: int = 0) -> str:
    """The origin line of a board's log (C2SP tlog-checkpoint).

    Each fork that members resolved begins another ``generation``: for witnesses, another log.
    """
    suffix = f"/g{generation}" if generation else ""
    return f"accord/boards/{board.removeprefix('sha256:')}{suffix}"


def service_binding(
    board: Digest,
    keyset: Keyset,
    nonce: bytes,
    purpose: Purpose,
    *,
    exporter: bytes | None = None,
) -> Binding:
    """What the trust service's evidence must say: to a client (CHANNEL), to the log (LOG).

    ``exporter`` is the server's binder of the connection (channel level 2).
    """
    tls = keyset.tls_spki_sha256
    spki = tls if purpose is Purpose.CHANNEL and tls else keyset.verify_spki_sha256
    claims = {"board": board, "keyset": keyset.to_json()}
    return _binding(purpose, Role.SERVICE, nonce, spki=spki, claims=claims, exporter=exporter)


def shield_binding(
    board: Digest,
    policy: str,
    service: str,
    keyset: Keyset,
    nonce: bytes,
    *,
    token_sha256: bytes | None = None,
    tls_spki_sha256: bytes | None = None,
    exporter: bytes | None = None,
) -> Binding:
    """What a shield's evidence must say to be released anything.

    ``token_sha256`` is of the instance token that it shows, ``tls_spki_sha256`` of the key that
    it wants a certificate for, ``exporter`` the client's binder of the connection.
    """
    claims: dict[str, JSONValue] = {
        "board": board,
        "policy": policy,
        "service": service,
        "keyset": keyset.to_json(),
    }
    for name, value in (("token_sha256", token_sha256), ("tls_spki_sha256", tls_spki_sha256)):
        if value is not None:
            claims[name] = value.hex()
    spki = keyset.verify_spki_sha256
    return _binding(
        Purpose.RELEASE, Role.SHIELD, nonce, spki=spki, claims=claims, exporter=exporter
    )


def lease_binding(
    board: Digest, run: str, keyset: Keyset, nonce: bytes, *, exporter: bytes | None = None
) -> Binding:
    """What a shield's evidence must say for its run to go on."""
    claims = {"board": board, "run": run, "keyset": keyset.to_json()}
    spki = keyset.verify_spki_sha256
    return _binding(Purpose.LEASE, Role.SHIELD, nonce, spki=spki, claims=claims, exporter=exporter)


def ballot_binding(
    board: Digest, proposal: Digest, *, choice: str, sequence: int, key: VerifyKey, nonce: bytes
) -> Binding:
    """What the evidence of an automated member must say for its ballot to count."""
    claims = {"board": board, "proposal": proposal, "choice": choice, "sequence": sequence}
    spki = hashlib.sha256(key.spki).digest()
    return _binding(Purpose.BALLOT, Role.MEMBER, nonce, spki=spki, claims=claims)


def exchange_binding(
    board: Digest, policy: Digest, secret: str, keyset: Keyset, nonce: bytes
) -> Binding:
    """What a trust service's evidence must say for another one to export a secret to it."""
    claims = {"board": board, "policy": policy, "secret": secret, "keyset": keyset.to_json()}
    spki = keyset.verify_spki_sha256
    return _binding(Purpose.EXCHANGE, Role.SERVICE, nonce, spki=spki, claims=claims)


def _binding(
    purpose: Purpose,
    role: Role,
    nonce: bytes,
    *,
    spki: bytes,
    claims: JSONValue,
    exporter: bytes | None = None,
) -> Binding:
    return Binding(
        purpose=purpose,
        role=role,
        nonce=nonce,
        spki_sha256=spki,
        tls_exporter=exporter,
        claims_digest=hashlib.sha256(canonical_json(claims)).digest(),
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
    channel: Channel = Channel.L1
    """Whether the evidence proves the connection as well."""

    token: bytes | None = field(default=None, repr=False)
    """The instance token, for a service that needs one."""

    otp: str | None = field(default=None, repr=False)
    """The one-time password, for a service that needs one."""

    tls_spki: bytes | None = None
    """DER SubjectPublicKeyInfo of the key that wants a certificate of the policy's authority."""

    @classmethod
    def from_json(cls, value: JSONValue) -> ReleaseRequest:
        """Reads a request; nothing in it is believed yet. Raises ``MalformedError``."""
        fields = Fields(value, "release request")
        fields.schema(cls.SCHEMA)
        request = cls(
            board=fields.digest("board"),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            service=fields.name("service"),
            keyset=Keyset.from_fields(fields.object("keyset")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            evidence=Evidence.from_fields(fields.object("evidence")),
            channel=fields.choice("channel", Channel) if fields.has("channel") else Channel.L1,
            token=fields.data("token", size=TOKEN_BYTES) if fields.has("token") else None,
            otp=fields.text("otp", limit=16) if fields.has("otp") else None,
            tls_spki=fields.data("tls_spki", limit=1024) if fields.has("tls_spki") else None,
        )
        fields.end()
        return request

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "policy": self.policy,
            "service": self.service,
            "keyset": self.keyset.to_json(),
            "nonce": base64_encode(self.nonce),
            "evidence": self.evidence.to_json(),
            "channel": self.channel.value,
        }
        for name, value in (("token", self.token), ("tls_spki", self.tls_spki)):
            if value is not None:
                document[name] = base64_encode(value)
        return document if self.otp is None else {**document, "otp": self.otp}

    @property
    def token_sha256(self) -> bytes | None:
        return None if self.token is None else hashlib.sha256(self.token).digest()

    @property
    def tls_spki_sha256(self) -> bytes | None:
        return None if self.tls_spki is None else hashlib.sha256(self.tls_spki).digest()

    def binding(self, exporter: bytes | None = None) -> Binding:
        """What the evidence must say; ``exporter`` at channel level 2 only."""
        return shield_binding(
            self.board,
            self.policy,
            self.service,
            self.keyset,
            self.nonce,
            token_sha256=self.token_sha256,
            tls_spki_sha256=self.tls_spki_sha256,
            exporter=exporter,
        )


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A shield's wish that its run may go on, signed by the key that the release attested."""

    SCHEMA = "accord.lease-request.v1"

    board: Digest
    run: str
    nonce: bytes
    evidence: Evidence
    channel: Channel
    signature: bytes

    @classmethod
    def make(
        cls,
        *,
        board: Digest,
        run: str,
        nonce: bytes,
        evidence: Evidence,
        channel: Channel = Channel.L1,
        signer: Signer,
    ) -> LeaseRequest:
        """A request that ``signer`` makes."""
        request = cls(board, run, nonce, evidence, channel, b"")
        (signed,) = sign_statement(_LEASE_REQUEST, request._statement(), [signer]).signatures
        return replace(request, signature=signed.signature)

    def verify(self, key: VerifyKey) -> None:
        """Raises ``UnknownRunError`` where another key than that of the run signed it."""
        unsigned = sign_statement(_LEASE_REQUEST, self._statement(), [])
        signed = replace(unsigned, signatures=(EnvelopeSignature(key.key_id, self.signature),))
        try:
            verify_statement(signed, _LEASE_REQUEST, {key.key_id: key})
        except SignatureInvalidError as exc:
            raise UnknownRunError(run=self.run) from exc

    def _statement(self) -> JSONValue:
        """What is signed: everything, the evidence by its digest."""
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "nonce": base64_encode(self.nonce),
            "evidence": self.evidence.digest,
            "channel": self.channel.value,
        }

    @classmethod
    def from_json(cls, value: JSONValue) -> LeaseRequest:
        """Reads a request; nothing in it is believed yet. Raises ``MalformedError``."""
        fields = Fields(value, "lease request")
        fields.schema(cls.SCHEMA)
        request = cls(
            board=fields.digest("board"),
            run=parse_run_id(fields.take("run"), what=fields.path("run")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            evidence=Evidence.from_fields(fields.object("evidence")),
            channel=fields.choice("channel", Channel),
            signature=fields.data("signature", size=_SIGNATURE_BYTES),
        )
        fields.end()
        return request

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "nonce": base64_encode(self.nonce),
            "evidence": self.evidence.to_json(),
            "channel": self.channel.value,
            "signature": base64_encode(self.signature),
        }
