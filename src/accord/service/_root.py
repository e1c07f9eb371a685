# SPDX-License-Identifier: Apache-2.0
"""The board's root secret: made inside the TEE, split among the members, rebuilt from shares."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from shamir_mnemonic import MnemonicError, combine_mnemonics, generate_mnemonics

from accord.board import BoardState
from accord.encoding import Digest, Fields, JSONValue, base64_encode, canonical_json, parse_json
from accord.encoding import sha256 as digest_of
from accord.errors import MalformedError, ShareInvalidError
from accord.identity import KeySigner, seal
from accord.release import SHARE_PURPOSE, RootShare, RootShares, share_context
from accord.service._host import BoardHost
from accord.service._parts import Parts

ROOT_NAME = "board-root"
"""Under which name the store keeps the root secret in force."""

ROOT_BYTES = 32
_SCHEMA = "accord.board-root.v1"

_LOG = logging.getLogger("accord.service")

_ITERATIONS = 0
"""SLIP-0039's exponent: it slows down guessing a passphrase, and there is none."""


@dataclass(frozen=True, slots=True, repr=False)
class BoardRoot:
    """One epoch's root secret of one board, with everything that is derived from it."""

    board: Digest
    epoch: int
    secret: bytes

    @classmethod
    def create(cls, board: Digest, epoch: int) -> BoardRoot:
        return cls(board, epoch, secrets.token_bytes(ROOT_BYTES))

    def to_bytes(self) -> bytes:
        """How the store keeps it."""
        return canonical_json(
            {"schema": _SCHEMA, "epoch": self.epoch, "secret": base64_encode(self.secret)}
        )

    @classmethod
    def from_bytes(cls, board: Digest, data: bytes) -> BoardRoot:
        """Raises ``MalformedError``."""
        fields = Fields(parse_json(data, what=ROOT_NAME), ROOT_NAME)
        fields.schema(_SCHEMA)
        root = cls(
            board, fields.integer("epoch", minimum=1), fields.data("secret", size=ROOT_BYTES)
        )
        fields.end()
        return root

    def derive(self, purpose: str, *, salt: bytes = b"") -> bytes:
        """A key of 32 bytes for one purpose (RFC 5869)."""
        info: JSONValue = {"board": self.board, "epoch": self.epoch, "purpose": purpose}
        return HKDF(SHA256(), ROOT_BYTES, salt, canonical_json(info)).derive(self.secret)

    @property
    def recovery_signer(self) -> KeySigner:
        """Signs that a restored board goes on; without the root secret nobody can."""
        return KeySigner(Ed25519PrivateKey.from_private_bytes(self.derive("recovery-key")))

    def split(self, state: BoardState) -> RootShares:
        """A share for every member, sealed to them, as the charter in force asks for.

        Raises ``RuntimeError`` where the charter asks for none.
        """
        plan = state.charter.recovery
        if plan is None:
            message = "the charter has no plan for a recovery"
            raise RuntimeError(message)
        members = sorted(state.members)
        [words] = generate_mnemonics(
            1, [(plan.threshold, len(members))], self.secret, iteration_exponent=_ITERATIONS
        )
        shares = {}
        for name, mnemonic in zip(members, words, strict=True):
            share, key = mnemonic.encode(), state.members[name].identity.seal_key
            context = share_context(self.board, self.epoch, name)
            sealed = seal(share, key, purpose=SHARE_PURPOSE, context=context)
            shares[name] = RootShare(key, sealed, digest_of(share))
        return RootShares(
            self.board,
            self.epoch,
            plan.epoch,
            plan.threshold,
            self.recovery_signer.verify_key,
            MappingProxyType(shares),
        )


def rebuild(shares: RootShares, words: Iterable[bytes]) -> BoardRoot:
    """The root secret of ``shares``, of which each share's digest was compared before.

    Raises ``ShareInvalidError`` where they do not give the secret that the log speaks of.
    """
    given = sorted(words)[: shares.threshold]
    try:
        secret = combine_mnemonics(item.decode("ascii") for item in given)
    except (MnemonicError, UnicodeDecodeError) as exc:
        raise ShareInvalidError(member="somebody", detail="they do not fit together") from exc
    root = BoardRoot(shares.board, shares.epoch, secret)
    if len(secret) != ROOT_BYTES or root.recovery_signer.verify_key != shares.recovery_key:
        raise ShareInvalidError(member="somebody", detail="they give another secret")
    return root


def split_if_due(parts: Parts, host: BoardHost) -> None:
    """Stages new shares of a new root secret where the charter, or who is a member, changed.

    A member who left holds a share of an older secret, which opens no later backup.
    """
    machine, state = host.machine, host.machine.board
    latest = machine.root_shares
    if state.charter.recovery is None or (latest is not None and latest.fits(state)):
        return
    root = BoardRoot.create(host.board, 1 if latest is None else latest.epoch + 1)
    try:
        body = root.split(state).to_json()
    except MalformedError as exc:  # Somebody's key is none: everything else goes on.
        _LOG.error("board %s has no new shares: %s", host.board, exc.code)
        return
    host.stage(parts.sign("root-shares", body), secrets={ROOT_NAME: root.to_bytes()})
