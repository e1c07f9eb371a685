# SPDX-License-Identifier: Apache-2.0
"""Group commit: whoever arrives while the disk is busy shares the next transaction."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Executor, Future

from accord.errors import NotWriterError, ServiceHaltedError
from accord.service._store import Store, Stored


class GroupCommit:
    """Makes the entries of one board durable in their order, one transaction at a time.

    Entries are added by one thread, that of the event loop; transactions run in ``pool``.
    After one has failed nothing more is taken: what reached the disk is then unknown.
    """

    def __init__(self, store: Store, board: str, *, size: int, fence: int, pool: Executor) -> None:
        self._store, self._board, self._fence, self._pool = store, board, fence, pool
        self._lock = threading.Lock()
        self._waiting: list[Stored] = []
        self._busy = False
        self._next: Future[None] = Future()
        """Ends with the transaction that takes what is waiting."""

        self._newest: Future[None] | None = None
        """Ends with everything that was added so far."""

        self._failure: BaseException | None = None
        self.durable = size
        """How many entries of the board are durable."""

        self.transactions = self.entries = 0
        """What it has written so far."""

    @property
    def lost(self) -> bool:
        """Whether another writer took over."""
        return isinstance(self._failure, NotWriterError)

    @property
    def failed(self) -> bool:
        """Whether a transaction failed, for another reason than a new writer."""
        return self._failure is not None and not self.lost

    @property
    def fence(self) -> int:
        return self._fence

    def lose(self, error: NotWriterError) -> None:
        """Says that another writer took over, where that was noticed first."""
        with self._lock:
            self._failure = self._failure or error

    def check(self) -> None:
        """Raises ``NotWriterError`` or ``ServiceHaltedError`` once a transaction has failed."""
        if isinstance(self._failure, NotWriterError):
            raise self._failure
        if self._failure is not None:
            raise ServiceHaltedError(detail="its storage failed") from self._failure

    def add(self, stored: Stored) -> None:
        """Takes the next entry; it is durable once `settled` returns."""
        with self._lock:
            self.check()
            self._waiting.append(stored)
            self._newest = self._next
            start, self._busy = not self._busy, True
        if start:
            self._pool.submit(self._flush)

    async def settled(self) -> None:
        """Waits until everything added so far is durable. Raises what `check` raises."""
        newest = self._newest
        if newest is None or (newest.done() and newest.exception() is None):
            return
        try:
            # Shielded: a caller that goes away must not take the others' answer along.
            await asyncio.shield(asyncio.wrap_future(newest))
        except Exception:  # told by `check`, in our words
            self.check()
            raise

    def settle_now(self) -> None:
        """`settled` for threads without an event loop."""
        if self._newest is not None:
            self._newest.exception()
        self.check()

    def _flush(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
            future, self._next = self._next, Future()
        try:
            self._store.append(self._board, self.durable, batch, fence=self._fence)
        except BaseException as exc:  # noqa: BLE001 - whatever it was, the waiting must know
            with self._lock:
                self._failure = exc
            future.set_exception(exc)
            self._next.set_exception(exc)
            return
        with self._lock:
            self.durable += len(batch)
            self.entries += len(batch)
            self.transactions += 1
            again = self._busy = bool(self._waiting)
        future.set_result(None)
        if again:
            self._pool.submit(self._flush)
