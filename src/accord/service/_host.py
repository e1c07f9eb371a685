# SPDX-License-Identifier: Apache-2.0
"""One board as the trust service holds it: durable log and state machine, in step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from itertools import islice

from accord.encoding import Digest, Envelope
from accord.errors import (
    AccordError,
    AppraisalError,
    NotWriterError,
    ServiceDismissedError,
    ServiceHaltedError,
    StoreUnavailableError,
)
from accord.evidence import Claims, appraise
from accord.ledger import Checkpoint, Entry, LogHead, cose_receipt, sign_checkpoint
from accord.release import Machine, log_origin
from accord.service._cosigned import Notes, checkpoint_setting
from accord.service._cosigning import Cosigning, state_of
from accord.service._durable import GroupCommit
from accord.service._hosting import Hosting
from accord.service._moved import require_here
from accord.service._projection import Replayed, damaged, replay, save
from accord.service._store import Stored


class BoardHost:
    """The only way to change a board: an entry is checked, then known, and then durable.

    What is known may be a little ahead of what is durable. So an answer leaves only after
    `settled`, whatever it says, and the log is read up to `durable_size`.

    A host is the writer of its board, or a reader that follows another service's entries.
    """

    def __init__(self, replayed: Replayed, hosting: Hosting, *, fence: int | None) -> None:
        self._hosting = hosting
        self.key = hosting.signer.verify_key
        self._take(replayed)
        self.board: Digest = self.machine.board.board
        self._commit: GroupCommit | None = None
        self._halted = ""
        self._accepted: object = None
        self.environment: Claims | None = None
        """Where this service runs, as the board's anchors prove it; known to its writer."""

        self.start: int | None = None
        """Index of what this life of the service said first; known to the board's writer."""

        self.cosigning = self._new_cosigning()
        self._changing = asyncio.Lock()
        if fence is not None:
            self._write_from(self.head.size, fence)

    # --- coming to be ----------------------------------------------------------------------

    @classmethod
    async def found(cls, envelope: Envelope, hosting: Hosting) -> BoardHost:
        """A new board from its signed genesis; not durable before `settled`.

        Raises what verifying the genesis raises, or ``NotWriterError``.
        """
        head = LogHead()
        entry = Entry(0, hosting.clock().replace(microsecond=0), envelope)
        machine = Machine.found(entry)
        data = head.encode_next(entry)
        fence = await hosting.run(hosting.store.acquire, machine.board.board, hosting.holder)
        host = cls(Replayed(head, machine, envelope), hosting, fence=fence)
        head.accept(entry, data)
        host._queue.add(Stored(data))
        return host

    @classmethod
    def load(cls, board: Digest, hosting: Hosting) -> BoardHost:
        """The board as its stored log says; as its writer, if nobody else is.

        Raises ``StoreIntegrityError`` where an entry does not hold.
        """
        try:
            # Before reading: then nobody else can append what is not read.
            fence = hosting.store.acquire(board, hosting.holder)
        except NotWriterError:
            fence = None
        return cls(replay(hosting.store, board, save_it=fence is not None), hosting, fence=fence)

    def _take(self, replayed: Replayed) -> None:
        self.head, self.machine, self.genesis = replayed.head, replayed.machine, replayed.genesis

    def _new_cosigning(self) -> Cosigning:
        hosting = self._hosting
        notes = Notes(hosting.store, self.board, hosting.pool)
        return Cosigning(self, self.key, calls=hosting.calls, notes=notes, pace=hosting.pace)

    def _write_from(self, size: int, fence: int) -> None:
        hosting = self._hosting
        # What a round had seen before somebody else wrote says nothing any more.
        self.cosigning = self._new_cosigning()
        self._commit = GroupCommit(
            hosting.store, self.board, size=size, fence=fence, pool=hosting.commits
        )

    # --- writing ---------------------------------------------------------------------------

    @property
    def writes(self) -> bool:
        """Whether this service is the board's writer, as far as it knows."""
        return self._commit is not None and not self._commit.lost

    @property
    def halted(self) -> bool:
        """Whether nothing can be done with the board until the service starts again."""
        return bool(self._halted) or (self._commit is not None and self._commit.failed)

    @property
    def committed(self) -> tuple[int, int]:
        """How many transactions this service has written as the board's writer, and entries."""
        commit = self._commit
        return (0, 0) if commit is None else (commit.transactions, commit.entries)

    @property
    def _queue(self) -> GroupCommit:
        """Raises ``ServiceHaltedError`` or ``NotWriterError``."""
        if self._halted:
            raise ServiceHaltedError(detail=self._halted)
        if self._commit is None:
            raise NotWriterError(board=self.board, writer="another service")
        self._commit.check()
        return self._commit

    def require_accepted(self) -> None:
        """Raises ``ServiceDismissedError`` where the charter in force names no such service.

        Nothing secret may leave from here then: whoever replaced this service had a reason.
        """
        accepted, environment = self.machine.board.charter.service, self.environment
        if environment is None:
            raise ServiceDismissedError(board=self.board)
        now = self.now()
        asked = (environment, accepted, now)
        if self._accepted == asked:  # Each release asks twice, and most within this second.
            return
        try:
            appraise(environment, accepted, now=now)
        except AppraisalError as exc:
            raise ServiceDismissedError(board=self.board) from exc
        self._accepted = asked

    def now(self) -> datetime:
        """Whole seconds, never before the last entry: the log's time does not go back."""
        now = self._hosting.clock().replace(microsecond=0)
        return max(now, self.head.last_time or now)

    def stage(
        self,
        envelope: Envelope,
        *,
        objects: Mapping[str, bytes] | None = None,
        secrets: Mapping[str, bytes] | None = None,
    ) -> int:
        """Checks a statement against the state, takes it in, and returns its index.

        It is durable only after `settled`, and nobody may be told of it before. Raises
        whatever makes the statement unacceptable; then nothing has changed.
        """
        queue = self._queue
        require_here(self)
        entry = Entry(self.head.size, self.now(), envelope)
        data = self.head.encode_next(entry)
        stored = Stored(data, objects or {}, secrets or {})
        self.machine.apply(entry)
        self.head.accept(entry, data)
        queue.add(stored)
        return entry.index

    async def append(
        self,
        envelope: Envelope,
        *,
        objects: Mapping[str, bytes] | None = None,
        secrets: Mapping[str, bytes] | None = None,
    ) -> int:
        """`stage`, and returns once it is durable.

        Where the disk fails after the check, this board halts: what is in memory is no longer
        what a restart would find.
        """
        async with self.durably():
            return self.stage(envelope, objects=objects, secrets=secrets)

    @asynccontextmanager
    async def durably(self) -> AsyncIterator[None]:
        """What is staged inside is durable before it is left.

        So is everything that a refusal from inside may speak of.
        """
        try:
            yield
        finally:
            await self.settled()

    async def settled(self) -> None:
        """Waits until everything known is durable.

        Raises ``ServiceHaltedError``, or ``NotWriterError`` where another service took over.
        """
        if self._halted:
            raise ServiceHaltedError(detail=self._halted)
        if self._commit is not None:
            await self._commit.settled()

    @property
    def witnessed(self) -> bool:
        """Whether nothing may leave before a quorum of witnesses has seen the log with it."""
        return self.machine.board.charter.witnesses is not None

    async def confirmed(self, index: int) -> None:
        """`settled`, and on a witnessed board until a quorum has seen entry ``index``.

        Whatever cannot be taken back waits here. Raises ``NotCosignedError`` after some time
        (the entry stays), ``LogForkError`` or ``CounterSealedError``.
        """
        await self.settled()
        self._hosting.lives.require(witnessed=self.witnessed)
        if self.witnessed:
            await self.cosigning.confirmed(index)

    async def opened(self) -> None:
        """That entries can be confirmed, as far as the last round shows; before one is staged.

        So no use is counted for what would not leave. Raises what `confirmed` raises.
        """
        self._hosting.lives.require(witnessed=self.witnessed)
        if not self.witnessed or self.start is None:
            return
        cosigning = self.cosigning
        cosigning.require_no_fork()
        if cosigning.size <= self.start or cosigning.failing:
            await self.confirmed(max(self.start, self.head.size - 1))

    def nudge(self) -> None:
        """Asks witnesses for what no quorum has seen yet; the service's clock does that."""
        if self.witnessed:
            self.cosigning.nudge()

    @property
    def freshness(self) -> str:
        """How the board stands with its witnesses, in one word."""
        if not self._hosting.lives.allows(witnessed=self.witnessed):
            return "sealed"
        return state_of(self.cosigning, start=self.start) if self.witnessed else "solo"

    def settle_now(self) -> None:
        """`settled` for the start of the service, before there is an event loop."""
        self._queue.settle_now()

    # --- reading ---------------------------------------------------------------------------

    @property
    def durable_size(self) -> int:
        """How many entries may be shown."""
        return self.head.size if self._commit is None else self._commit.durable

    def checkpoint(self, size: int | None = None) -> bytes:
        """A signed note over the first ``size`` entries, over all durable ones by default."""
        checkpoint = self._tree(self.durable_size if size is None else size)
        return sign_checkpoint(checkpoint, name=checkpoint.origin, signer=self._hosting.signer)

    def _tree(self, size: int) -> Checkpoint:
        generation = self.machine.board.generation(size)
        return self.head.checkpoint(log_origin(self.board, generation), size)

    def receipt(self, index: int) -> bytes:
        """A COSE receipt of a durable entry, under the tree that ends with it."""
        checkpoint = self._tree(index + 1)
        proof = self.head.inclusion_proof(index, index + 1)
        return cose_receipt(checkpoint, index=index, proof=proof, signer=self._hosting.signer)

    async def cosigned_note(self, change: int | None = None) -> bytes | None:
        """The newest checkpoint that a quorum has cosigned; a signed one on a solo board.

        Or the one that first covered a ``change`` of witnesses. ``None`` where there is none yet.
        """
        store = self._hosting.store
        if change is not None:
            return await self._hosting.run(store.setting, checkpoint_setting(self.board, change))
        if not self.witnessed:
            return self.checkpoint()
        note = self.cosigning.note
        if note is None or not self.writes:
            note = await self._hosting.run(store.setting, checkpoint_setting(self.board))
        return note

    async def entries(self, start: int, end: int, *, max_bytes: int | None = None) -> list[bytes]:
        """The entries from ``start`` to before ``end``; only durable ones.

        Beyond ``max_bytes`` no further one is read.
        """
        if not start < min(end, self.durable_size):
            return []
        count = min(end, self.durable_size) - start

        def read() -> list[bytes]:
            found, size = [], 0
            for entry in islice(self._hosting.store.entries(self.board, start), count):
                found.append(entry)
                size += len(entry)
                if max_bytes is not None and size >= max_bytes:
                    break
            return found

        return await self._hosting.run(read)

    # --- one writer, many readers ----------------------------------------------------------

    async def catch_up(self) -> None:
        """Takes in what the writer has appended since; the writer itself has nothing to do.

        Raises ``StoreIntegrityError`` where an entry does not hold; then the board halts.
        """
        if self.writes:
            return
        if self._halted:
            raise ServiceHaltedError(detail=self._halted)
        async with self._changing:
            if not self.writes:
                await self._follow()

    async def promote(self) -> bool:
        """Becomes the board's writer; whether it was not before.

        Raises ``NotWriterError``, which names the writer, while its lease runs.
        """
        if self.writes:
            return False
        async with self._changing:
            if self.writes:
                return False
            hosting = self._hosting
            fence = await hosting.run(hosting.store.acquire, self.board, hosting.holder)
            await self._follow()
            self._write_from(self.head.size, fence)
            return True

    def step_down(self) -> None:
        """Stops being the writer, where the service could not begin; nothing may be staged then.

        The fence is to be given back after that: `yield_writer`.
        """
        if self._commit is not None:
            self._commit.lose(NotWriterError(board=self.board, writer="nobody"))

    def yield_writer(self) -> None:
        """Lets others write at once, after `step_down`; where the store fails, a little later."""
        if self._commit is not None:
            with suppress(AccordError):
                self._hosting.store.release_writer(self.board, self._commit.fence)

    async def renew(self) -> None:
        """Extends the writer's lease. Raises ``NotWriterError`` where somebody took over."""
        queue = self._queue
        try:
            await self._hosting.run(self._hosting.store.renew, self.board, queue.fence)
        except NotWriterError as exc:
            queue.lose(exc)
            raise

    def close(self) -> None:
        """Makes everything durable, saves the state, and lets others write."""
        if self._commit is None or self._commit.lost or self._halted:
            return
        self.settle_now()
        save(self._hosting.store, Replayed(self.head, self.machine, self.genesis))
        self._hosting.store.release_writer(self.board, self._commit.fence)

    async def _follow(self) -> None:
        try:
            if self._commit is not None:
                # It was the writer: entries that never became durable may be in its state.
                replayed = await self._hosting.run(
                    replay, self._hosting.store, self.board, save_it=False
                )
                self._take(replayed)
                self._commit = None
            for item in await self._hosting.run(self._unread):
                self.machine.apply(self.head.extend(item))
        except StoreUnavailableError:
            raise  # It may be back for the next request.
        except AccordError as exc:
            self._halted = "its stored log does not hold"
            raise damaged(self.board, exc) from exc

    def _unread(self) -> list[bytes]:
        store, start = self._hosting.store, self.head.size
        return list(store.entries(self.board, start)) if store.size(self.board) > start else []
