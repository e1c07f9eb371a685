# SPDX-License-Identifier: Apache-2.0
"""A witness: cosigns a log's tree if it continues the one that it cosigned before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from accord.errors import (
    AccordError,
    ConsistencyError,
    LogNotWitnessedError,
    NotContinuedError,
    SplitViewError,
    WitnessedSizeError,
    WitnessRequestError,
)
from accord.identity import VerifyKey
from accord.ledger import AddCheckpoint, add_signatures, cosign, verify_consistency
from accord.witness._head import Head, signed_note
from accord.witness._keys import WitnessKey
from accord.witness._store import WatchedLog, WitnessStore


class Examiner(Protocol):
    """Looks at what a log says before a witness cosigns it."""

    def examine(self, log: WatchedLog, head: Head) -> VerifyKey:
        """The key that signs the log from ``head`` on. Raises where it must not be cosigned."""
        ...

    def successor(
        self, logs: Sequence[WatchedLog], head: Head, note: bytes
    ) -> tuple[WatchedLog, WatchedLog] | None:
        """The log of ``head``, and that of ``logs`` which rightly goes on in it, renamed."""
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


class Witness:
    """Cosigns the logs in ``store``; nothing that it said is forgotten, however it ends.

    Consistency is all that is checked, unless there is an ``examiner``: then a board's log is
    cosigned only as far as that has seen what its entries say.
    """

    def __init__(
        self,
        store: WitnessStore,
        key: WitnessKey,
        *,
        clock: Callable[[], int],
        examiner: Examiner | None = None,
    ) -> None:
        self.store, self._key, self._clock, self._examiner = store, key, clock, examiner

    @property
    def name(self) -> str:
        return self._key.name

    def close(self) -> None:
        """Closes the store, and lets the examiner go."""
        self.store.close()
        if self._examiner is not None:
            self._examiner.close()

    def add_checkpoint(self, body: bytes) -> str:
        """The cosignature line for an add-checkpoint request (c2sp.org/tlog-witness).

        What was cosigned is on the disk before this returns. Raises WIT errors, one for each
        answer that the protocol knows.
        """
        # (1) It is a request, about a log that is witnessed here.
        try:
            request = AddCheckpoint.from_bytes(body)
        except AccordError as exc:
            raise WitnessRequestError(detail=str(exc)) from exc
        head = Head.claimed(request.note)
        log = self._log(head, request.note)
        try:
            return self._cosigned(log, request, head)
        except SplitViewError:
            self._keep_contradiction(log, request.note)
            raise

    def _log(self, head: Head, note: bytes) -> WatchedLog:
        try:
            return self.store.log(head.origin)
        except LogNotWitnessedError:
            if self._examiner is None:
                raise
            found = self._examiner.successor(self.store.logs(), head, note)
            if found is None:
                raise
            return self.store.follow(*found)

    def _cosigned(self, log: WatchedLog, request: AddCheckpoint, head: Head) -> str:
        # (2) The log's key signed it, and it continues what was cosigned.
        note = _checked(log, request, head)
        # (3) Whoever has to look at what it says has done so.
        key = log.key
        if self._examiner is not None and log.board:
            key = self._examiner.examine(log, head)
        # (4) Nothing else was cosigned meanwhile; then it is written down, and only then said.
        time = self._clock()
        line = cosign(note, name=self._key.name, signer=self._key.signer, time=time)
        cosigned = add_signatures(note, [line])

        def advance(now: WatchedLog) -> WatchedLog:
            _checked(now, request, head)
            return replace(now, key=key, size=head.size, root=head.root, note=cosigned, time=time)

        self.store.change(head.origin, advance)
        return line

    def _keep_contradiction(self, log: WatchedLog, note: bytes) -> None:
        """The first one is enough, and as many as somebody sends would fill the disk."""
        alone = signed_note(note, origin=log.origin, name=log.name, key=log.key)
        if not log.other:
            self.store.change(log.origin, lambda now: replace(now, other=now.other or alone))


def _checked(log: WatchedLog, request: AddCheckpoint, head: Head) -> bytes:
    """The note with the log's signature alone, if it may be cosigned after ``log.note``.

    Raises ``CheckpointNotSignedError``, ``WitnessRequestError``, ``SplitViewError``,
    ``WitnessedSizeError`` or ``NotContinuedError``.
    """
    note = signed_note(request.note, origin=log.origin, name=log.name, key=log.key)
    if log.retired:
        # Who was set back to before the members decided must find no witness for it.
        raise NotContinuedError(origin=log.origin, old=log.size, new=head.size)
    if request.old > head.size:
        raise WitnessRequestError(detail=f"{request.old} entries before {head.size}")
    if log.note and head.size == log.size and head.root != log.root:
        # Two signed trees of one size: whatever the old size says, this is the proof.
        raise SplitViewError(origin=log.origin, size=log.size)
    if request.old != log.size:
        raise WitnessedSizeError(origin=log.origin, size=log.size, old=request.old)
    try:
        verify_consistency(
            old_size=log.size,
            old_root=log.root,
            new_size=head.size,
            new_root=head.root,
            proof=request.proof,
        )
    except ConsistencyError as exc:
        raise NotContinuedError(origin=log.origin, old=log.size, new=head.size) from exc
    return note
