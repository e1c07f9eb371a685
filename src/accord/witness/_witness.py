# SPDX-License-Identifier: Apache-2.0
"""A witness: cosigns a log's tree if it continues the one that it cosigned before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from accord.errors import (
    AccordError,
    CheckpointNotSignedError,
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

    def signer(self, log: WatchedLog, head: Head, note: bytes) -> VerifyKey:
        """The key that signed ``note``, if the log's entries say that it may.

        Asked where the known key of ``log`` did not sign it. Raises where there is none.
        """
        ...

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
        # (2) The log's key signed it.
        key, note = self._signed(log, head, request.note)
        try:
            return self._cosigned(replace(log, key=key), log.key, request, head, note)
        except SplitViewError:
            # The first one is enough, and as many as somebody sends would fill the disk.
            self.store.change(log.origin, lambda now: replace(now, other=now.other or note))
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

    def _signed(self, log: WatchedLog, head: Head, note: bytes) -> tuple[VerifyKey, bytes]:
        """Who signed ``note``, and ``note`` with that signature alone.

        Raises ``CheckpointNotSignedError``, and what the examiner raises.
        """
        try:
            return log.key, signed_note(note, origin=log.origin, name=log.name, key=log.key)
        except CheckpointNotSignedError:
            # Before its first cosignature the key is what its owner pinned, and nothing else.
            if self._examiner is None or not log.board or log.retired or not log.size:
                raise
        key = self._examiner.signer(log, head, note)
        return key, signed_note(note, origin=log.origin, name=log.name, key=key)

    def _cosigned(
        self, log: WatchedLog, known: VerifyKey, request: AddCheckpoint, head: Head, note: bytes
    ) -> str:
        """``log`` has the key that signed ``note``; ``known`` is the one that was stored."""
        # (3) It continues what was cosigned.
        _check_continued(log, request, head)
        # (4) Whoever has to look at what it says has done so.
        key = log.key
        if self._examiner is not None and log.board:
            key = self._examiner.examine(log, head)
        # (5) Nothing else was cosigned meanwhile; then it is written down, and only then said.
        time = self._clock()
        line = cosign(note, name=self._key.name, signer=self._key.signer, time=time)
        cosigned = add_signatures(note, [line])

        def advance(now: WatchedLog) -> WatchedLog:
            if now.key not in (known, key):
                raise CheckpointNotSignedError(origin=head.origin)
            _check_continued(now, request, head)
            return replace(now, key=key, size=head.size, root=head.root, note=cosigned, time=time)

        self.store.change(head.origin, advance)
        return line


def _check_continued(log: WatchedLog, request: AddCheckpoint, head: Head) -> None:
    """Whether a note of ``head`` may be cosigned after ``log.note``.

    Raises ``WitnessRequestError``, ``SplitViewError``, ``WitnessedSizeError`` or
    ``NotContinuedError``.
    """
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
