# SPDX-License-Identifier: Apache-2.0
"""Re-executing a board's log before its tree is cosigned: a dishonest service gets no witness.

The only module of the witness that knows boards: it is imported where it is used, because what
it imports takes more memory than all the rest.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Protocol

from accord.board import ResolveFork
from accord.client import TrustSession
from accord.encoding import parse_digest
from accord.errors import (
    AccordError,
    CheckpointNotSignedError,
    GenesisError,
    ReplayRefusedError,
    ReplayUnavailableError,
)
from accord.identity import Signer, VerifyKey
from accord.ledger import LogHead
from accord.policy import AttestationVariant
from accord.release import Machine, log_origin
from accord.witness._head import Head, earlier_origin, signed_note
from accord.witness._store import WatchedLog

BUSY_S = 5.0
"""How long a request waits for another one about the same log; a first replay may take long."""

LOOK_S = 5.0
"""Between two looks for a new key of a log: anybody can cause one, with any signature at all."""

LOOK_ENTRIES = 100_000
"""So many entries are read in one look; the next one goes on behind them."""


class EntrySource(Protocol):
    """Where the entries of one board's log come from; they need not be true."""

    def entries(
        self, start: int, size: int | None, accepted: Sequence[AttestationVariant]
    ) -> Iterator[bytes]:
        """The entries from ``start`` to ``size``, or to all there are.

        ``accepted``: who else may show them, by what was replayed. Raises ``AccordError``.
        """
        ...

    def close(self) -> None:
        """Lets go of connections; it may be asked again."""
        ...


class ServiceSource:
    """The board's trust service, read with the key of the witness."""

    def __init__(self, log: WatchedLog, signer: Signer) -> None:
        self._url, self._signer, self._known = log.service, signer, log.key
        self._board = parse_digest(log.board, what="board")
        self._session: TrustSession | None = None
        self._kept = ExitStack()

    def entries(
        self, start: int, size: int | None, accepted: Sequence[AttestationVariant]
    ) -> Iterator[bytes]:
        """Attests the service first, once for each connection. Raises ``AccordError``.

        It may be of code that the founders never saw, if the members accepted it since, or if
        it holds the key under which the log was cosigned last: also after another start.
        """
        if self._session is None:
            session = TrustSession.open(
                self._url, self._board, accepted=accepted, known=self._known
            )
            self._session = self._kept.enter_context(session)
        try:
            yield from self._session.read_entries(self._signer, start=start, size=size)
        except BaseException:
            self.close()  # Kept only where it works.
            raise

    def close(self) -> None:
        """Ends the connection; the next request opens another one."""
        self._session = None
        self._kept.close()


