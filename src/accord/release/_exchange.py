# SPDX-License-Identifier: Apache-2.0
"""Secrets that leave for another trust service: its request, our record of it, our answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from accord.board import BoardState
from accord.encoding import Digest, Fields, JSONValue, base64_encode
from accord.errors import ExportWithdrawnError
from accord.evidence import Binding
from accord.identity import Keyset, VerifyKey
from accord.policy import Policy, parse_policy_name
from accord.release._consent import still_shares
from accord.release._documents import NONCE_BYTES, exchange_binding
from accord.release._grant import MAX_SECRET


@dataclass(frozen=True, slots=True)
class Importer:
    """A policy of a board on another trust service, in one version."""

    board: Digest
    policy: str
    policy_digest: Digest

    @classmethod
    def from_fields(cls, fields: Fields) -> Importer:
        """Reads and ends ``fields``; whether there is such a policy *cannot* be checked here."""
        importer = cls(
            fields.digest("board"),
            parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            fields.digest("policy_digest"),
        )
        fields.end()
        return importer

    def to_json(self) -> JSONValue:
        return {
            "board": self.board,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
        }


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """A trust service's wish for a secret of a policy here; signed by its log key."""

    SCHEMA = "accord.exchange-request.v1"

    board: Digest
    """The exporting policy's board."""

    policy: str
    secret: str
    importer: Importer
    keyset: Keyset
    nonce: bytes

    @classmethod
    def from_fields(cls, fields: Fields) -> ExchangeRequest:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        request = cls(
            board=fields.digest("board"),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            secret=fields.name("secret"),
            importer=Importer.from_fields(fields.object("importer")),
            keyset=Keyset.from_fields(fields.object("keyset")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
        )
        fields.end()
        return request

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "policy": self.policy,
            "secret": self.secret,
            "importer": self.importer.to_json(),
            "keyset": self.keyset.to_json(),
            "nonce": base64_encode(self.nonce),
        }

    @property
    def binding(self) -> Binding:
        """What the evidence that comes with it must say."""
        return exchange_binding(
            self.board, self.importer.policy_digest, self.secret, self.keyset, self.nonce
        )


@dataclass(frozen=True, slots=True)
class SecretExport:
    """The trust service's statement that it handed a secret to another trust service."""

    SCHEMA = "accord.export.v1"

    board: Digest
    policy: str
    policy_digest: Digest
    secret: str
    importer: Importer
    keyset: Keyset
    """Of the other trust service; it signs its log with the first of these keys."""

    nonce: bytes
    evidence: Digest

    @property
    def log_key(self) -> VerifyKey:
        return self.keyset.verify_key

    @property
    def binding(self) -> Binding:
        """What its evidence must say."""
        return exchange_binding(
            self.board, self.importer.policy_digest, self.secret, self.keyset, self.nonce
        )

    @classmethod
    def from_fields(cls, fields: Fields) -> SecretExport:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        export = cls(
            board=fields.digest("board"),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            policy_digest=fields.digest("policy_digest"),
            secret=fields.name("secret"),
            importer=Importer.from_fields(fields.object("importer")),
            keyset=Keyset.from_fields(fields.object("keyset")),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            evidence=fields.digest("evidence"),
        )
        fields.end()
        return export

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "secret": self.secret,
            "importer": self.importer.to_json(),
            "keyset": self.keyset.to_json(),
            "nonce": base64_encode(self.nonce),
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True)
class ExportedSecret:
    """The answer: the value, signed by the exporter's log key, then sealed to the importer's."""

    SCHEMA = "accord.exported-secret.v1"

    board: Digest
    policy: str
    policy_digest: Digest
    secret: str
    nonce: bytes
    value: bytes = field(repr=False)
    """As `accord.secrets.SecretValue` writes it."""

    @classmethod
    def from_fields(cls, fields: Fields) -> ExportedSecret:
        """Reads and ends ``fields``; the value itself is *not* read."""
        fields.schema(cls.SCHEMA)
        exported = cls(
            board=fields.digest("board"),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            policy_digest=fields.digest("policy_digest"),
            secret=fields.name("secret"),
            nonce=fields.data("nonce", size=NONCE_BYTES),
            value=fields.data("value", limit=MAX_SECRET),
        )
        fields.end()
        return exported

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "secret": self.secret,
            "nonce": base64_encode(self.nonce),
            "value": base64_encode(self.value),
        }


def exchange_context(request: Digest) -> JSONValue:
    """HPKE context of an exported secret: the statement digest of the request it answers."""
    return {"request": request}


def shared_policy(
    board: BoardState,
    *,
    policy: str,
    secret: str,
    importer: Importer,
    log_key: VerifyKey,
    now: datetime,
) -> Policy:
    """The policy in force that shares ``secret`` with a policy of another trust service.

    ``log_key`` is that service's. That it proved to be it is *not* checked here.
    Raises ``ExportWithdrawnError``, ``PolicyExpiredError`` or ``ExecutionStoppedError``.
    """
    exporter = board.policy(policy)
    if exporter is None or not exporter.shares(
        secret,
        importer=importer.policy,
        digest=importer.policy_digest,
        board=importer.board,
        log_key=log_key,
    ):
        raise ExportWithdrawnError(
            importer=importer.policy,
            secret=secret,
            exporter=policy,
            detail="it is not exported to that policy of that board and trust service",
        )
    still_shares(board, exporter, now)
    return exporter
