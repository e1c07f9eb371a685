# SPDX-License-Identifier: Apache-2.0
"""A hand-over: a trust service that runs passes its board on to another one (docs/adr/0024).

The log says so with its present key. From the next entry on, the other service's key is the
log's; the secrets follow only once that entry cannot be undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from accord.board import BoardState
from accord.encoding import Digest, Fields, JSONValue, base64_encode
from accord.errors import HandoverInvalidError
from accord.evidence import Binding, Purpose
from accord.identity import Keyset, SealKey, VerifyKey
from accord.policy import AttestationVariant
from accord.release._documents import NONCE_BYTES, service_binding

PACKAGE_KEY_PURPOSE = "handover-key"
"""The keys of the package with a board's secrets, sealed to one boot of one service."""

MAX_HANDOVER_URL = 512
KEY_BYTES = 32


def package_context(board: Digest, package: bytes, boot: bytes, holder: Digest) -> JSONValue:
    """What the keys of a package are sealed for; ``holder`` is the id of its new log key."""
    return {"board": board, "package": package.hex(), "boot": boot.hex(), "holder": holder}


@dataclass(frozen=True, slots=True)
class HandoverOffer:
    """The word of the service that is to go on, for one question of the one that is to end.

    It is signed with the key in ``keyset``, which the evidence is bound to.
    """

    SCHEMA = "accord.handover-offer.v1"

    board: Digest
    nonce: bytes
    """The question: a challenge of the service that hands over."""

    boot: bytes
    keyset: Keyset
    key: SealKey
    """What the package is sealed to. It lives in the memory of this boot alone."""

    evidence: Digest
    holds: bool = False
    """Whether it has a board of that name already: then nothing may be handed over anew."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        offer = cls(
            fields.digest("board"),
            fields.data("nonce", size=NONCE_BYTES),
            fields.data("boot", size=NONCE_BYTES),
            Keyset.from_fields(fields.object("keyset")),
            SealKey(fields.data("key", size=KEY_BYTES)),
            fields.digest("evidence"),
            fields.flag("holds"),
        )
        fields.end()
        return offer

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "nonce": base64_encode(self.nonce),
            "boot": base64_encode(self.boot),
            "keyset": self.keyset.to_json(),
            "key": base64_encode(self.key.raw),
            "evidence": self.evidence,
            "holds": self.holds,
        }

    @property
    def binding(self) -> Binding:
        """What the evidence must say."""
        return service_binding(self.board, self.keyset, self.nonce, Purpose.HANDOVER)


@dataclass(frozen=True, slots=True)
class HandoverRequest:
    """Somebody's wish that the board moves now: from where, to where, to which boot."""

    SCHEMA = "accord.handover-request.v1"

    board: Digest
    nonce: bytes
    boot: bytes
    keyset: Digest
    source: str
    target: str

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``."""
        fields.schema(cls.SCHEMA)
        request = cls(
            fields.digest("board"),
            fields.data("nonce", size=NONCE_BYTES),
            fields.data("boot", size=NONCE_BYTES),
            fields.digest("keyset"),
            fields.text("source", limit=MAX_HANDOVER_URL),
            fields.text("target", limit=MAX_HANDOVER_URL),
        )
        fields.end()
        return request

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "nonce": base64_encode(self.nonce),
            "boot": base64_encode(self.boot),
            "keyset": self.keyset,
            "source": self.source,
            "target": self.target,
        }


@dataclass(frozen=True, slots=True)
class Handover:
    """The last entry under one log key: whose the log is from here on, and why."""

    SCHEMA = "accord.handover.v1"

    board: Digest
    nonce: bytes
    boot: bytes
    keyset: Keyset
    evidence: Digest
    size: int
    """Of the log before this entry."""

    accepted: tuple[AttestationVariant, ...]
    """The conditions of the charter in force, which the evidence meets."""

    url: str
    """Where the other service was reached: a hint, which proves nothing."""

    asked: Digest
    """Id of the key that asked for it, as the service says."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        handover = cls(
            fields.digest("board"),
            fields.data("nonce", size=NONCE_BYTES),
            fields.data("boot", size=NONCE_BYTES),
            Keyset.from_fields(fields.object("keyset")),
            fields.digest("evidence"),
            fields.integer("size", minimum=1),
            tuple(map(AttestationVariant.from_fields, fields.objects("accepted"))),
            fields.text("url", limit=MAX_HANDOVER_URL),
            fields.digest("asked"),
        )
        fields.end()
        return handover

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "nonce": base64_encode(self.nonce),
            "boot": base64_encode(self.boot),
            "keyset": self.keyset.to_json(),
            "evidence": self.evidence,
            "size": self.size,
            "accepted": [variant.to_json() for variant in self.accepted],
            "url": self.url,
            "asked": self.asked,
        }

    @property
    def key(self) -> VerifyKey:
        """The log's key from here on."""
        return self.keyset.verify_key

    @property
    def binding(self) -> Binding:
        """What the evidence of the service that goes on must say."""
        return service_binding(self.board, self.keyset, self.nonce, Purpose.HANDOVER)


def check_handover(
    state: BoardState, log_key: VerifyKey | None, handover: Handover, *, index: int
) -> None:
    """Whether a hand-over may stand at ``index`` of the log that ``log_key`` signs.

    That the evidence meets the conditions is *not* known here: whoever holds it verifies it.
    Raises ``HandoverInvalidError``.
    """
    if handover.size != index:
        raise HandoverInvalidError(index=index, detail="it is of another place in the log")
    if handover.key == log_key:
        raise HandoverInvalidError(index=index, detail="it names the service that wrote it")
    if handover.accepted != state.charter.service:
        raise HandoverInvalidError(index=index, detail="it names other conditions than the charter")