class _BoardReplay:
    """How far one board's log was followed, and what that led to."""

    def __init__(self, log: WatchedLog, source: Callable[[WatchedLog], EntrySource]) -> None:
        self._origin, self._board = log.origin, log.board
        self._sources = source
        self._source, self._at = source(log), (log.service, log.key)
        self._look_after = 0.0
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._tree = LogHead()
        self._machine: Machine | None = None
        self._keys: list[tuple[int, tuple[VerifyKey, ...]]] = []
        """From which size on who signs: the key of the log, and at its end the one before."""

    def _keys_at(self, size: int) -> tuple[VerifyKey, ...]:
        """Who may sign the log at ``size``; as far as it is known, where it is longer."""
        place = bisect_right(self._keys, size, key=lambda item: item[0])
        return self._keys[place - 1][1] if place else ()

    def signer(self, log: WatchedLog, head: Head, note: bytes) -> VerifyKey:
        """The key that signed ``note``, if the entries say that it may at this size.

        Where those that are known do not, the service is asked for further ones, once in a
        while and whatever ``note`` claims. So a forged one costs little, and keeps no true one
        from being found out. ``head`` itself is *not* checked. Raises
        ``CheckpointNotSignedError``, ``ReplayRefusedError`` or ``ReplayUnavailableError``.
        """
        with self._alone(log):
            found = self._signer(head, note)
            if found is None and time.monotonic() >= self._look_after:
                try:
                    self._look()
                finally:
                    self._look_after = time.monotonic() + LOOK_S
                found = self._signer(head, note)
        if found is None:
            raise CheckpointNotSignedError(origin=head.origin)
        return found

    def _signer(self, head: Head, note: bytes) -> VerifyKey | None:
        for key in self._keys_at(head.size):
            with suppress(CheckpointNotSignedError):
                signed_note(note, origin=head.origin, name=head.origin, key=key)
                return key
        return None

    def _look(self) -> None:
        """Takes in what the service has by now."""
        try:
            for data in islice(self._read(None), LOOK_ENTRIES):
                self._take(data)
        except ReplayRefusedError:
            # Restored behind what was replayed, say: the next look begins anew.
            self._begin()
            raise

    def follow(self, log: WatchedLog, head: Head) -> VerifyKey:
        """The key of the log at ``head``, if all entries below are valid and its tree theirs.

        The key in ``log`` is the one that signed ``head``. Raises ``ReplayRefusedError`` or
        ``ReplayUnavailableError``.
        """
        with self._alone(log):
            try:
                self._read_up_to(head.size)
                self._check(head)
            except ReplayRefusedError:
                # What was shown may not even be the log; the next request begins anew.
                self._begin()
                raise
            keys = self._keys_at(head.size)
            if keys and log.key not in keys:
                raise self._refused("the log does not name the key that signed the checkpoint")
            return keys[0] if keys else log.key

    def resolves(self, head: Head, before: WatchedLog) -> None:
        """That the fork which ``head``'s log resolved last leaves out nothing but what it names.

        ``before`` is the log under its earlier name, as far as it was cosigned. ``head`` was
        followed. Raises ``ReplayRefusedError``.
        """
        with self._alone(before):
            # There is one: without, the log would not be called what `follow` saw.
            last = [fork for index, fork in self._resolved() if index < head.size][-1]
            abandoned = (last.abandoned.size, last.abandoned.root) == (before.size, before.root)
            if not self._holds(last.survivor.size, last.survivor.root, head.size):
                raise self._refused("it is not the log that survives by its own words")
            if not abandoned and not self._holds(before.size, before.root, head.size):
                raise self._refused("it leaves out more than what the members abandoned")

    def _resolved(self) -> Sequence[tuple[int, ResolveFork]]:
        return () if self._machine is None else self._machine.board.resolved

    def _holds(self, size: int, root: bytes, within: int) -> bool:
        return size <= within and self._tree.root(size) == root

    def _check(self, head: Head) -> None:
        """That the entries are those of ``head``, and the log is called as it has to be."""
        if self._tree.root(head.size) != head.root:
            raise self._refused("the entries shown are not those of the checkpoint")
        generation = sum(index < head.size for index, _ in self._resolved())
        if head.origin != log_origin(parse_digest(self._board, what="board"), generation):
            raise self._refused(f"after {generation} resolved forks it has another name")

    def close(self) -> None:
        self._source.close()

    @contextmanager
    def _alone(self, log: WatchedLog) -> Iterator[None]:
        if not self._lock.acquire(timeout=BUSY_S):
            raise ReplayUnavailableError(origin=self._origin, detail="it is being replayed")
        try:
            if (log.service, log.key) != self._at:
                self._source.close()
                self._source, self._at = self._sources(log), (log.service, log.key)
                self._look_after = 0.0
            yield
        finally:
            self._lock.release()

    def _read_up_to(self, size: int) -> None:
        if self._tree.size >= size:
            return
        entries = self._read(size)
        while self._tree.size < size:
            data = next(entries, None)
            if data is None:
                detail = f"it shows {self._tree.size} of {size}"
                raise ReplayUnavailableError(origin=self._origin, detail=detail)
            self._take(data)
        next(entries, None)  # Lets the source end.

    def _read(self, size: int | None) -> Iterator[bytes]:
        try:
            accepted = () if self._machine is None else self._machine.board.charter.service
            yield from self._source.entries(self._tree.size, size, accepted)
        except AccordError as exc:
            raise ReplayUnavailableError(origin=self._origin, detail=exc) from exc

    def _take(self, data: bytes) -> None:
        """Applies the next entry."""
        index = self._tree.size
        try:
            entry = self._tree.extend(data)
            if self._machine is None:
                self._machine = Machine.found(entry)
                if self._machine.board.board != self._board:
                    raise GenesisError(detail=f"it founds {self._machine.board.board}")
            else:
                self._machine.apply(entry)
        except AccordError as exc:
            raise self._refused(str(exc), index=index) from exc
        keys = self._machine.closing_keys
        if keys and keys != self._keys_at(index):
            self._keys.append((self._tree.size, keys))

    def _refused(self, detail: str, *, index: int | None = None) -> ReplayRefusedError:
        index = self._tree.size if index is None else index
        return ReplayRefusedError(origin=self._origin, index=index, detail=detail)


class Replay:
    """The examiner that follows boards; it keeps their state in memory only.

    Evidence that entries name is *not* verified again: only its digest is in the log.
    """

    def __init__(self, source: Callable[[WatchedLog], EntrySource]) -> None:
        self._source = source
        self._boards: dict[str, _BoardReplay] = {}
        self._lock = threading.Lock()

    def examine(self, log: WatchedLog, head: Head) -> VerifyKey:
        """See `_BoardReplay.follow`."""
        return self._board(log).follow(log, head)

    def signer(self, log: WatchedLog, head: Head, note: bytes) -> VerifyKey:
        """See `_BoardReplay.signer`."""
        return self._board(log).signer(log, head, note)

    def successor(
        self, logs: Sequence[WatchedLog], head: Head, note: bytes
    ) -> tuple[WatchedLog, WatchedLog] | None:
        """The log of ``head``, and that of ``logs`` which goes on in it after a resolved fork.

        ``note`` is what claims that; it must be signed by the key of the log so far, or by one
        that its entries name. Raises what `signer`, `follow` and `resolves` raise.
        """
        before = earlier_origin(head.origin)
        for log in logs:
            if log.origin == before and log.board:
                following = WatchedLog(head.origin, head.origin, log.key, log.board, log.service)
                board = self._board(following)
                try:
                    signed_note(note, origin=head.origin, name=head.origin, key=log.key)
                except CheckpointNotSignedError:
                    following = replace(following, key=board.signer(following, head, note))
                board.follow(following, head)
                board.resolves(head, log)
                return following, log
        return None

    def _board(self, log: WatchedLog) -> _BoardReplay:
        with self._lock:
            board = self._boards.get(log.origin)
            if board is None:
                board = self._boards[log.origin] = _BoardReplay(log, self._source)
            return board

    def close(self) -> None:
        """Ends the connections to all services."""
        with self._lock:
            for board in self._boards.values():
                board.close()
