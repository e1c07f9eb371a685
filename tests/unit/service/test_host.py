# SPDX-License-Identifier: Apache-2.0
"""A board in the service: what is shown when, who writes, and what a start needs to read."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.support.live import Hardware, make_genesis, terms
from tests.support.postgres import Postgres

from accord.board import AssetKind, AssetOffer
from accord.encoding import MAX_ITEMS, Envelope, canonical_json, parse_json, sha256
from accord.errors import (
    DuplicateStatementError,
    NotWriterError,
    ServiceHaltedError,
    StoreIntegrityError,
    StoreUnavailableError,
)
from accord.identity import FileIdentity, Keyset, KeySigner, SealKey, sign_statement
from accord.ledger import Entry, verify_checkpoint
from accord.release import ServiceStart, log_origin, state_digest
from accord.service import MemoryStore, Store
from accord.service import _projection as projection
from accord.service._counter import Lives
from accord.service._host import BoardHost
from accord.service._hosting import Hosting
from accord.service._postgres_store import PostgresStore
from accord.service._projection import replay
from accord.service._store import Stored

KEY = bytes(range(32))
FIRST, SECOND = "https://first.example", "https://second.example"


Pair = tuple[PostgresStore, PostgresStore]


class GatedStore(MemoryStore):
    """A store whose disk the test can stop."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        assert self.gate.wait(10)
        super().append(board, first, batch, fence=fence)


class Away(MemoryStore):
    """A store that sometimes does not answer."""

    away = False

    def size(self, board: str) -> int:
        if self.away:
            raise StoreUnavailableError(path="postgresql://", detail="connection refused")
        return super().size(board)


@dataclass
class Scene:
    """A genesis, the log key of a service, and threads for the store."""

    genesis: Envelope
    pool: ThreadPoolExecutor
    signer: KeySigner = field(default_factory=lambda: KeySigner(Ed25519PrivateKey.generate()))

    def hosting(self, store: Store, holder: str = FIRST) -> Hosting:
        return Hosting(
            store=store,
            clock=lambda: datetime.now(UTC),
            signer=self.signer,
            pool=self.pool,
            holder=holder,
            lives=Lives(store, None),
        )

    async def founded(self, store: Store, holder: str = FIRST) -> BoardHost:
        host = await BoardHost.found(self.genesis, self.hosting(store, holder))
        await host.settled()
        return host

    def statement(self, host: BoardHost) -> Envelope:
        """Something that the service may say at any time."""
        public = SealKey(X25519PrivateKey.generate().public_key().public_bytes_raw())
        keyset = Keyset(self.signer.verify_key, public, bytes(32))
        start = ServiceStart(host.board, os.urandom(32), keyset, sha256(b"evidence"))
        return sign_statement("service-start", start.to_json(), [self.signer])


@pytest.fixture
def scene(hardware: Hardware, tmp_path: Path) -> Iterator[Scene]:
    _, envelope = make_genesis(tmp_path, hardware)
    with ThreadPoolExecutor(4) as pool:
        yield Scene(envelope, pool)


@pytest.fixture
def two_stores(postgres: Postgres) -> Iterator[Pair]:
    """Two processes' views of one database; the first one's lease is short."""
    dsn = postgres.database()
    with (
        closing(PostgresStore(dsn, KEY, lease_s=0.2)) as first,
        closing(PostgresStore(dsn, KEY)) as second,
    ):
        yield first, second


def test_only_the_durable_part_is_shown(scene: Scene) -> None:
    """While the disk is busy neither log nor checkpoint show what it does not have."""
    store = GatedStore()

    async def scenario() -> None:
        host = await scene.founded(store)
        store.gate.clear()
        host.stage(scene.statement(host))
        assert (host.head.size, host.durable_size) == (2, 1)
        assert len(await host.entries(0, 10)) == 1
        assert await host.entries(1, 10) == []
        checkpoint = verify_checkpoint(
            host.checkpoint(),
            origin=log_origin(host.board),
            name=log_origin(host.board),
            key=scene.signer.verify_key,
        )
        assert (checkpoint.size, checkpoint.root) == (1, host.head.root(1))
        store.gate.set()
        await host.settled()
        assert [Entry.from_bytes(data).index for data in await host.entries(0, 10)] == [0, 1]

    asyncio.run(scenario())


