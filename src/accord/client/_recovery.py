# SPDX-License-Identifier: Apache-2.0
"""Bringing a board back on another machine: what a member looks at, and then gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from accord.client._backup import BackupHeader, backup_key_context, reseal_context, verify_backup
from accord.client._connection import Connection
from accord.client._home import MemberHome
from accord.client._log import LogPages
from accord.client._session import TrustSession
from accord.encoding import Digest, Envelope, Fields, JSONValue, base64_encode, sha256
from accord.errors import (
    AppraisalError,
    BackupDamagedError,
    BootChangedError,
    LogSizeError,
    NoRecoveryPlanError,
    RecoveryBehindError,
    ReplyError,
    ServiceDismissedError,
    ShareInvalidError,
)
from accord.evidence import appraise
from accord.identity import FileIdentity, SealKey, open_sealed, seal, sign_statement
from accord.ledger import Ledger
from accord.release import (
    BACKUP_KEY_PURPOSE,
    NONCE_BYTES,
    RESEALED_PURPOSE,
    SHARE_PURPOSE,
    Machine,
    RecoveryShare,
    RootShares,
    share_context,
)


@dataclass(frozen=True, slots=True)
class RecoveryOffer:
    """What one boot of an attested service says that it restores."""

    boot: bytes
    key: SealKey
    """What members seal to; it is never stored."""

    opened: bool
    """Whether its log was opened by a member."""

    given: tuple[str, ...]
    missing: tuple[str, ...]
    header: BackupHeader


@dataclass(frozen=True, slots=True)
class SeenRecovery:
    """An offer whose log was read, replayed and found to continue what the home had seen."""

    offer: RecoveryOffer
    ledger: Ledger
    machine: Machine


def recovery_offer(session: TrustSession) -> RecoveryOffer:
    """What the attested service restores. Raises ``NotRecoveringError`` or ``ReplyError``."""
    return _offer(session, session.ask("GET", "recovery"))


def _offer(session: TrustSession, reply: Fields) -> RecoveryOffer:
    envelope = Envelope.from_json(reply.take("offer"), what="recovery offer")
    shown = reply.data("header")
    reply.end()
    fields = session.said_by_service("recovery-offer", envelope).fields()
    fields.schema("accord.recovery-offer.v1")
    board, keyset, digest = fields.digest("board"), fields.digest("keyset"), fields.digest("header")
    offer = RecoveryOffer(
        fields.data("boot", size=NONCE_BYTES),
        SealKey(fields.data("recovery_key", size=32)),
        fields.flag("open"),
        tuple(fields.unique_names("given")),
        tuple(str(value) for _, value in fields.items("missing")),
        BackupHeader.from_bytes(shown),
    )
    fields.end()
    named = (session.board, session.keyset.digest, sha256(shown), session.board)
    if (board, keyset, digest, offer.header.board) != named:
        raise ReplyError(detail="the recovery of another board, service or backup")
    return offer


def see_recovery(home: MemberHome, session: TrustSession) -> SeenRecovery:
    """Opens the log for everybody, if nobody did, and reads all of it here.

    The key of the log is given to the attested service: it may read what members may, unless
    this home knows that they dismissed it. Raises ``RecoveryBehindError`` where the home has
    seen more, ``ConsistencyError`` where it has seen another log, ``ServiceDismissedError``,
    and what replaying raises.
    """
    offer = recovery_offer(session)
    if not offer.opened:
        _require_remembered(home, session)
        offer = _offer(session, session.ask("POST", "recovery/key", _log_key(home, offer)))
    ledger, machine = _replayed(home, session, offer.header)
    session.require_accepted(machine)
    try:
        home.require_continued(ledger, machine)
    except LogSizeError as exc:
        raise RecoveryBehindError(size=ledger.size, seen=exc.details["covered"]) from exc
    return SeenRecovery(offer, ledger, machine)


def _require_remembered(home: MemberHome, session: TrustSession) -> None:
    """That the charter which the home saw last accepts the service, which can still read nothing.

    The session was made by the founders' conditions, too. Raises ``ServiceDismissedError``.
    """
    if not home.accepted:
        return
    try:
        appraise(session.result.claims, home.accepted, now=datetime.now(UTC))
    except AppraisalError as exc:
        raise ServiceDismissedError(board=session.board) from exc


def _log_key(home: MemberHome, offer: RecoveryOffer) -> JSONValue:
    """The key of the log, sealed to this boot. Raises ``BackupDamagedError``."""
    identity, header = home.identity, offer.header
    holder = identity.signer.key_id
    if holder not in header.keys:
        raise BackupDamagedError(detail=f"it was not made for {home.name}")
    key = open_sealed(
        header.keys[holder],
        identity.seal_private_key,
        purpose=BACKUP_KEY_PURPOSE,
        context=backup_key_context(header.board, header.backup, holder),
    )
    context = reseal_context(header.board, offer.boot, home.name)
    sealed = seal(key, offer.key, purpose=BACKUP_KEY_PURPOSE, context=context)
    return {"member": home.name, "sealed": base64_encode(sealed)}


def _replayed(
    home: MemberHome, session: TrustSession, header: BackupHeader
) -> tuple[Ledger, Machine]:
    pages = LogPages(lambda query: session.read("recovery/log", home.identity.signer, query))
    ledger, machine = Machine.replay(pages)
    if pages.checkpoint != header.checkpoint:
        raise BackupDamagedError(detail="it holds another log")
    verify_backup(header, ledger, machine)
    return ledger, machine


def own_share(identity: FileIdentity, shares: RootShares) -> bytes:
    """The words of the member's share, if it is the one that the log speaks of.

    That it fits the others is *not* known: only the trust service ever has as many as needed.
    Raises ``ShareInvalidError`` and ``SealedMessageError``.
    """
    name = identity.public.name
    share = shares.shares.get(name)
    if share is None:
        raise ShareInvalidError(member=name, detail="the log holds none for them")
    words = open_sealed(
        share.sealed,
        identity.seal_private_key,
        purpose=SHARE_PURPOSE,
        context=share_context(shares.board, shares.epoch, name),
    )
    if sha256(words) != share.digest:
        raise ShareInvalidError(member=name, detail="it is not what the log says")
    return words


def give_share(
    home: MemberHome, session: TrustSession, seen: SeenRecovery, *, boot: bytes | None = None
) -> RecoveryOffer:
    """Signs that the board may go on from what was seen, and seals the share to this boot.

    ``boot`` is the one that the member looked at. Raises ``BootChangedError``,
    ``NoRecoveryPlanError``, ``ShareInvalidError``.
    """
    offer, shares = seen.offer, seen.machine.root_shares
    if boot is not None and boot != offer.boot:
        raise BootChangedError(found=offer.boot.hex()[:16], expected=boot.hex()[:16])
    if shares is None:
        raise NoRecoveryPlanError(board=session.board)
    sealed = seal(
        own_share(home.identity, shares),
        offer.key,
        purpose=RESEALED_PURPOSE,
        context=reseal_context(session.board, offer.boot, home.name),
    )
    statement = RecoveryShare(
        session.board,
        home.name,
        shares.epoch,
        offer.boot,
        session.keyset.digest,
        seen.ledger.size,
        seen.ledger.root(),
        sha256(sealed),
    )
    envelope = sign_statement("recovery-share", statement.to_json(), [home.identity.signer])
    document: JSONValue = {"envelope": envelope.to_json(), "sealed": base64_encode(sealed)}
    return _offer(session, session.ask("POST", "recovery/shares", document))


def open_board(session: TrustSession) -> None:
    """Lets the board go on, once enough members agreed. Raises ``SharesMissingError``."""
    session.ask("POST", "recovery/open", {}).digest("board")


def download_backup(url: str, board: Digest) -> Iterator[bytes]:
    """A backup of a board from a service on this machine; whose it is, is *not* checked.

    Raises ``UnreachableError`` and what the service reports.
    """
    connection = Connection(url)
    try:
        yield from connection.download(f"/v1/boards/{board.removeprefix('sha256:')}/backup")
    finally:
        connection.close()
