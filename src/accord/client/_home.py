# SPDX-License-Identifier: Apache-2.0
"""What a member keeps in their own folder: the board they signed, and how far its log had come."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from accord.board import Genesis, witness_changes
from accord.client._cosigned import Cosigned, origin_of, verify_cosigned
from accord.client._fork import Resolution, find_resolution
from accord.client._session import TrustSession
from accord.encoding import Digest, Fields, JSONValue, base64_encode, canonical_json, parse_json
from accord.errors import (
    NoBoardError,
    NotConfirmedError,
    NotCosignedError,
    SignatureInvalidError,
)
from accord.identity import PRIVATE, FileIdentity, write_whole
from accord.ledger import Checkpoint, Ledger, verify_checkpoint
from accord.policy import AttestationVariant
from accord.release import Machine

_SCHEMA = "accord.board-context.v1"
_FILE = "board.json"
_CHECKPOINT = "board.checkpoint"
_COSIGNED = "board.cosigned"
_ACCEPTED_SCHEMA = "accord.board-service.v1"
_ACCEPTED = "board.service.json"
_LOCK = ".board.lock"


@dataclass(frozen=True)
class MemberHome:
    """A member's identity together with the board that they trust."""

    identity: FileIdentity
    genesis: Genesis
    service: str
    """URL of the trust service."""

    accepted: tuple[AttestationVariant, ...] = ()
    """Which services the charter accepted when the log was last read."""

    @property
    def name(self) -> str:
        return self.identity.public.name

    @classmethod
    def load(cls, home: Path, *, service: str | None = None) -> MemberHome:
        """Raises ``IdentityNotFoundError``, ``NoBoardError`` or what reading raises."""
        identity = FileIdentity.load(home)
        path = home / _FILE
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise NoBoardError(home=home) from exc
        fields = Fields(parse_json(data, what=str(path)), str(path))
        fields.schema(_SCHEMA)
        url = fields.text("service")
        genesis = Genesis.from_bytes(fields.data("genesis"))
        fields.end()
        return cls(identity, genesis, service or url, _remembered(home, genesis))

    @staticmethod
    def join(home: Path, genesis: Genesis, service: str) -> None:
        """Remembers the board that the identity in ``home`` has agreed to.

        Raises ``NoBoardError`` where the home belongs to another board.
        """
        path = home / _FILE
        if path.exists():
            found = MemberHome.load(home).genesis.digest
            if found != genesis.digest:
                raise NoBoardError(home=f"{home} (it belongs to {found})")
        document = {
            "schema": _SCHEMA,
            "service": service,
            "genesis": base64_encode(genesis.to_bytes()),
        }
        write_whole(path, canonical_json(document))

    def connect(self) -> TrustSession:
        """A session with the attested trust service."""
        return TrustSession.attest(self.service, self.genesis, accepted=self.accepted)

    def read(self, session: TrustSession) -> tuple[Ledger, Machine, bytes]:
        """The log, which must continue the one that this member saw last.

        A service that was rolled back, or that shows each member another log, is noticed here
        by everybody who saw more. So is one that the members replaced, before anything else is
        said to it. Raises LED errors, ``ServiceDismissedError`` or ``BoardMovedError``.
        """
        with self._alone():
            # Fetched first: the log that follows covers it.
            cosigned = session.cosigned_note() if self._witnessed else None
            ledger, machine, note = session.read_log(self.identity.signer)
            self.require_continued(ledger, machine)
            # Kept also where the service is refused next: it can never again show an older log.
            write_whole(self.identity.home / _CHECKPOINT, note)
            _remember(self.identity.home, machine)
            self._keep_cosigned(session, cosigned, ledger, machine)
        session.require_accepted(machine)
        session.require_here(machine)
        return ledger, machine, note

    @property
    def _witnessed(self) -> bool:
        kept = self.identity.home / _COSIGNED
        return self.genesis.witnesses is not None or kept.exists()

    def cosigned(self, ledger: Ledger, machine: Machine) -> Cosigned | None:
        """How far a quorum of witnesses has seen the log that was read, by the newest note kept.

        ``None`` where the board has no witnesses, or no quorum has seen anything yet. Raises
        what `verify_cosigned` raises.
        """
        if machine.board.charter.witnesses is None:
            return None
        try:
            note = (self.identity.home / _COSIGNED).read_bytes()
        except OSError:
            return None
        return self._verified(note, ledger, machine, since=None)

    def _keep_cosigned(
        self, session: TrustSession, note: bytes | None, ledger: Ledger, machine: Machine
    ) -> None:
        """Keeps the newest cosigned checkpoint, which must not be of less than the one before."""
        if machine.board.charter.witnesses is None:
            return
        before = self.cosigned(ledger, machine)
        if note is None:
            # Seen the first time, or gone: then there must have been none before.
            if before is not None:
                raise NotCosignedError(index=before.size - 1, reached=0, quorum=0)
            write_whole(self.identity.home / _COSIGNED, b"")
            return
        since = before.size if before is not None else None
        if since is not None:
            since = self._followed(session, ledger, machine, since)
        found = self._verified(note, ledger, machine, since=since)
        if found is not None and (before is None or found.size >= before.size):
            write_whole(self.identity.home / _COSIGNED, note)

    def _followed(self, session: TrustSession, ledger: Ledger, machine: Machine, since: int) -> int:
        """How far the witnesses since ``since`` have handed over to one another.

        Those that were replaced sign the change, and nothing later: each change has its own
        checkpoint. Raises what `verify_cosigned` raises.
        """
        for change in witness_changes(machine.board.witnessed, since=since, size=ledger.size):
            note = session.cosigned_note(change)
            found = self._verified(note or b"", ledger, machine, since=since)
            if found is None:  # No quorum has seen it yet.
                break
            since = max(since, found.size)
        return since

    @staticmethod
    def _verified(
        note: bytes, ledger: Ledger, machine: Machine, *, since: int | None
    ) -> Cosigned | None:
        if not note:
            return None
        for key in machine.log_keys[:-1]:
            with suppress(SignatureInvalidError):
                return verify_cosigned(note, ledger=ledger, machine=machine, key=key, since=since)
        last = machine.log_keys[-1]
        return verify_cosigned(note, ledger=ledger, machine=machine, key=last, since=since)

    def require_continued(self, ledger: Ledger, machine: Machine) -> None:
        """That ``ledger`` continues the log that this member saw last, if they saw any.

        Its checkpoint may be by a key that the log had before a recovery. Raises
        ``LogSizeError``, ``ConsistencyError``, or ``SignatureInvalidError`` for another key.
        """
        seen = self._seen(_CHECKPOINT, machine)
        if seen is not None:
            ledger.verify_extends(seen)

    def _seen(self, name: str, machine: Machine) -> Checkpoint | None:
        """A checkpoint that this home keeps. Raises ``SignatureInvalidError``."""
        path = self.identity.home / name
        note = path.read_bytes() if path.exists() else b""
        if not note:
            return None
        origin = origin_of(note, machine)
        for key in machine.log_keys[:-1]:
            with suppress(SignatureInvalidError):
                return verify_checkpoint(note, origin=origin, name=origin, key=key)
        return verify_checkpoint(note, origin=origin, name=origin, key=machine.log_keys[-1])

    def follow_fork(
        self, session: TrustSession, *, abandoned: Ledger | None = None, vote: Digest | None = None
    ) -> Resolution:
        """The vote that abandoned what this home had seen; with its digest the home follows it.

        ``abandoned`` is the other history, where somebody still shows it. On a witnessed board a
        quorum must have seen the vote. What was kept of the other history stays in the home.

        Raises what `find_resolution` and `read` raise, or ``NotConfirmedError``.
        """
        with self._alone():
            cosigned = session.cosigned_note() if self._witnessed else None
            ledger, machine, note = session.read_log(self.identity.signer)
            session.require_accepted(machine)
            kept = (self._seen(_CHECKPOINT, machine), self._seen(_COSIGNED, machine))
            seen = tuple(item for item in kept if item is not None)
            found = find_resolution(ledger, machine, seen=seen, abandoned=abandoned)
            policy = machine.board.charter.witnesses
            if policy is not None:
                known = self._verified(cosigned or b"", ledger, machine, since=None)
                if known is None or known.size <= found.index:
                    raise NotCosignedError(index=found.index, reached=0, quorum=policy.quorum)
            if vote is None:
                return found
            if vote != found.record.id:
                raise NotConfirmedError(what="the vote")
            self._abandon(_CHECKPOINT, note)
            self._abandon(_COSIGNED, cosigned or b"")
            _remember(self.identity.home, machine)
            return found

    def _abandon(self, name: str, note: bytes) -> None:
        """Puts ``note`` in the place of one of the abandoned history, which is evidence."""
        path = self.identity.home / name
        if path.exists():
            write_whole(path.with_name(f"{name}.abandoned"), path.read_bytes())
            write_whole(path, note)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command of a home reads at a time: the checkpoint that is kept never goes back."""
        lock = os.open(self.identity.home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _remember(home: Path, machine: Machine) -> None:
    """The conditions of the charter in force, so that a service that came later is known."""
    document: JSONValue = {
        "schema": _ACCEPTED_SCHEMA,
        "board": machine.board.board,
        "service": [variant.to_json() for variant in machine.board.charter.service],
    }
    write_whole(home / _ACCEPTED, canonical_json(document))


def _remembered(home: Path, genesis: Genesis) -> tuple[AttestationVariant, ...]:
    path = home / _ACCEPTED
    try:
        data = path.read_bytes()
    except OSError:
        return ()  # The log was never read: the founders' conditions are all there is.
    fields = Fields(parse_json(data, what=str(path)), str(path))
    fields.schema(_ACCEPTED_SCHEMA)
    board = fields.digest("board")
    variants = tuple(map(AttestationVariant.from_fields, fields.objects("service")))
    fields.end()
    return variants if board == genesis.digest else ()