def test_a_repeated_statement_waits_for_the_first(scene: Scene) -> None:
    """That something was recorded is not said before it is durable, not even as a refusal."""
    store = GatedStore()

    async def scenario() -> None:
        host = await scene.founded(store)
        store.gate.clear()
        statement = scene.statement(host)
        first = asyncio.ensure_future(host.append(statement))
        again = asyncio.ensure_future(host.append(statement))
        await asyncio.sleep(0.02)
        assert not first.done()
        assert not again.done()
        store.gate.set()
        assert await first == 1
        with pytest.raises(DuplicateStatementError):
            await again

    asyncio.run(scenario())


def test_a_reader_follows_and_does_not_write(scene: Scene, two_stores: Pair) -> None:
    """Two services on one database: one writes; the other shows the same and names the first."""
    first, second = two_stores

    async def scenario() -> None:
        writer = await scene.founded(second)
        reader = BoardHost.load(writer.board, scene.hosting(first, SECOND))
        assert (writer.writes, reader.writes) == (True, False)
        for _ in range(3):
            await writer.append(scene.statement(writer))
        await writer.renew()
        await writer.catch_up()
        await reader.catch_up()
        assert reader.head.root() == writer.head.root()
        assert reader.machine.board.recorded == writer.machine.board.recorded
        assert await reader.entries(0, 9) == await writer.entries(0, 9)
        with pytest.raises(NotWriterError):
            reader.stage(scene.statement(reader))
        with pytest.raises(NotWriterError):
            await reader.renew()
        with pytest.raises(NotWriterError, match=r"first\.example"):
            await reader.promote()

    asyncio.run(scenario())


def test_a_reader_takes_over_and_the_old_writer_follows(scene: Scene, two_stores: Pair) -> None:
    """After its lease the old writer's entries are refused, and it reads what came instead."""
    first, second = two_stores

    async def scenario() -> None:
        old = await scene.founded(first)
        new = BoardHost.load(old.board, scene.hosting(second, SECOND))
        await asyncio.sleep(0.3)
        await old.append(scene.statement(old))  # late, but nobody has taken over
        with pytest.raises(NotWriterError):
            await new.promote()
        await asyncio.sleep(0.3)
        assert await new.promote()
        assert not await new.promote()
        await new.append(scene.statement(new))
        lost = scene.statement(old)
        with pytest.raises(NotWriterError, match=r"second\.example"):
            await old.append(lost)
        assert not old.writes
        with pytest.raises(NotWriterError):
            await old.promote()
        await old.catch_up()
        assert old.head.root() == new.head.root()
        assert lost.statement_digest not in old.machine.board.recorded
        new.close()
        assert await old.promote()
        assert await old.append(lost) == 3
        third = BoardHost.load(old.board, scene.hosting(second, SECOND))
        assert (third.writes, third.head.size) == (False, 4)

    asyncio.run(scenario())


def test_an_idle_writer_learns_from_its_lease_that_it_is_none(
    scene: Scene, two_stores: Pair
) -> None:
    """Renewing tells it; from then on it reads, and nothing that it knew was lost."""
    first, second = two_stores

    async def scenario() -> None:
        old = await scene.founded(first)
        new = BoardHost.load(old.board, scene.hosting(second, SECOND))
        await asyncio.sleep(0.3)
        assert sorted(await asyncio.gather(new.promote(), new.promote())) == [False, True]
        await new.append(scene.statement(new))
        assert old.writes
        with pytest.raises(NotWriterError, match=r"second\.example"):
            await old.renew()
        assert not old.writes
        await old.settled()
        await asyncio.gather(old.catch_up(), old.catch_up())
        assert old.head.root() == new.head.root()
        old.close()

    asyncio.run(scenario())


