# SPDX-License-Identifier: Apache-2.0
"""The trust service: connects requests, the pure core, the store and the TEE."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

from accord.channel import Exporter, Side, binder
from accord.client import ServiceClaim, ServiceConfig
from accord.encoding import Digest, Envelope, JSONValue, sha256
from accord.errors import (
    AccordError,
    DuplicateStatementError,
    FoundingRefusedError,
    UnsupportedFormatError,
)
from accord.evidence import Attester, Evidence, Purpose
from accord.identity import Keyset, statement_kind
from accord.policy import Channel
from accord.release import Challenges, Guest, LeaseRequest, ReleaseRequest, service_binding
from accord.service._approvals import Approvals
from accord.service._arrivals import Arrivals
from accord.service._backup_board import back_up
from accord.service._boards import Boards
from accord.service._claim import Ownership
from accord.service._counter import Lives, MonotonicCounter
from accord.service._departures import Departures
from accord.service._enactments import Enactments
from accord.service._exchange import Exchange
from accord.service._host import BoardHost
from accord.service._hosting import Hosting
from accord.service._keys import ServiceKeys
from accord.service._moved import require_here, successor
from accord.service._parts import Parts
from accord.service._recovery import Recoveries
from accord.service._releases import Releases, Timings
from accord.service._resources import Resources
from accord.service._round import Pace
from accord.service._statements import Statements, erases
from accord.service._store import Store
from accord.service._tags import commit_tags
from accord.service._witness_calls import WitnessCalls

STORE_THREADS = 4
"""Transactions of different boards at the same time; those of one board wait for each other."""

TICK_S = 1.0
"""How often the service looks whether something is due: a notice that ends, its own lease."""

RENEW_TICKS = 3
"""How often, in ticks, a writer extends its lease of 10 s."""

_LOG = logging.getLogger("accord.service")


class TrustService:
    """All boards of one process. Not thread-safe: one event loop."""

    def __init__(
        self,
        *,
        store: Store,
        attester: Attester,
        tls_spki_sha256: bytes,
        clock: Callable[[], datetime],
        entropy: Callable[[int], bytes],
        url: str = "this service",
        allow_private_peers: bool = False,
        restoring: Path | None = None,
        counter: MonotonicCounter | None = None,
        pace: Pace | None = None,
    ) -> None:
        """``restoring``: the folder of backups whose boards are to go on here.

        ``allow_private_peers``: members may name services on this machine or its network.
        ``counter``: what tells the latest store from older copies of it.
        """
        keys = ServiceKeys.load_or_create(store)
        self.keyset: Keyset = keys.keyset(tls_spki_sha256)
        pool = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="accord-store")
        self._parts = Parts(
            hosting=Hosting(
                store=store,
                clock=clock,
                signer=keys.signer,
                pool=pool,
                holder=url,
                lives=Lives(store, counter),
                calls=WitnessCalls(public_only=not allow_private_peers),
                pace=pace or Pace(),
            ),
            attester=attester,
            keys=keys,
            keyset=self.keyset,
            challenges=Challenges(entropy),
            entropy=entropy,
            private_peers=allow_private_peers,
        )
        self._ownership = Ownership(self._parts)
        self._enactments = Enactments(self._parts)
        self._boards = Boards(self._parts, self._ownership, self._enactments)
        self._statements = Statements(self._parts)
        self._exchange = Exchange(self._parts)
        self._releases = Releases(self._parts, self._boards.assurance, self._exchange)
        self._resources = Resources(self._parts, self._boards.assurance)
        self.recoveries = Recoveries(self._parts, restoring)
        self.departures = Departures(self._parts, self._boards, self._ownership)
        self.arrivals = Arrivals(self._parts, self._boards, self._ownership)
        self._approvals = Approvals(self._parts, self._take_ballot)
        self._scrubbing = asyncio.Lock()
        self._scrubbed: set[Digest] = set()
        """Statements that erase, and what they erased is gone from the disk. Of this life."""

    # --- the process -----------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Does inside what nobody asks for: notices end, leases go on, approvals are asked for."""
        due = asyncio.create_task(self._keep_time())
        try:
            yield
        finally:
            due.cancel()
            with suppress(asyncio.CancelledError):
                await due
            await self._approvals.close()

    async def _keep_time(self) -> None:
        for number in itertools.count():
            await self.tick(renew=number % RENEW_TICKS == 0)
            await asyncio.sleep(TICK_S)

    async def tick(self, *, renew: bool = False) -> None:
        """Does whatever is due now on the boards that this service writes."""
        for host in self._boards:
            if not host.writes:
                continue
            try:
                if renew:
                    await host.renew()
                if successor(host) is not None:
                    continue
                async with host.durably():
                    await self._enactments.enact(host)
                self._approvals.ask(host)
                host.nudge()
            except AccordError as exc:
                _LOG.warning("board %s: %s", host.board, exc.code)
            except Exception as exc:  # noqa: BLE001 - one board's must not stop the others
                _LOG.error("board %s: %s", host.board, type(exc).__name__)

    def close(self) -> None:
        """Makes everything durable and saves the states; nothing else may be called then."""
        self._boards.close()
        if not self._boards.halted:  # Else what is in memory need not be what is on the disk.
            self._parts.hosting.lives.end(fresh=self._boards.fresh)
        self._parts.hosting.calls.close()
        self._parts.hosting.pool.shutdown()

    def now(self) -> datetime:
        return self._parts.hosting.clock()

    # --- the service itself ----------------------------------------------------------------

    def attest(
        self,
        board: Digest,
        nonce: bytes,
        *,
        channel: Channel = Channel.L1,
        connection: Exporter | None = None,
    ) -> Evidence:
        """Fresh evidence of this service for a client that is about to trust it for ``board``.

        The board need not exist yet: its founders attest the service before they found it.
        Raises ``ChannelLevelError`` where level 2 is asked for and the connection has none.
        """
        exporter = binder(connection, Side.SERVER, nonce) if channel is Channel.L2 else None
        binding = service_binding(board, self.keyset, nonce, Purpose.CHANNEL, exporter=exporter)
        return self._parts.attester.collect(binding.report_data())

    async def claim(self, envelope: Envelope) -> ServiceClaim:
        """Makes somebody the owner. Raises ``ClaimInvalidError`` or ``AlreadyClaimedError``."""
        return await self._ownership.claim(envelope)

    async def configure(self, envelope: Envelope) -> ServiceConfig:
        """Takes in the owner's wishes. Raises ``NotClaimedError`` or ``ClaimInvalidError``."""
        config = await self._ownership.configure(envelope)
        lives = self._parts.hosting.lives
        if config.counter is not None:
            await self._parts.hosting.run(lives.accept, config.counter)
        return config

    @property
    def counter(self) -> JSONValue:
        """What the counter says about the store; ``None`` without one."""
        return self._parts.hosting.lives.to_json()

    @property
    def config(self) -> ServiceConfig:
        """The owner's wishes, as they were read last."""
        return self._ownership.config

    async def owner(self) -> tuple[ServiceClaim | None, ServiceConfig]:
        """Who owns the service, and which boards it takes on."""
        return await self._ownership.current(), self._ownership.config

    # --- boards ----------------------------------------------------------------------------

    @property
    def hosts(self) -> tuple[BoardHost, ...]:
        """The boards that this process has opened so far."""
        return tuple(self._boards)

    @property
    def halted(self) -> int:
        """Boards with which nothing can be done until the service starts again."""
        return self._boards.halted

    async def host(self, board: Digest) -> BoardHost:
        """The board, with everything that its writer has made durable.

        Raises ``UnknownBoardError``.
        """
        return await self._boards.host(board)

    async def found(self, envelope: Envelope) -> BoardHost:
        """Founds a board, or finds it where the same genesis was sent before.

        Raises what verifying the envelope raises, also where the board exists, and
        ``NotClaimedError`` or ``FoundingRefusedError``.
        """
        if self.arrivals.expects(sha256(envelope.payload)):
            raise FoundingRefusedError(detail="this board is about to be handed over to it")
        return await self._boards.found(envelope)

    async def back_up(self, host: BoardHost) -> Iterator[bytes]:
        """The bytes of a backup; iterate them in a thread. Raises ``NoRecoveryPlanError``."""
        if successor(host) is None:  # Of what it handed over, it still has the end.
            await self._boards.writing(host)
        return await back_up(self._parts, host)

    async def reopen(self, board: Digest) -> BoardHost:
        """Lets a recovered board go on, if enough members agreed; it starts as every board does.

        Raises ``SharesMissingError``, ``NotRecoveringError`` and what the store raises.
        """
        await self.recoveries.open(board)
        host = await self._boards.host(board)
        await host.settled()
        return host

    async def submit(
        self,
        host: BoardHost,
        envelope: Envelope,
        sealed_key: bytes | None,
        evidence: Evidence | None = None,
    ) -> int:
        """Records a member's statement and returns its entry's index.

        Sending the same statement again is no error and changes nothing. ``evidence`` is that
        behind an automated member's ballot. Raises BRD and ATT errors.
        """
        return await self._record(host, envelope, sealed_key, evidence, None)

    async def _take_ballot(
        self, host: BoardHost, envelope: Envelope, evidence: Evidence | None, nonce: bytes
    ) -> int:
        return await self._record(host, envelope, None, evidence, nonce)

    async def _record(
        self,
        host: BoardHost,
        envelope: Envelope,
        sealed_key: bytes | None,
        evidence: Evidence | None,
        nonce: bytes | None,
    ) -> int:
        async with host.durably():
            await self._boards.writing(host)
            index = self._statements.record(
                host, envelope, sealed_key=sealed_key, evidence=evidence, nonce=nonce
            )
            await self._enactments.enact(host)
        if erases(envelope):  # Answered once it is done: whoever heard nothing says it again.
            self._parts.forget(host.board)
            await self._scrub(envelope.statement_digest)
        self._approvals.ask(host)
        return index

    async def _scrub(self, erasing: Digest) -> None:
        """Waits until what the durable statement ``erasing`` erased is gone from the disk.

        It may lock a whole database, and anybody may repeat the statement: so it is done once.
        """
        async with self._scrubbing:
            if erasing not in self._scrubbed:
                await self._parts.hosting.run(self._parts.hosting.store.scrub)
                self._scrubbed.add(erasing)

    def challenge(
        self, host: BoardHost, purpose: Purpose = Purpose.RELEASE
    ) -> tuple[bytes, datetime]:
        """A nonce for one request of this purpose, and when it dies.

        Raises ``NonceError``, or ``BoardMovedError`` where nothing is decided here any more.
        """
        if purpose is not Purpose.HANDOVER:  # Which may have been cut off.
            require_here(host)
        return self._parts.challenges.issue(host.board, purpose, now=host.now())

    # --- what leaves -----------------------------------------------------------------------

    async def release(
        self,
        host: BoardHost,
        request: ReleaseRequest,
        timings: Timings,
        connection: Exporter | None = None,
    ) -> bytes:
        """Decides, records durably, and only then seals: the message for the shield.

        Raises ``NotAttestedError`` for strangers, and signed REL and ATT errors for others.
        """
        async with host.durably():
            await self._boards.writing(host)
            return await self._releases.release(host, request, timings, connection)

    async def renew(
        self, host: BoardHost, request: LeaseRequest, connection: Exporter | None = None
    ) -> Envelope:
        """The signed lease of a run that may go on. Raises as `release` does."""
        async with host.durably():
            await self._boards.writing(host)
            return await self._releases.renew(host, request, connection)

    async def export(self, host: BoardHost, envelope: Envelope, evidence: Evidence) -> bytes:
        """A secret for another trust service, sealed to it. Raises as `release` does."""
        async with host.durably():
            await self._boards.writing(host)
            return await self._exchange.export(host, envelope, evidence)

    def attest_guest(
        self, host: BoardHost, evidence: Evidence, runtime_data: bytes
    ) -> tuple[Guest, str]:
        """A guest of the Key Broker protocol, and a token that says what was found.

        That the nonce in ``runtime_data`` is fresh is *not* checked here. Raises
        ``NotAttestedError``.
        """
        return self._resources.attest(host, evidence, runtime_data)

    async def release_resource(
        self, host: BoardHost, guest: Guest, *, policy: str, service: str, secret: str
    ) -> bytes:
        """The text or bytes of one secret for a guest. Raises REL and ATT errors."""
        async with host.durably():
            await self._boards.writing(host)
            return await self._resources.release(
                host, guest, policy=policy, service=service, secret=secret
            )

    async def record_run(self, host: BoardHost, envelope: Envelope) -> int:
        """Records a shield's run statement; sending it again changes nothing."""
        if statement_kind(envelope) != "run":
            raise UnsupportedFormatError(
                what="statement", found=statement_kind(envelope), expected="a run statement"
            )
        async with host.durably():
            await self._boards.writing(host)
            try:
                return host.stage(envelope)
            except DuplicateStatementError:
                return host.machine.board.recorded[envelope.statement_digest]

    async def commit_tags(self, host: BoardHost, envelope: Envelope) -> int:
        """Records a shield's commit of its live volumes' tags; again changes nothing."""
        async with host.durably():
            await self._boards.writing(host)
            return await commit_tags(host, envelope)

    async def read_object(self, host: BoardHost, digest: Digest) -> bytes | None:
        """A body that an entry names."""
        hosting = self._parts.hosting
        return await hosting.run(hosting.store.object, host.board, digest)
