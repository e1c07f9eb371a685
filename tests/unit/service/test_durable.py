# SPDX-License-Identifier: Apache-2.0
"""Group commit: one transaction at a time, shared by whoever waits, and an end for all at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from accord.encoding import sha256
from accord.errors import NotWriterError, ServiceHaltedError
from accord.service import MemoryStore
from accord.service._durable import GroupCommit
from accord.service._store import Stored

BOARD = sha256(b"board")


class SlowStore(MemoryStore):
    """A store whose disk waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.failure: Exception | None = None

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        self.sizes.append(len(batch))
        self.begun.release()
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        super().append(board, first, batch, fence=fence)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def commit(store: SlowStore, pool: ThreadPoolExecutor) -> GroupCommit:
    fence = store.acquire(BOARD, "writer")
    return GroupCommit(store, BOARD, size=0, fence=fence, pool=pool)


def test_whoever_comes_meanwhile_shares_the_next_transaction(
    store: SlowStore, commit: GroupCommit
) -> None:
    """Nine entries that arrive during a commit are one more commit, in their order."""
    commit.add(Stored(b"0"))
    assert store.begun.acquire(timeout=10)
    for number in range(1, 10):
        commit.add(Stored(b"%d" % number))
    store.gate.set()
    commit.settle_now()

    assert store.sizes == [1, 9]
    assert list(store.entries(BOARD)) == [b"%d" % number for number in range(10)]
    assert commit.durable == 10


def test_nobody_is_told_before_the_disk_has_it(store: SlowStore, commit: GroupCommit) -> None:
    """`settled` returns after the transaction, and what is durable is known only then."""

    async def scenario() -> None:
        commit.add(Stored(b"0"))
        waiting = asyncio.ensure_future(commit.settled())
        await asyncio.sleep(0.02)
        assert (waiting.done(), commit.durable) == (False, 0)
        store.gate.set()
        await waiting
        assert commit.durable == 1

    asyncio.run(scenario())


def test_with_nothing_to_wait_for_nobody_waits(commit: GroupCommit) -> None:
    """A board without new entries is settled."""
    asyncio.run(commit.settled())
    commit.settle_now()


def test_a_caller_that_goes_away_takes_nobody_along(store: SlowStore, commit: GroupCommit) -> None:
    """Cancelling one of those who wait leaves the transaction and the others alone."""

    async def scenario() -> None:
        commit.add(Stored(b"0"))
        gone = asyncio.ensure_future(commit.settled())
        stays = asyncio.ensure_future(commit.settled())
        await asyncio.sleep(0.02)
        gone.cancel()
        store.gate.set()
        await stays
        assert gone.cancelled()

    asyncio.run(scenario())
    assert list(store.entries(BOARD)) == [b"0"]


def test_a_failed_transaction_is_the_end_for_all(store: SlowStore, commit: GroupCommit) -> None:
    """Those in it, those who wait for the next one, and those who come later are refused."""
    store.failure = OSError(28, "No space left on device")

    async def scenario() -> None:
        commit.add(Stored(b"0"))
        first = asyncio.ensure_future(commit.settled())
        await asyncio.to_thread(store.begun.acquire)
        commit.add(Stored(b"1"))
        second = asyncio.ensure_future(commit.settled())
        await asyncio.sleep(0.02)
        store.gate.set()
        for waiting in (first, second):
            with pytest.raises(ServiceHaltedError):
                await waiting

    asyncio.run(scenario())
    with pytest.raises(ServiceHaltedError):
        commit.add(Stored(b"2"))
    with pytest.raises(ServiceHaltedError):
        commit.settle_now()
    assert (list(store.entries(BOARD)), commit.durable, commit.lost) == ([], 0, False)


def test_a_writer_that_was_replaced_is_told_by_whom(store: SlowStore, commit: GroupCommit) -> None:
    """Another fence than ours: not a failure of the disk, but somebody else's board now."""
    store.gate.set()
    store.acquire(BOARD, "https://other.example")
    commit.add(Stored(b"0"))
    with pytest.raises(NotWriterError, match=r"other\.example"):
        asyncio.run(commit.settled())
    with pytest.raises(NotWriterError):
        commit.add(Stored(b"1"))
    assert commit.lost