def test_a_reader_outlives_its_database_being_away(scene: Scene) -> None:
    """A server that does not answer is no damaged log: the next request tries again."""
    store = Away()

    async def scenario() -> None:
        writer = await scene.founded(store)
        reader = BoardHost(
            replay(store, writer.board, save_it=False), scene.hosting(store), fence=None
        )
        await writer.append(scene.statement(writer))
        store.away = True
        with pytest.raises(StoreUnavailableError):
            await reader.catch_up()
        store.away = False
        await reader.catch_up()
        assert reader.head.size == 2

    asyncio.run(scenario())


def test_a_reader_halts_at_an_entry_that_does_not_hold(scene: Scene) -> None:
    """What the state machine refuses is not followed, by whomever it was written."""
    store, other = MemoryStore(), MemoryStore()

    async def scenario() -> None:
        writer = await scene.founded(store)
        for data in store.entries(writer.board):
            fence = other.acquire(writer.board, FIRST)
            other.append(writer.board, 0, [Stored(data)], fence=fence)
        host = BoardHost.load(writer.board, scene.hosting(other))
        foreign = sign_statement("run", {}, [scene.signer])
        bad = Entry(1, host.now(), foreign).to_bytes()
        fence = other.acquire(host.board, SECOND)
        other.append(host.board, 1, [Stored(bad)], fence=fence)
        with pytest.raises(NotWriterError):
            await host.append(scene.statement(host))
        with pytest.raises(StoreIntegrityError):
            await host.catch_up()
        for refused in (host.catch_up(), host.append(foreign)):
            with pytest.raises(ServiceHaltedError):
                await refused

    asyncio.run(scenario())


async def grown(scene: Scene, store: Store, entries: int) -> BoardHost:
    host = await scene.founded(store)
    for _ in range(entries):
        host.stage(scene.statement(host))
    await host.settled()
    return host


@pytest.mark.parametrize("more", [0, 3])
def test_a_start_from_a_saved_state_is_a_start_from_nothing(scene: Scene, more: int) -> None:
    """With the projection, and after it was dropped: the same state, to the digest."""
    store = MemoryStore()
    host = asyncio.run(grown(scene, store, 5))
    host.close()
    assert store.projection(host.board) is not None

    async def go_on() -> None:
        again = BoardHost.load(host.board, scene.hosting(store))
        for _ in range(more):
            await again.append(scene.statement(again))

    asyncio.run(go_on())
    saved = BoardHost.load(host.board, scene.hosting(store))
    store.drop_projections(host.board)
    rebuilt = BoardHost.load(host.board, scene.hosting(store))

    assert state_digest(saved.machine) == state_digest(rebuilt.machine)
    assert saved.head.root() == rebuilt.head.root()
    assert (saved.head.size, saved.head.last_time) == (6 + more, rebuilt.head.last_time)
    assert saved.genesis == rebuilt.genesis == scene.genesis


