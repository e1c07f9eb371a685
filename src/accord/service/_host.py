# SPDX-License-Identifier: Apache-2.0
"""One board as the trust service holds it: durable log, state machine, in step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from accord.board import Enactment, ProposalStatus
from accord.encoding import Digest, Envelope
from accord.errors import AccordError, ServiceHaltedError, StoreIntegrityError
from accord.identity import KeySigner, sign_statement
from accord.ledger import Entry, Ledger, sign_checkpoint
from accord.release import LOG_NAME, Machine, log_origin
from accord.service._store import Store


class BoardHost:
    """The only way to change a board: an entry is checked, made durable, and then known."""

    def __init__(
        self,
        ledger: Ledger,
        machine: Machine,
        *,
        store: Store,
        clock: Callable[[], datetime],
        signer: KeySigner,
    ) -> None:
        self.ledger, self.machine = ledger, machine
        self._store, self._clock, self._signer = store, clock, signer
        self._halted = ""

    @property
    def board(self) -> Digest:
        return self.machine.board.board

    @classmethod
    def found(
        cls,
        envelope: Envelope,
        *,
        store: Store,
        clock: Callable[[], datetime],
        signer: KeySigner,
    ) -> BoardHost:
        """A new board from its signed genesis, made durable. Raises what verifying raises."""
        ledger = Ledger()
        entry = Entry(0, clock().replace(microsecond=0), envelope)
        machine = Machine.found(entry)
        data = ledger.encode_next(entry)
        store.append(machine.board.board, 0, data, objects={}, secrets={})
        ledger.append(entry)
        return cls(ledger, machine, store=store, clock=clock, signer=signer)

    @classmethod
    def load(
        cls,
        board: Digest,
        *,
        store: Store,
        clock: Callable[[], datetime],
        signer: KeySigner,
    ) -> BoardHost:
        """The board as its stored log says, every entry verified again.

        Raises ``StoreIntegrityError`` where an entry does not hold.
        """
        try:
            ledger, machine = Machine.replay(store.entries(board))
        except StoreIntegrityError:
            raise
        except AccordError as exc:
            raise StoreIntegrityError(path=f"of board {board}", detail=exc) from exc
        host = cls(ledger, machine, store=store, clock=clock, signer=signer)
        if host.board != board:
            raise StoreIntegrityError(
                path=f"of board {board}", detail=f"it holds the log of {host.board}"
            )
        return host

    def now(self) -> datetime:
        """Whole seconds, never before the last entry: the log's time does not go back."""
        now = self._clock().replace(microsecond=0)
        return max(now, self.ledger.last_time or now)

    def append(
        self,
        envelope: Envelope,
        *,
        objects: Mapping[str, bytes] | None = None,
        secrets: Mapping[str, bytes] | None = None,
    ) -> int:
        """Checks a statement against the state, makes it durable, and returns its index.

        Raises whatever makes the statement unacceptable; then nothing has changed. Where the
        disk fails after the check, this board halts: what is in memory is no longer what a
        restart would find.
        """
        if self._halted:
            raise ServiceHaltedError(detail=self._halted)
        entry = Entry(self.ledger.size, self.now(), envelope)
        data = self.ledger.encode_next(entry)
        self.machine.apply(entry)
        try:
            self._store.append(
                self.board, entry.index, data, objects=objects or {}, secrets=secrets or {}
            )
        except BaseException as exc:
            self._halted = "its storage failed"
            raise ServiceHaltedError(detail=self._halted) from exc
        self.ledger.append(entry)
        return entry.index

    def enact_what_is_approved(self) -> None:
        """Enacts every open proposal that has all its approvals."""
        state = self.machine.board
        for record in list(state.proposals.values()):
            is_open = state.status(record, self.now()) is ProposalStatus.OPEN
            if is_open and not state.missing(record):
                body = Enactment(self.board, record.id).to_json()
                self.append(sign_statement("enactment", body, [self._signer]))

    def checkpoint(self) -> bytes:
        """A signed note over the log as it stands."""
        checkpoint = self.ledger.checkpoint(log_origin(self.board))
        return sign_checkpoint(checkpoint, name=LOG_NAME, signer=self._signer)
