# SPDX-License-Identifier: Apache-2.0
"""What a member keeps in their own folder: the board they signed, and how far its log had come."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accord.board import Genesis
from accord.client._session import TrustSession
from accord.encoding import Fields, JSONValue, base64_encode, canonical_json, parse_json
from accord.errors import NoBoardError
from accord.identity import PRIVATE, FileIdentity, write_whole
from accord.ledger import Ledger, verify_checkpoint
from accord.policy import AttestationVariant
from accord.release import LOG_NAME, Machine, log_origin

_SCHEMA = "accord.board-context.v1"
_FILE = "board.json"
_CHECKPOINT = "board.checkpoint"
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
        said to it. Raises LED errors, or ``ServiceDismissedError``.
        """
        with self._alone():
            ledger, machine, note = session.read_log(self.identity.signer)
            path = self.identity.home / _CHECKPOINT
            if path.exists():
                seen = verify_checkpoint(
                    path.read_bytes(),
                    origin=log_origin(session.board),
                    name=LOG_NAME,
                    key=session.keyset.verify_key,
                )
                ledger.verify_extends(seen)
            # Kept also where the service is refused next: it can never again show an older log.
            write_whole(path, note)
            _remember(self.identity.home, machine)
        session.require_accepted(machine)
        return ledger, machine, note

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
