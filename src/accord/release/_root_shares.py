# SPDX-License-Identifier: Apache-2.0
"""The board's root secret in the log: its shares, and a recovery with them.

The log never holds the secret. It holds a share for each member, sealed to them, and the
public half of a key that only the secret gives: with that key a restored board goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from accord.board import BoardState, recovery_missing
from accord.encoding import Digest, Envelope, Fields, JSONValue, base64_encode
from accord.errors import RootSharesError, ShareInvalidError
from accord.evidence import Binding, Purpose
from accord.identity import Keyset, SealKey, VerifyKey, verify_statement
from accord.release._documents import NONCE_BYTES, service_binding

SHARE_PURPOSE = "root-share"
"""A share, sealed to the member who holds it."""

RESEALED_PURPOSE = "recovery-share"
"""The same, sealed by the member to one boot of one service."""

BACKUP_KEY_PURPOSE = "backup-key"

MAX_SEALED_SHARE = 1024
KEY_BYTES = HASH_BYTES = 32


def share_context(board: Digest, epoch: int, member: str) -> JSONValue:
    """What a share is sealed for."""
    return {"board": board, "epoch": epoch, "member": member}


@dataclass(frozen=True, slots=True)
class RootShare:
    """One member's share: sealed to ``key``; ``digest`` is that of the words themselves."""

    key: SealKey
    sealed: bytes
    digest: Digest

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``."""
        share = cls(
            SealKey(fields.data("key", size=KEY_BYTES)),
            fields.data("sealed", limit=MAX_SEALED_SHARE),
            fields.digest("digest"),
        )
        fields.end()
        return share

    def to_json(self) -> JSONValue:
        return {
            "key": base64_encode(self.key.raw),
            "sealed": base64_encode(self.sealed),
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class RootShares:
    """The trust service's statement that it split a new root secret among all members."""

    SCHEMA = "accord.root-shares.v1"

    board: Digest
    epoch: int
    """Counts the root secrets of the board, from 1."""

    rotation: int
    """The charter's epoch, which a vote raises."""

    threshold: int
    recovery_key: VerifyKey
    """Only the root secret gives its private half."""

    shares: Mapping[str, RootShare]

    @classmethod
    def from_fields(cls, fields: Fields) -> RootShares:
        """Reads and ends ``fields``. That the shares are good only their holders can find out."""
        fields.schema(cls.SCHEMA)
        listed = fields.object("shares")
        shares = cls(
            fields.digest("board"),
            fields.integer("epoch", minimum=1),
            fields.integer("rotation", minimum=1),
            fields.integer("threshold", minimum=2),
            VerifyKey(fields.data("recovery_key", size=KEY_BYTES)),
            MappingProxyType(
                {name: RootShare.from_fields(listed.object(name)) for name in listed.names()}
            ),
        )
        listed.end()
        fields.end()
        return shares

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "epoch": self.epoch,
            "rotation": self.rotation,
            "threshold": self.threshold,
            "recovery_key": base64_encode(self.recovery_key.raw),
            "shares": {name: share.to_json() for name, share in self.shares.items()},
        }

    def fits(self, state: BoardState) -> bool:
        """Whether these are shares of as many of the present members as the charter asks for."""
        plan = state.charter.recovery
        keys = {name: member.identity.seal_key for name, member in state.members.items()}
        return plan is not None and (self.rotation, self.threshold, keys) == (
            plan.epoch,
            plan.threshold,
            {name: share.key for name, share in self.shares.items()},
        )


def check_root_shares(
    state: BoardState, latest: RootShares | None, shares: RootShares, *, index: int
) -> None:
    """Raises ``RootSharesError`` where the charter in force asks for other shares."""
    if shares.epoch != (latest.epoch if latest else 0) + 1:
        raise RootSharesError(index=index, detail="its root secret is not the next one")
    if not shares.fits(state):
        raise RootSharesError(index=index, detail="the charter asks for other shares")


