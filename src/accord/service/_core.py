# SPDX-License-Identifier: Apache-2.0
"""The trust service: connects requests, the pure core, the store and the TEE."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from accord.board import AssetOffer, AssetRecord, Member, ProposalRecord, verify_genesis
from accord.encoding import Digest, Envelope, sha256
from accord.errors import (
    AssetKeyError,
    DuplicateStatementError,
    EvidenceError,
    UnknownAssetError,
    UnknownBoardError,
    UnsupportedFormatError,
)
from accord.evidence import Attester, Evidence, Purpose, verify
from accord.identity import (
    Keyset,
    open_sealed,
    seal,
    sign_statement,
    statement_kind,
    verify_statement,
)
from accord.policy import Assurance
from accord.release import (
    ASSET_KEY_PURPOSE,
    GRANT_PURPOSE,
    Challenges,
    Decision,
    Grant,
    GrantedInput,
    ReleaseRequest,
    ServiceStart,
    asset_key_context,
    decide,
    grant_context,
    service_binding,
)
from accord.service._host import BoardHost, Hosting
from accord.service._keys import ServiceKeys
from accord.service._store import Store
from accord.volumes import VolumeKey, key_commitment, parse_volume_id

STORE_THREADS = 4
"""Transactions of different boards at the same time; those of one board wait for each other."""

MEMBER_STATEMENTS = frozenset({"asset", "asset-withdrawal", "proposal", "ballot"})


def _nothing(_record: ProposalRecord) -> tuple[dict[str, dict[str, str]], dict[str, bytes]]:
    """What the enactment of policies without secrets brings."""
    return {}, {}


def _own_assurance(host: BoardHost, start: ServiceStart, evidence: Evidence) -> Assurance:
    """What this service is worth under the board's own anchors; nothing they know: the least."""
    genesis = host.machine.board.genesis
    try:
        claims = verify(evidence, anchors=genesis.anchors, now=host.now(), binding=start.binding)
    except EvidenceError:
        return Assurance.SIMULATED
    return claims.assurance


