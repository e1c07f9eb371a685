# SPDX-License-Identifier: Apache-2.0
"""The boards of one trust service: found, loaded, started, and found again by their digest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from accord.board import verify_genesis
from accord.encoding import Digest, Envelope, sha256
from accord.errors import (
    AccordError,
    EvidenceError,
    ServiceDismissedError,
    ServiceHaltedError,
    StoreUnavailableError,
    UnknownBoardError,
)
from accord.evidence import Claims, Evidence, Purpose, verify
from accord.policy import Assurance
from accord.release import ServiceStart, service_binding
from accord.service._claim import Ownership
from accord.service._enactments import Enactments
from accord.service._host import BoardHost
from accord.service._moved import require_here, successor
from accord.service._parts import Parts
from accord.service._root import split_if_due

_LOG = logging.getLogger("accord.service")


def _own_environment(host: BoardHost, start: ServiceStart, evidence: Evidence) -> Claims | None:
    """Where this service runs under the board's own anchors; nothing where they know nothing."""
    genesis = host.machine.board.genesis
    try:
        return verify(evidence, anchors=genesis.anchors, now=host.now(), binding=start.binding)
    except EvidenceError:
        return None


class Boards:
    """Every board of the store, with its host. Not thread-safe: one event loop."""

    def __init__(self, parts: Parts, ownership: Ownership, enactments: Enactments) -> None:
        self._parts, self._ownership, self._enactments = parts, ownership, enactments
        self._opening = asyncio.Lock()
        self._hosts: dict[Digest, BoardHost] = {}
        self.assurance: dict[Digest, Assurance] = {}
        """By board, what this service was worth when it started to write it."""

        self._broken: set[Digest] = set()
        """Boards whose stored log does not hold; the others are served all the same."""

        for board in map(Digest, parts.hosting.store.boards()):
            try:
                host = self._hosts[board] = BoardHost.load(board, parts.hosting)
                if host.writes:
                    self._resume(host)
            except StoreUnavailableError:
                raise  # It is all boards' store.
            except AccordError as exc:
                _LOG.error("board %s is not served: %s (%s)", board, exc, exc.code)
                if board not in self._hosts:
                    self._broken.add(board)

    def __iter__(self) -> Iterator[BoardHost]:
        return iter(tuple(self._hosts.values()))

    @property
    def halted(self) -> int:
        """Boards with which nothing can be done until the service starts again."""
        return len(self._broken) + sum(host.halted for host in self._hosts.values())

    def _resume(self, host: BoardHost) -> None:
        try:
            self._begin(host)
        except BaseException:
            host.yield_writer()
            raise
        if successor(host) is not None:
            return
        # A crash between the last vote and its enactment must not lose the vote's effect.
        self._enactments.enact_now(host)
        host.settle_now()

    def _begin(self, host: BoardHost) -> None:
        """`_start`, or else it is not the writer: nothing follows another service's start."""
        try:
            self._start(host)
        except BaseException:
            host.step_down()  # At once; that the store hears of it can wait.
            raise

    def _start(self, host: BoardHost) -> None:
        """Stages what a writer says first: with which keys and in which environment it runs."""
        parts, nonce = self._parts, self._parts.entropy(32)
        binding = service_binding(host.board, parts.keyset, nonce, Purpose.LOG)
        evidence = parts.attester.collect(binding.report_data())
        start = ServiceStart(host.board, nonce, parts.keyset, evidence.digest)
        claims = host.environment = _own_environment(host, start, evidence)
        # Under anchors that do not know us we are worth the least.
        worth = Assurance.SIMULATED if claims is None else claims.assurance
        self.assurance[host.board] = worth
        if successor(host) is not None:
            return  # It only keeps what the other service may still have to fetch.
        if host.machine.started and not self._accepted(host):
            return  # Who was replaced never calls itself the board's service again.
        host.start = host.stage(
            parts.sign("service-start", start.to_json()),
            objects={evidence.digest: evidence.to_bytes()},
        )
        split_if_due(parts, host)

    @staticmethod
    def _accepted(host: BoardHost) -> bool:
        try:
            host.require_accepted()
        except ServiceDismissedError as exc:
            _LOG.error("%s (%s); nothing is released", exc, exc.code)
            return False
        return True

    async def writing(self, host: BoardHost) -> None:
        """Makes this service the writer. Raises ``NotWriterError`` while another one is.

        Or ``BoardMovedError`` where it handed the board over.
        """
        require_here(host)
        if await host.promote():
            try:
                self._begin(host)
            except BaseException:
                await self._parts.hosting.run(host.yield_writer)
                raise
            await self._enactments.enact(host)

    async def host(self, board: Digest) -> BoardHost:
        """The board, with everything that its writer has made durable.

        Raises ``UnknownBoardError``.
        """
        host = self._hosts.get(board)
        if host is None:
            async with self._opening:
                host = await self._find(board)
        if host is None:
            raise UnknownBoardError(board=board)
        await host.catch_up()
        return host

    async def _find(self, board: Digest) -> BoardHost | None:
        """The board, also where another service on the same store founded it."""
        if board in self._broken:
            raise ServiceHaltedError(detail="the stored log of this board does not hold")
        host, hosting = self._hosts.get(board), self._parts.hosting
        if host is None and (await hosting.run(hosting.store.size, board)) > 0:
            host = await hosting.run(BoardHost.load, board, hosting)
            if host.writes:
                try:
                    self._begin(host)
                except BaseException:
                    await hosting.run(host.yield_writer)
                    raise
            self._hosts[board] = host
        return host

    async def let_go(self, board: Digest) -> None:
        """Makes room for what another service hands over: nobody writes the board here then."""
        host = self._hosts.get(board)
        if host is not None:
            host.step_down()
            await self._parts.hosting.run(host.yield_writer)

    async def taken_over(self, board: Digest) -> BoardHost:
        """The board that has come into the store, as its writer; it starts as every board does."""
        host = await self.host(board)
        async with host.durably():
            await self.writing(host)
        return host

    async def found(self, envelope: Envelope) -> BoardHost:
        """Founds a board, or finds it where the same genesis was sent before.

        Raises what verifying the envelope raises, also where the board exists, and
        ``NotClaimedError`` or ``FoundingRefusedError``.
        """
        genesis = verify_genesis(envelope)
        async with self._opening:
            host = await self._find(sha256(envelope.payload))
            if host is None:
                await self._ownership.admit(genesis, len(self._hosts))
                host = await BoardHost.found(envelope, self._parts.hosting)
                async with host.durably():
                    self._start(host)
                self._hosts[host.board] = host
        return host

    @property
    def fresh(self) -> bool:
        """Whether witnesses have seen, in this life, every board of the store."""
        return not self._broken and all(
            host.freshness in {"open", "degraded"} for host in self._hosts.values()
        )

    def close(self) -> None:
        """Makes everything durable and saves the states; nothing else may be called then."""
        for host in self._hosts.values():
            try:
                host.close()
            except AccordError as exc:  # What is durable stays so; the others close as well.
                _LOG.warning("board %s: %s", host.board, exc.code)