@dataclass(frozen=True, slots=True)
class RecoveryShare:
    """A member's word that the board may go on from here, in one boot of one service.

    ``sealed`` is the digest of the sealed share that comes with it.
    """

    SCHEMA = "accord.recovery-share.v1"

    board: Digest
    member: str
    epoch: int
    boot: bytes
    keyset: Digest
    size: int
    root: bytes
    sealed: Digest

    @classmethod
    def from_fields(cls, fields: Fields) -> RecoveryShare:
        """Reads and ends ``fields``."""
        fields.schema(cls.SCHEMA)
        share = cls(
            fields.digest("board"),
            fields.name("member"),
            fields.integer("epoch", minimum=1),
            fields.data("boot", size=NONCE_BYTES),
            fields.digest("keyset"),
            fields.integer("size", minimum=1),
            fields.hex("root", size=HASH_BYTES),
            fields.digest("sealed"),
        )
        fields.end()
        return share

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "member": self.member,
            "epoch": self.epoch,
            "boot": base64_encode(self.boot),
            "keyset": self.keyset,
            "size": self.size,
            "root": self.root.hex(),
            "sealed": self.sealed,
        }


@dataclass(frozen=True, slots=True)
class Recovery:
    """The entry with which a restored board goes on: by whom, from where, on whose word.

    It is signed with the new log key and with the key that only the root secret gives.
    """

    SCHEMA = "accord.recovery.v1"

    board: Digest
    epoch: int
    boot: bytes
    keyset: Keyset
    evidence: Digest
    size: int
    root: bytes
    shares: tuple[Envelope, ...]

    @classmethod
    def from_fields(cls, fields: Fields) -> Recovery:
        """Reads and ends ``fields``; neither evidence nor shares are verified here."""
        fields.schema(cls.SCHEMA)
        recovery = cls(
            fields.digest("board"),
            fields.integer("epoch", minimum=1),
            fields.data("boot", size=NONCE_BYTES),
            Keyset.from_fields(fields.object("keyset")),
            fields.digest("evidence"),
            fields.integer("size", minimum=1),
            fields.hex("root", size=HASH_BYTES),
            tuple(Envelope.from_json(v, what=w) for w, v in fields.items("shares")),
        )
        fields.end()
        return recovery

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "epoch": self.epoch,
            "boot": base64_encode(self.boot),
            "keyset": self.keyset.to_json(),
            "evidence": self.evidence,
            "size": self.size,
            "root": self.root.hex(),
            "shares": [envelope.to_json() for envelope in self.shares],
        }

    @property
    def binding(self) -> Binding:
        """What the evidence of the service that goes on must say."""
        return service_binding(self.board, self.keyset, self.boot, Purpose.LOG)

    def speaker(self, state: BoardState, envelope: Envelope) -> RecoveryShare:
        """The share statement in ``envelope``, if it is a member's and about this recovery.

        Raises ``ShareInvalidError`` and what verifying raises.
        """
        statement = verify_statement(envelope, "recovery-share", state.keys)
        share = RecoveryShare.from_fields(statement.fields())
        member = state.members.get(share.member)
        if member is None or statement.signers != {member.identity.verify_key.key_id}:
            raise ShareInvalidError(member=share.member, detail="they did not sign it")
        wanted = (self.board, self.epoch, self.boot, self.keyset.digest, self.size, self.root)
        found = (share.board, share.epoch, share.boot, share.keyset, share.size, share.root)
        if found != wanted:
            raise ShareInvalidError(
                member=share.member, detail="it is for another boot, epoch, service or log"
            )
        return share


def check_recovery(
    state: BoardState, latest: RootShares | None, recovery: Recovery, *, index: int
) -> None:
    """Whether enough members agreed to exactly this recovery.

    That ``root`` is the log's is *not* known here: every member compared it before signing.
    Raises ``RootSharesError`` and ``ShareInvalidError``.
    """
    if latest is None or recovery.epoch != latest.epoch or recovery.size != index:
        raise RootSharesError(index=index, detail="it goes on from another epoch or place")
    names = [recovery.speaker(state, envelope).member for envelope in recovery.shares]
    if len(set(names)) != len(names) or len(names) < latest.threshold:
        raise RootSharesError(index=index, detail=f"{latest.threshold} members did not agree")
    missing = recovery_missing(state, frozenset(names))
    if missing:
        raise RootSharesError(index=index, detail=f"missing: {', '.join(missing)}")