def test_a_long_replay_is_saved(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that had much to read leaves a state for the next one; a short one does not."""
    monkeypatch.setattr(projection, "SAVE_EVERY", 6)
    store = MemoryStore()
    host = asyncio.run(grown(scene, store, 4))
    BoardHost.load(host.board, scene.hosting(store))
    assert store.projection(host.board) is None
    again = BoardHost.load(host.board, scene.hosting(store))
    again.stage(scene.statement(again))
    again.settle_now()
    BoardHost.load(host.board, scene.hosting(store))
    saved = store.projection(host.board)
    assert saved is not None
    assert saved[0] == 6


def test_a_saved_state_of_another_log_is_refused(scene: Scene) -> None:
    """A projection names the root of its entries: of a fork, or of a log cut since, it is not."""
    store, fork = MemoryStore(), MemoryStore()
    host = asyncio.run(grown(scene, store, 5))
    host.close()
    saved = store.projection(host.board)
    assert saved is not None
    size, data = saved
    shorter = list(store.entries(host.board))[:4]
    fence = fork.acquire(host.board, FIRST)
    fork.append(host.board, 0, [Stored(entry) for entry in shorter], fence=fence)

    def refused(size: int, data: bytes) -> None:
        fork.save_projection(host.board, size, data)
        with pytest.raises(StoreIntegrityError):
            BoardHost.load(host.board, scene.hosting(fork))

    refused(size, data)
    refused(4, data)
    refused(0, data)
    fork.drop_projections(host.board)
    assert BoardHost.load(host.board, scene.hosting(fork)).head.size == 4


def test_a_saved_state_that_cannot_be_read_is_replayed(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """One of another version of the service, or a damaged one, costs time and nothing else."""
    store = MemoryStore()
    host = asyncio.run(grown(scene, store, 5))
    host.close()
    saved = store.projection(host.board)
    assert saved is not None
    size, data = saved
    document = parse_json(data, what="projection", limit=1 << 20)
    assert isinstance(document, dict)
    other_version = canonical_json({**document, "schema": "accord.projection.v9"})
    for unreadable in (other_version, canonical_json({**document, "state": {}}), b"not JSON"):
        caplog.clear()
        store.save_projection(host.board, size, unreadable)
        again = BoardHost.load(host.board, scene.hosting(store))
        assert state_digest(again.machine) == state_digest(host.machine)
        assert again.head.root() == host.head.root()
        assert "is not used" in caplog.text


def test_an_asset_offered_very_often_is_in_the_saved_state(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No list that grows with the log is bounded as a list in a request is."""
    store = MemoryStore()
    host = asyncio.run(scene.founded(store))
    signer = FileIdentity.load(tmp_path / "ann").signer

    async def offer() -> None:
        latest = None
        for number in range(MAX_ITEMS + 1):
            tag = sha256(number.to_bytes(8))
            asset = AssetOffer(
                host.board, "ann/often", AssetKind.SECRET, tag, terms(), predecessor=latest
            )
            envelope = sign_statement("asset", asset.to_json(), [signer])
            host.stage(envelope)
            latest = envelope.statement_digest
        await host.settled()

    asyncio.run(offer())
    host.close()
    again = BoardHost.load(host.board, scene.hosting(store))
    assert len(again.machine.board.assets["ann/often"].deposits) == MAX_ITEMS + 1
    assert state_digest(again.machine) == state_digest(host.machine)
    assert "is not used" not in caplog.text


def test_a_board_without_entries_is_damaged(scene: Scene) -> None:
    """What was founded has a genesis."""
    with pytest.raises(StoreIntegrityError, match="empty"):
        BoardHost.load(sha256(b"nothing"), scene.hosting(MemoryStore()))


def test_the_log_of_another_board_is_refused(scene: Scene) -> None:
    """A sound log under a foreign name is not that board."""
    store, foreign = MemoryStore(), sha256(b"another")
    host = asyncio.run(scene.founded(store))
    batch = [Stored(entry) for entry in store.entries(host.board)]
    store.append(foreign, 0, batch, fence=store.acquire(foreign, FIRST))
    with pytest.raises(StoreIntegrityError, match=host.board):
        BoardHost.load(foreign, scene.hosting(store))


def test_damage_that_the_store_finds_is_told_as_it_is(scene: Scene, two_stores: Pair) -> None:
    """An error of the store about a record is not wrapped into another one."""
    store, other = two_stores
    board = sha256(b"board")
    store.append(board, 0, [Stored(b"x"), Stored(b"y")], fence=store.acquire(board, FIRST))
    with store._pool.connection() as db:
        db.execute("DELETE FROM accord.entry WHERE place = 1")
    with pytest.raises(StoreIntegrityError, match="postgresql"):
        BoardHost.load(board, scene.hosting(other, FIRST))


def test_closing_what_does_not_write_changes_nothing(scene: Scene, two_stores: Pair) -> None:
    """A reader has nothing to save, and a halted writer nothing that is known to be true."""
    first, second = two_stores

    async def scenario() -> None:
        writer = await scene.founded(second)
        reader = BoardHost.load(writer.board, scene.hosting(first, SECOND))
        reader.close()
        assert first.projection(writer.board) is None

    asyncio.run(scenario())


def test_what_everybody_reads_is_the_genesis(scene: Scene) -> None:
    """The first statement is kept, so that nobody has to open the store for it."""
    host = asyncio.run(scene.founded(MemoryStore()))
    assert host.genesis == scene.genesis
    assert sha256(host.genesis.payload) == host.board
