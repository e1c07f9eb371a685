# SPDX-License-Identifier: Apache-2.0
"""Rounds of cosignatures: nothing leaves before a quorum of witnesses has seen the log with it.

2q - n > f (accord.board.WitnessPolicy): of two branches of a log at most one gets a quorum.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress

from accord.board import Witness, WitnessPolicy, required, witness_changes
from accord.encoding import Digest
from accord.errors import (
    AccordError,
    LogForkError,
    NotCosignedError,
    StoreUnavailableError,
)
from accord.identity import VerifyKey
from accord.ledger import (
    AddCheckpoint,
    Checkpoint,
    add_signatures,
    cosignatures,
    verify_checkpoint,
)
from accord.release import log_origin
from accord.service._cosigned import Fork, Notes
from accord.service._round import Log, Pace, Peer, Round
from accord.service._witness_calls import Answer, WitnessCallError, WitnessCalls

RETRY_S = 0.2
"""Between rounds where one had no quorum."""

_OK, _REFUSED, _NOT_FOUND, _CONFLICT, _UNPROVED = 200, 403, 404, 409, 422

_LOG = logging.getLogger("accord.service")


class _OutvotedError(Exception):
    """Why a witness did not cosign. It never leaves this module."""


class Cosigning:
    """The rounds of one board, one at a time. Not thread-safe: one event loop."""

    def __init__(
        self, log: Log, key: VerifyKey, *, calls: WitnessCalls, notes: Notes, pace: Pace
    ) -> None:
        self._log, self._key = log, key
        self._calls, self._notes, self._pace = calls, notes, pace
        self._peers: dict[tuple[str, bytes, str], Peer] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._loaded = False
        self._forking = asyncio.Lock()
        self.size = 0
        """How many entries a quorum has seen."""

        self.fork: Fork | None = None
        self.rounds = self.failures = 0
        self.failing = False
        """Whether the last round had no quorum."""

        self.groups: frozenset[str] = frozenset()
        """Who has cosigned in the last round, as far as that was waited for."""

    @property
    def note(self) -> bytes | None:
        """The newest checkpoint with its cosignatures, as far as it is known here."""
        return self._notes.latest

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The witnesses that were asked so far and are still needed."""
        wanted = {w for policy in self._policies(self._log.head.size) for w in policy.witnesses}
        return tuple(peer for peer in self._peers.values() if peer.witness in wanted)

    def readers(self) -> Mapping[Digest, VerifyKey]:
        """The keys of the witnesses whose cosignatures are needed: they may read the log."""
        policies = self._policies(self._log.head.size)
        return {w.key.key_id: w.key for policy in policies for w in policy.witnesses}

    def _policies(self, size: int) -> tuple[WitnessPolicy, ...]:
        return required(self._log.machine.board.witnessed, since=self.size, size=size)

    # --- waiting ---------------------------------------------------------------------------

    async def confirmed(self, index: int) -> None:
        """Returns once a quorum has seen the log with entry ``index``, which is durable.

        Raises ``NotCosignedError`` after some time, and ``LogForkError``.
        """
        self.require_no_fork()
        if self._loaded and index < self.size:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((index, waiter))
        self._start()
        try:
            async with asyncio.timeout(self._pace.patience_s):
                await waiter
        except TimeoutError as exc:
            raise self._refusal(index) from exc
        finally:
            self._waiting = [item for item in self._waiting if item[1] is not waiter]

    def _refusal(self, index: int) -> NotCosignedError:
        policies = self._policies(self._log.head.size)
        quorum = max((policy.quorum for policy in policies), default=0)
        return NotCosignedError(index=index, reached=len(self.groups), quorum=quorum)

    def nudge(self) -> None:
        """Begins a round where a quorum has not seen everything; nobody waits for it."""
        with suppress(LogForkError):
            self.require_no_fork()
            if not self._loaded or self.size < self._log.durable_size:
                self._start()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._rounds())

    def require_no_fork(self) -> None:
        """Raises ``LogForkError`` where another history of this log was seen, and holds.

        A log whose members decided against its own history never gets a quorum again.
        """
        board = self._log.machine.board
        if board.resolved:
            survivor = board.resolved[-1][1].survivor
            head = self._log.head
            if survivor.size > head.size or head.root(survivor.size) != survivor.root:
                raise LogForkError(own=head.size, other=survivor.size, witness="the members")
        fork = self.fork
        if fork is not None and fork.origin == log_origin(board.board, board.generation()):
            raise LogForkError(own=fork.own_size, other=fork.other_size, witness=fork.witness)

    # --- rounds ----------------------------------------------------------------------------

    async def _rounds(self) -> None:
        try:
            once = True
            while once or self._waiting:
                once = False
                await asyncio.sleep(self._pace.window_s)
                await self._log.settled()
                await self._load()
                self.require_no_fork()
                await self._round()
                self._tell()
                if self.failing and self._waiting:
                    await asyncio.sleep(RETRY_S)
        except AccordError as exc:
            self._fail(exc)
        except Exception as exc:
            _LOG.error("board %s: %s", self._log.board, type(exc).__name__)
            self._fail(self._refusal(self._log.head.size - 1))
            raise

    def _tell(self) -> None:
        for index, waiter in self._waiting:
            if index < self.size and not waiter.done():
                waiter.set_result(None)
        self._waiting = [item for item in self._waiting if not item[1].done()]

    def _fail(self, error: AccordError) -> None:
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)

    async def _load(self) -> None:
        """What an earlier life of this service left. Raises ``LogForkError``."""
        if self._loaded:
            return
        note, self.fork = await self._notes.load()
        self.require_no_fork()
        if note is not None:
            found = self._own(note)
            if found is None or not self._holds(found):
                # The settings know of a longer log than the store has: part of a disk is old.
                await self._forked(note, "this service's own store")
            else:
                self.size = found.size
        self._loaded = True

    def _own(self, note: bytes) -> Checkpoint | None:
        """The checkpoint in ``note``, if a key of this log signed it under one of its names."""
        board = self._log.machine.board
        names = [log_origin(board.board, n) for n in range(board.generation() + 1)]
        return self._signed(note, names, {self._key, *self._log.machine.log_keys})

    @staticmethod
    def _signed(note: bytes, names: Iterable[str], keys: Iterable[VerifyKey]) -> Checkpoint | None:
        for name, key in itertools.product(names, keys):
            with suppress(AccordError):
                return verify_checkpoint(note, origin=name, name=name, key=key)
        return None

    def _holds(self, checkpoint: Checkpoint) -> bool:
        """Whether our log starts with what ``checkpoint`` covers."""
        head = self._log.head
        return checkpoint.size <= head.size and head.root(checkpoint.size) == checkpoint.root

    async def _round(self) -> None:
        """Asks every witness, and returns at the quorum; who is slower goes on."""
        size = self._log.durable_size
        note, board = self._log.checkpoint(size), self._log.machine.board
        origin = log_origin(board.board, board.generation(size))
        current = Round(note, origin, size, self._policies(size))
        self.rounds += 1
        pending: set[asyncio.Task[None]] = set()
        for peer in self._asked(current):
            task = asyncio.create_task(self._ask(current, peer))
            pending.add(task)
        try:
            while pending and not current.reached:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if current.problem is not None:
                    raise current.problem
        finally:
            self._end(current, pending)
        self.failing = not current.reached
        if self.failing:
            self.failures += 1
            if current.hopeless:
                # Enough of them saw what an earlier key of this log signed, so it goes on there.
                witness, other = next(iter(current.others.items()))
                await self._forked(other, witness.name)
            return
        signed = add_signatures(note, current.lines.values())
        for index in witness_changes(board.witnessed, since=self.size, size=size):
            await self._notes.keep_change(index, signed)
        self.size = max(self.size, size)
        self._notes.keep(signed)

    def _asked(self, current: Round) -> Iterable[Peer]:
        for witness in {w: None for policy in current.policies for w in policy.witnesses}:
            place = (witness.name, witness.key.raw, witness.url)
            peer = self._peers.setdefault(place, Peer(witness))
            if peer.origin != current.origin:
                peer.origin, peer.size = current.origin, 0
            yield peer

    def _end(self, current: Round, pending: Iterable[asyncio.Task[None]]) -> None:
        current.over = True
        self.groups = frozenset(witness.group for witness in current.lines)
        asking = {peer.busy for peer in self._peers.values()}
        for task in pending:
            if task not in asking:  # It only waited for an earlier question to be answered.
                task.cancel()

    # --- one witness -----------------------------------------------------------------------

    async def _ask(self, current: Round, peer: Peer) -> None:
        while peer.busy is not None and not peer.busy.done():
            await asyncio.wait({peer.busy})
        if current.over:
            return
        peer.busy = asyncio.current_task()
        try:
            line = await self._cosigned(current, peer)
        except (WitnessCallError, _OutvotedError) as exc:
            if peer.state != str(exc):
                _LOG.warning("board %s: witness %s %s", self._log.board, peer.witness.name, exc)
            peer.state = str(exc)
            return
        except AccordError as exc:
            peer.state, current.problem = exc.code, current.problem or exc
            return
        peer.size = peer.cosigned = max(peer.cosigned, current.size)
        peer.state = "cosigned"
        current.lines[peer.witness] = line

    async def _cosigned(self, current: Round, peer: Peer) -> str:
        """The witness's line under the note, verified. Raises what says why there is none."""
        old = min(peer.size, current.size)
        answer = await self._offer(current, peer, old)
        seen = _size(answer.content) if answer.status == _CONFLICT else None
        if seen is not None and seen <= current.size and seen != old:
            answer = await self._offer(current, peer, seen)  # It says where it is: from there.
        if answer.status == _OK:
            return self._verified(current, peer.witness, answer.content)
        if answer.status in (_CONFLICT, _UNPROVED):
            await self._look(current, peer)
        if answer.status == _REFUSED:
            line = await self._said(current, peer.witness)
            if line is not None:
                return line
        if answer.status == _NOT_FOUND:
            message = "does not know this log"
            raise _OutvotedError(message)
        message = f"refuses with HTTP status {answer.status}"
        raise _OutvotedError(message)

    async def _offer(self, current: Round, peer: Peer, old: int) -> Answer:
        proof = self._log.head.consistency_proof(old, current.size) if old else ()
        body = AddCheckpoint(old, proof, current.note).to_bytes()
        return await self._calls.add_checkpoint(peer.witness.url, body)

    @staticmethod
    def _verified(current: Round, witness: Witness, content: bytes) -> str:
        """The one line that is this witness's, over this very note."""
        message = "sent no cosignature of its own over this checkpoint"
        try:
            for line in content.decode().splitlines(keepends=True):
                signed = add_signatures(current.note, [line])
                if witness.name in cosignatures(signed, {witness.name: witness.key}):
                    return line
        except (AccordError, UnicodeDecodeError) as exc:
            raise _OutvotedError(message) from exc
        raise _OutvotedError(message)

    async def _said(self, current: Round, witness: Witness) -> str | None:
        """What a witness said of this very checkpoint before it followed the log to a new key.

        After a hand-over it refuses the old key, also where its answer never arrived here.
        """
        answer = await self._calls.latest(witness.url, current.origin)
        _, _, lines = answer.content.partition(b"\n\n")
        with suppress(_OutvotedError):
            return self._verified(current, witness, lines if answer.status == _OK else b"")
        return None

    async def _look(self, current: Round, peer: Peer) -> None:
        """Finds out why our log does not continue what the witness saw.

        Only a head that our own key signed counts: whatever else it says may be a lie. One by a
        key that the log had before proves it of who has that key, and they are no longer asked:
        it counts where so many witnesses show one that there can be no quorum.
        Raises ``LogForkError``, or what says that nothing is proved.
        """
        answer = await self._calls.latest(peer.witness.url, current.origin)
        note = answer.content if answer.status == _OK else b""
        former = self._signed(note, [current.origin], self._log.machine.former_keys)
        found = self._signed(note, [current.origin], [self._key]) or former
        if found is None:
            message = "shows no other checkpoint of this log"
            raise _OutvotedError(message)
        # Where another service has become the writer it is its log, not a fork.
        await self._log.renew()
        if self._log.machine.log_key not in (None, self._key):
            message = "follows the service that goes on with this log"
            raise _OutvotedError(message)
        if self._holds(found):
            peer.size = found.size
            message = "was behind its own answer"
            raise _OutvotedError(message)
        if found is former:
            current.others[peer.witness] = note
            message = "shows a checkpoint that an earlier key of this log signed"
            raise _OutvotedError(message)
        await self._forked(note, peer.witness.name)

    async def _forked(self, other: bytes, witness: str) -> None:
        """Keeps both heads for everybody to see. Raises ``LogForkError``."""
        async with self._forking:
            self.require_no_fork()  # Several witnesses may show one at once: the first one is kept.
            own = self._log.checkpoint()
            found = self._own(other)
            if found is None:
                raise StoreUnavailableError(path="settings", detail="a kept checkpoint is not ours")
            board = self._log.machine.board
            origin = log_origin(board.board, board.generation())
            fork = Fork(origin, self._log.durable_size, own, found.size, other, witness)
            try:
                await self._notes.keep_fork(fork)
            finally:
                # Nobody hears of it before it is on the disk, and a full one does not hide it.
                self.fork = fork
        _LOG.error("board %s: its log was forked (seen by %s)", self._log.board, witness)
        self.require_no_fork()


def _size(content: bytes) -> int | None:
    """The size in a witness's answer 409 (``text/x.tlog.size``)."""
    text = content.strip()
    return int(text) if text.isdigit() and len(text) < 16 else None  # noqa: PLR2004 - 2**53


def state_of(cosigning: Cosigning, *, start: int | None) -> str:
    """How fresh the board is in one word; ``start``: this life's first entry."""
    try:
        cosigning.require_no_fork()
    except LogForkError:
        return "halted-fork"
    if cosigning.failing:
        return "waiting-witness"
    if start is None or cosigning.size <= start:
        return "sealed"
    away = any(peer.state != "cosigned" for peer in cosigning.peers)
    return "degraded" if away else "open"
