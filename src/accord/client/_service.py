# SPDX-License-Identifier: Apache-2.0
"""The trust service as such: attested by anybody, claimed and configured by its owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from accord.client._claim import (
    CLAIM_KIND,
    CONFIG_KIND,
    Founding,
    ServiceClaim,
    ServiceConfig,
)
from accord.client._connection import Connection
from accord.client._proof import prove_environment
from accord.encoding import Digest, Envelope, Fields
from accord.errors import ServiceIdentityError
from accord.evidence import AttestationResult, Claims, appraise
from accord.identity import FileIdentity, Keyset, sign_statement
from accord.policy import AttestationVariant, Channel

NO_BOARD = Digest("sha256:" + 64 * "0")
"""In the place of a board's digest where a service is attested for none in particular."""


@dataclass(frozen=True, slots=True)
class ServicePins:
    """What somebody knows of a service beforehand. Its code, its key, or both; never nothing."""

    anchors: tuple[Digest, ...]
    variants: tuple[AttestationVariant, ...] = ()
    """Environments that are acceptable; where there are none, ``identity`` alone decides."""

    identity: Digest | None = None
    """Id of the key that signs its logs."""


@dataclass(frozen=True, slots=True)
class Counter:
    """What the counter of a service says about its store."""

    standing: str
    value: int
    expected: int | None

    @classmethod
    def from_fields(cls, fields: Fields) -> Counter:
        """Reads and ends ``fields``."""
        counter = cls(
            fields.text("standing"),
            fields.integer("value", minimum=0),
            fields.optional("expected", lambda name: fields.integer(name, minimum=0)),
        )
        fields.end()
        return counter


@dataclass(frozen=True, slots=True)
class OwnerInfo:
    """What a service says about its owner."""

    service: Digest
    claim: ServiceClaim | None
    config: ServiceConfig
    counter: Counter | None

    @classmethod
    def from_fields(cls, fields: Fields) -> OwnerInfo:
        """Reads and ends ``fields``."""
        service = fields.digest("service")
        claim, counter = fields.take("claim"), fields.take("counter")
        ownership = cls(
            service,
            None if claim is None else ServiceClaim.from_fields(Fields(claim, "claim")),
            ServiceConfig.from_fields(fields.object("config")),
            None if counter is None else Counter.from_fields(Fields(counter, "counter")),
        )
        fields.end()
        return ownership


class AttestedService:
    """A trust service that proved what its caller pinned; for no board in particular."""

    def __init__(
        self,
        connection: Connection,
        keyset: Keyset,
        claims: Claims,
        result: AttestationResult | None,
    ) -> None:
        self._connection = connection
        self.keyset, self.claims = keyset, claims
        self.channel = Channel.L2
        self.result = result
        """The appraisal; ``None`` where the key alone was pinned."""

    @classmethod
    def attest(cls, url: str, pins: ServicePins) -> AttestedService:
        """Raises ``ServiceIdentityError``, CHN and ATT errors."""
        connection = Connection(url)
        with connection.closed_on_failure():
            # (1) to (3) It is in a genuine environment, and its keys are of that environment.
            keyset, claims = prove_environment(connection, NO_BOARD, pins.anchors, Channel.L2)
            # (4) It is the one that was pinned: by its code, by its key, or by both.
            result = None
            if pins.variants or pins.identity is None:
                result = appraise(claims, pins.variants, now=datetime.now(UTC))
            found = keyset.verify_key.key_id
            if pins.identity not in (None, found):
                raise ServiceIdentityError(url=url, found=found)
            connection.attested = True
            return cls(connection, keyset, claims, result)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    @property
    def identity(self) -> Digest:
        """Id of the key that signs its logs."""
        return self.keyset.verify_key.key_id

    def owner(self) -> OwnerInfo:
        """Who claimed it, and which boards it takes on."""
        return OwnerInfo.from_fields(self._connection.fields("GET", "/v1/service"))

    def claim(self, owner: FileIdentity) -> ServiceClaim:
        """Claims it; again by the same owner changes nothing. Raises ``AlreadyClaimedError``."""
        now = datetime.now(UTC).replace(microsecond=0)
        claim = ServiceClaim(self.identity, owner.public, now)
        return ServiceClaim.from_fields(
            self._send("/v1/claim", sign_statement(CLAIM_KIND, claim.to_json(), [owner.signer]))
        )

    def configure(
        self,
        owner: FileIdentity,
        *,
        founding: Founding | None = None,
        max_boards: int | None = None,
        requests_per_s: int | None = None,
        counter: int | None = None,
    ) -> ServiceConfig:
        """Sets the owner's wishes; ``None`` keeps what is in force.

        ``counter`` is the value at which its store is taken for the latest one.

        Raises ``ClaimInvalidError`` or ``NotClaimedError``.
        """
        now = self.owner().config
        config = ServiceConfig(
            self.identity,
            now.sequence + 1,
            now.founding if founding is None else founding,
            now.max_boards if max_boards is None else max_boards,
            now.requests_per_s if requests_per_s is None else requests_per_s,
            counter,
        )
        return ServiceConfig.from_fields(
            self._send("/v1/config", sign_statement(CONFIG_KIND, config.to_json(), [owner.signer]))
        )

    def _send(self, path: str, envelope: Envelope) -> Fields:
        return self._connection.fields("POST", path, envelope.to_json())
