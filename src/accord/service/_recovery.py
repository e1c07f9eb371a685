# SPDX-License-Identifier: Apache-2.0
"""Boards that a backup brought to this machine, until enough members let them go on here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.board import recovery_missing
from accord.client import BackupHeader, reseal_context, verify_backup
from accord.encoding import Digest, Envelope, JSONValue, base64_encode, sha256
from accord.errors import (
    AccordError,
    BackupDamagedError,
    FileAccessError,
    LogKeyNeededError,
    NoRecoveryPlanError,
    NotRecoveringError,
    SealedMessageError,
    ServiceDismissedError,
    ShareInvalidError,
    SharesMissingError,
)
from accord.evidence import Evidence, Purpose, appraise, verify
from accord.identity import open_sealed, sign_statement
from accord.ledger import Entry, Ledger
from accord.release import (
    BACKUP_KEY_PURPOSE,
    RESEALED_PURPOSE,
    Machine,
    Recovery,
    RootShares,
    service_binding,
)
from accord.service._backup import BackupReader
from accord.service._brought import bring
from accord.service._parts import Parts
from accord.service._root import ROOT_NAME, BoardRoot, rebuild
from accord.service._store import Stored

_LOG = logging.getLogger("accord.service")

SUFFIX, DONE = ".backup", ".restored"


@dataclass(slots=True, repr=False)
class _Loaded:
    """A backup whose log a member has opened."""

    ledger: Ledger
    machine: Machine
    shares: RootShares
    objects: Mapping[str, bytes]
    recovery: Recovery
    evidence: Evidence
    handed_over: Mapping[int, bytes]
    """By change of witnesses, the checkpoint that first covered it."""

    secrets_at: int
    """Where in the file its second part begins."""

    given: dict[str, tuple[Envelope, bytes]] = field(default_factory=dict)
    """By member, what they signed and the words of their share. Only ever in memory."""


@dataclass(slots=True, repr=False)
class _Restoring:
    path: Path
    header: BackupHeader
    loaded: _Loaded | None = None


class Recoveries:
    """Every backup in one folder that is no board of the store yet. One event loop.

    Nothing of such a board is served but to its recovery. What members send is bound to this
    boot: the key that they seal to is never stored, so another start knows nothing of it.
    """

    def __init__(self, parts: Parts, folder: Path | None) -> None:
        self._parts = parts
        self.boot = parts.entropy(32)
        self._key = X25519PrivateKey.generate()
        self._lock = asyncio.Lock()
        self._boards: dict[Digest, _Restoring] = {}
        if folder is None or not folder.is_dir():
            return
        known = set(parts.hosting.store.boards())
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                header = _header(path)
            except AccordError as exc:  # The other backups, and all boards, go on.
                _LOG.error("%s is not restored: %s (%s)", path.name, exc, exc.code)
                continue
            if header.board not in known:
                self._boards[header.board] = _Restoring(path, header)

    @property
    def boards(self) -> tuple[Digest, ...]:
        """What is being recovered."""
        return tuple(self._boards)

    def _restoring(self, board: Digest) -> _Restoring:
        found = self._boards.get(board)
        if found is None:
            raise NotRecoveringError(board=board)
        return found

    def _loaded(self, board: Digest) -> _Loaded:
        loaded = self._restoring(board).loaded
        if loaded is None:
            raise LogKeyNeededError(board=board)
        return loaded

    # --- what members see ------------------------------------------------------------------

    def header(self, board: Digest) -> BackupHeader:
        """Raises ``NotRecoveringError``."""
        return self._restoring(board).header

    def offer(self, board: Digest) -> Envelope:
        """The signed word of this boot: what it restores, and which key to seal to.

        Raises ``NotRecoveringError``.
        """
        item, public = self._restoring(board), self._key.public_key().public_bytes_raw()
        loaded = item.loaded
        given = {} if loaded is None else loaded.given
        document: JSONValue = {
            "schema": "accord.recovery-offer.v1",
            "board": board,
            "boot": base64_encode(self.boot),
            "recovery_key": base64_encode(public),
            "keyset": self._parts.keyset.digest,
            "header": sha256(item.header.to_bytes()),
            "open": loaded is not None,
            "given": sorted(given),
            "missing": [] if loaded is None else list(_missing(loaded)),
        }
        return self._parts.sign("recovery-offer", document)

    def log(self, board: Digest) -> tuple[Ledger, Machine, bytes]:
        """The log with its checkpoint. Raises ``NotRecoveringError`` or ``LogKeyNeededError``."""
        loaded = self._loaded(board)
        return loaded.ledger, loaded.machine, self.header(board).checkpoint

    # --- what members send -----------------------------------------------------------------

    def _unsealed(self, board: Digest, sealed: bytes, purpose: str, member: str) -> bytes:
        context = reseal_context(board, self.boot, member)
        try:
            return open_sealed(sealed, self._key, purpose=purpose, context=context)
        except SealedMessageError as exc:
            raise ShareInvalidError(member=member, detail="it is not sealed to this boot") from exc

    async def load(self, board: Digest, member: str, sealed: bytes) -> None:
        """Opens the log with the key that a member sealed to this boot; again is no error.

        Raises ``ShareInvalidError``, ``BackupDamagedError``, ``NoRecoveryPlanError``, or
        ``ServiceDismissedError`` where the charter of that log accepts no such service.
        """
        item = self._restoring(board)
        key = self._unsealed(board, sealed, BACKUP_KEY_PURPOSE, member)
        async with self._lock:
            if item.loaded is None:
                item.loaded = await self._parts.hosting.run(self._read, item, key)

    def _read(self, item: _Restoring, key: bytes) -> _Loaded:
        header, objects, entries = item.header, dict[str, bytes](), list[bytes]()
        handed_over = dict[int, bytes]()
        with _opened(item) as (file, reader):
            for part in reader.log(key):
                if part.kind == "e":
                    entries.append(part.data)
                elif part.kind == "n":
                    handed_over[int(part.name)] = part.data
                else:
                    objects[sha256(part.data)] = part.data
            secrets_at = file.tell()
            reader.skip()
        ledger, machine = _replayed(header, entries)
        if machine.root_shares is None:
            raise NoRecoveryPlanError(board=header.board)
        evidence = self._accepted(machine)
        recovery = Recovery(
            header.board,
            machine.root_shares.epoch,
            self.boot,
            self._parts.keyset,
            evidence.digest,
            header.size,
            header.root,
            (),
        )
        return _Loaded(
            ledger,
            machine,
            machine.root_shares,
            objects,
            recovery,
            evidence,
            handed_over,
            secrets_at,
        )

    def _accepted(self, machine: Machine) -> Evidence:
        """Our evidence, if the charter in force in that log names such a service.

        Raises ``ServiceDismissedError``.
        """
        parts, board = self._parts, machine.board
        binding = service_binding(board.board, parts.keyset, self.boot, Purpose.LOG)
        evidence = parts.attester.collect(binding.report_data())
        now = parts.hosting.clock()
        try:
            claims = verify(evidence, anchors=board.genesis.anchors, now=now, binding=binding)
            appraise(claims, board.charter.service, now=now)
        except AccordError as exc:
            raise ServiceDismissedError(board=board.board) from exc
        return evidence

    async def share(self, board: Digest, envelope: Envelope, sealed: bytes) -> None:
        """Takes a member's share; the same member again replaces the earlier one.

        Raises ``ShareInvalidError``, which names who sent it, and what verifying raises.
        """
        loaded = self._loaded(board)
        spoken = loaded.recovery.speaker(loaded.machine.board, envelope)
        name, expected = spoken.member, loaded.shares.shares.get(spoken.member)
        if sha256(sealed) != spoken.sealed:
            raise ShareInvalidError(member=name, detail="they signed for another one")
        words = self._unsealed(board, sealed, RESEALED_PURPOSE, name)
        if expected is None or sha256(words) != expected.digest:
            raise ShareInvalidError(member=name, detail="it is not the one that they hold")
        loaded.given[name] = (envelope, words)

    # --- going on --------------------------------------------------------------------------

    async def open(self, board: Digest) -> None:
        """Puts the board into the store, whole, as soon as enough members agreed.

        Raises ``SharesMissingError``, ``BackupDamagedError`` and what the store raises.
        """
        async with self._lock:
            item, loaded = self._restoring(board), self._loaded(board)
            missing = _missing(loaded)
            if missing:
                raise SharesMissingError(missing=", ".join(missing))
            await self._parts.hosting.run(self._take_over, item, loaded)
            item.path.replace(item.path.with_suffix(DONE))
            del self._boards[board]

    def _take_over(self, item: _Restoring, loaded: _Loaded) -> None:
        root = rebuild(loaded.shares, (words for _, words in loaded.given.values()))
        secrets = {**_secrets(item, loaded.secrets_at, root), ROOT_NAME: root.to_bytes()}
        entry = self._recovered(loaded, root)
        objects = {**loaded.objects, loaded.evidence.digest: loaded.evidence.to_bytes()}
        batch = [*map(Stored, loaded.ledger.entries()), Stored(entry, objects, secrets)]
        # There is never a board here that could go on without its members.
        bring(self._parts.hosting, item.header, loaded.machine, batch, notes=loaded.handed_over)

    def _recovered(self, loaded: _Loaded, root: BoardRoot) -> bytes:
        """The entry that says who agreed, checked as every reader of the log will check it."""
        recovery = loaded.recovery
        body = Recovery(
            *(recovery.board, recovery.epoch, recovery.boot, recovery.keyset),
            *(recovery.evidence, recovery.size, recovery.root),
            tuple(envelope for envelope, _ in loaded.given.values()),
        )
        signers = [root.recovery_signer, self._parts.keys.signer]
        envelope = sign_statement("recovery", body.to_json(), signers)
        ledger = loaded.ledger
        now = self._parts.hosting.clock().replace(microsecond=0)
        entry = Entry(ledger.size, max(now, ledger.last_time or now), envelope)
        data = ledger.encode_next(entry)
        Machine.replay([*ledger.entries(), data])
        return data


def _header(path: Path) -> BackupHeader:
    """Raises ``BackupDamagedError`` or ``FileAccessError``."""
    try:
        with path.open("rb") as file:
            return BackupReader(file).header
    except OSError as exc:
        raise FileAccessError(action="read", path=path, detail=exc.strerror) from exc


@contextmanager
def _opened(item: _Restoring) -> Iterator[tuple[BinaryIO, BackupReader]]:
    """The file, if it still is the one that members were shown.

    Raises ``BackupDamagedError`` or ``FileAccessError``.
    """
    try:
        file = item.path.open("rb")
    except OSError as exc:
        raise FileAccessError(action="read", path=item.path, detail=exc.strerror) from exc
    with file:
        reader = BackupReader(file)
        if reader.header != item.header:
            raise BackupDamagedError(detail="it was exchanged since it was shown")
        yield file, reader


def _replayed(header: BackupHeader, entries: list[bytes]) -> tuple[Ledger, Machine]:
    """The log of a backup, if it is what its header, its checkpoint and its witnesses say.

    Raises ``BackupDamagedError``.
    """
    try:
        ledger, machine = Machine.replay(entries)
        verify_backup(header, ledger, machine)
    except BackupDamagedError:
        raise
    except AccordError as exc:
        raise BackupDamagedError(detail=exc) from exc
    return ledger, machine


def _missing(loaded: _Loaded) -> tuple[str, ...]:
    """What keeps the board closed, in words."""
    given = frozenset(loaded.given)
    lacking = loaded.shares.threshold - len(given)
    count = (f"{lacking} of {loaded.shares.threshold} shares",) if lacking > 0 else ()
    return (*count, *recovery_missing(loaded.machine.board, given))


def _secrets(item: _Restoring, start: int, root: BoardRoot) -> dict[str, bytes]:
    """What the second part of a backup holds. Raises ``BackupDamagedError``."""
    key = root.derive("backup", salt=item.header.backup)
    with _opened(item) as (file, reader):
        file.seek(start)
        return {secret.name: secret.data for secret in reader.secrets(key)}