class Timings:
    """How long the steps of one request took, in milliseconds, in the order they ended."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def stage(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.steps.append((step, (time.perf_counter() - start) * 1000))


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
    ) -> None:
        self._store, self._attester = store, attester
        self._clock, self._entropy = clock, entropy
        self._keys = ServiceKeys.load_or_create(store)
        self.keyset: Keyset = self._keys.keyset(tls_spki_sha256)
        self._challenges = Challenges(entropy)
        self._opening = asyncio.Lock()
        self._hosts: dict[Digest, BoardHost] = {}
        self._assurance: dict[Digest, Assurance] = {}
        self._hosting = Hosting(
            store=store,
            clock=clock,
            signer=self._keys.signer,
            pool=ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="accord-store"),
            holder=url,
        )
        for board in map(Digest, store.boards()):
            host = BoardHost.load(board, self._hosting)
            if host.writes:
                self._start(host)
                host.settle_now()
            self._hosts[board] = host

    def _start(self, host: BoardHost) -> None:
        """Stages what a writer says first: with which keys and in which environment it runs."""
        nonce = self._entropy(32)
        binding = service_binding(host.board, self.keyset, nonce, Purpose.LOG)
        evidence = self._attester.collect(binding.report_data())
        start = ServiceStart(host.board, nonce, self.keyset, evidence.digest)
        host.stage(
            sign_statement("service-start", start.to_json(), [self._keys.signer]),
            objects={evidence.digest: evidence.to_bytes()},
        )
        # A crash between the last vote and its enactment must not lose the vote's effect.
        host.enact_what_is_approved(_nothing)
        self._assurance[host.board] = _own_assurance(host, start, evidence)

    async def _writing(self, host: BoardHost) -> None:
        """Makes this service the writer. Raises ``NotWriterError`` while another one is."""
        if await host.promote():
            self._start(host)

    def close(self) -> None:
        """Makes everything durable and saves the states; nothing else may be called then."""
        for host in self._hosts.values():
            host.close()
        self._hosting.pool.shutdown()

    def now(self) -> datetime:
        return self._clock()

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
        host = self._hosts.get(board)
        if host is None and (await self._hosting.run(self._store.size, board)) > 0:
            host = await self._hosting.run(BoardHost.load, board, self._hosting)
            self._hosts[board] = host
        return host

    def attest(self, board: Digest, nonce: bytes) -> Evidence:
        """Fresh evidence of this service for a client that is about to trust it for ``board``.

        The board need not exist yet: its founders attest the service before they found it.
        """
        binding = service_binding(board, self.keyset, nonce, Purpose.CHANNEL)
        return self._attester.collect(binding.report_data())

    async def found(self, envelope: Envelope) -> BoardHost:
        """Founds a board, or finds it where the same genesis was sent before.

        Raises what verifying the envelope raises, also where the board exists.
        """
        verify_genesis(envelope)
        async with self._opening:
            host = await self._find(sha256(envelope.payload))
            if host is None:
                host = await BoardHost.found(envelope, self._hosting)
                async with host.durably():
                    self._start(host)
                self._hosts[host.board] = host
        return host

    async def submit(self, host: BoardHost, envelope: Envelope, sealed_key: bytes | None) -> int:
        """Records a member's statement and returns its entry's index.

        Sending the same statement again is no error and changes nothing. Raises BRD errors.
        """
        kind = statement_kind(envelope)
        if kind not in MEMBER_STATEMENTS:
            raise UnsupportedFormatError(
                what="statement", found=kind, expected=" or ".join(sorted(MEMBER_STATEMENTS))
            )
        async with host.durably():
            await self._writing(host)
            secrets: dict[str, bytes] = {}
            if kind == "asset":
                secrets[envelope.statement_digest] = self._deposited_key(host, envelope, sealed_key)
            try:
                index = host.stage(envelope, secrets=secrets)
            except DuplicateStatementError:
                return host.machine.board.recorded[envelope.statement_digest]
            host.enact_what_is_approved(_nothing)
            return index

    def _deposited_key(
        self, host: BoardHost, envelope: Envelope, sealed_key: bytes | None
    ) -> bytes:
        """The volume key that came with an offer, if it is the one the offer commits to."""
        statement = verify_statement(envelope, "asset", host.machine.board.keys)
        offer = AssetOffer.from_fields(statement.fields())
        if sealed_key is None:
            raise AssetKeyError(asset=offer.name)
        raw = open_sealed(
            sealed_key,
            self._keys.seal_private_key,
            purpose=ASSET_KEY_PURPOSE,
            context=asset_key_context(statement.digest),
        )
        volume_id = parse_volume_id(offer.volume_id, what="volume_id")
        if key_commitment(VolumeKey(raw), volume_id=volume_id) != offer.key_commitment:
            raise AssetKeyError(asset=offer.name)
        return raw

    def challenge(self, host: BoardHost) -> tuple[bytes, datetime]:
        """A nonce for one release request, and when it dies."""
        return self._challenges.issue(host.board, Purpose.RELEASE, now=host.now())

    async def release(self, host: BoardHost, request: ReleaseRequest, timings: Timings) -> bytes:
        """Decides, records durably, and only then seals: the message for the shield."""
        async with host.durably():
            await self._writing(host)
            decision = decide(
                host.machine,
                request,
                challenges=self._challenges,
                service_assurance=self._assurance[host.board],
                now=host.now(),
                entropy=self._entropy,
                stage=timings.stage,
            )
            # What was decided on, before anything else can happen.
            board = host.machine.board
            assets = {item.asset: board.assets[item.asset] for item in decision.service.inputs}
            members = board.members
            with timings.stage("ledger"):
                host.stage(
                    sign_statement("release", decision.release.to_json(), [self._keys.signer]),
                    objects={decision.release.evidence: request.evidence.to_bytes()},
                )
                await host.settled()
        with timings.stage("seal"):
            return await self._sealed_grant(host, request, decision, assets, members)

    async def _sealed_grant(
        self,
        host: BoardHost,
        request: ReleaseRequest,
        decision: Decision,
        assets: Mapping[str, AssetRecord],
        members: Mapping[str, Member],
    ) -> bytes:
        release = decision.release
        inputs = []
        for item in decision.service.inputs:
            record = assets[item.asset]
            key = await self._hosting.run(self._store.secret, host.board, record.offered_by)
            if key is None:
                raise UnknownAssetError(asset=item.asset)
            inputs.append(GrantedInput(item.asset, record.offer.volume_id, item.tag, key))
        readers = {name for output in decision.service.outputs for name in output.readers}
        grant = Grant(
            board=host.board,
            run=release.run,
            policy_digest=release.policy_digest,
            service_name=release.service,
            service=decision.service,
            assurance=release.assurance,
            inputs=tuple(inputs),
            readers=tuple(members[name].identity for name in sorted(readers)),
        )
        envelope = sign_statement("grant", grant.to_json(), [self._keys.signer])
        return seal(
            envelope.to_bytes(),
            release.keyset.seal_key,
            purpose=GRANT_PURPOSE,
            context=grant_context(host.board, request.nonce, release.keyset),
        )

    async def record_run(self, host: BoardHost, envelope: Envelope) -> int:
        """Records a shield's run statement; sending it again changes nothing."""
        if statement_kind(envelope) != "run":
            raise UnsupportedFormatError(
                what="statement", found=statement_kind(envelope), expected="a run statement"
            )
        async with host.durably():
            await self._writing(host)
            try:
                return host.stage(envelope)
            except DuplicateStatementError:
                return host.machine.board.recorded[envelope.statement_digest]

    async def read_object(self, host: BoardHost, digest: Digest) -> bytes | None:
        return await self._hosting.run(self._store.object, host.board, digest)
