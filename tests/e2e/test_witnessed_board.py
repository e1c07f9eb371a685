# SPDX-License-Identifier: Apache-2.0
"""A board whose witnesses are real daemons: members see what was cosigned, anybody reads tiles."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.support.live import Hardware
from tests.support.witness import FakeWitness
from tests.support.witnessed import Witnessed

from accord.client import MemberHome, TrustSession
from accord.errors import RequestRefusedError
from accord.identity import VerifyKey
from accord.ledger import leaf, leaf_hash, read_entry_bundle, tile_path, verify_checkpoint
from accord.release import LOG_NAME, log_origin
from accord.witness import Limits, WatchedLog, Witness, WitnessKey, WitnessStore, serving


@dataclass
class RealWitness(FakeWitness):
    """The daemon of `accord witness serve`, in a thread."""

    home: Path = Path()

    @contextlib.contextmanager
    def running(self) -> Iterator[RealWitness]:
        key = WitnessKey.create(self.home, self.name)
        self.signer = key.signer
        self.store = WitnessStore(self.home)
        witness = Witness(self.store, key, clock=lambda: int(time.time()))
        loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

        async def serve() -> None:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                async with serving(
                    witness, listener, told=lambda *_: None, limits=Limits()
                ) as self.url:
                    started.set()
                    await stop.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        assert started.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
            self.store.close()

    def watch(self, board: Witnessed) -> None:
        key = board.service.keyset.verify_key
        self.store.add(WatchedLog(log_origin(board.board), LOG_NAME, key))


@pytest.fixture
def board(hardware: Hardware, tmp_path: Path) -> Iterator[Witnessed]:
    with contextlib.ExitStack() as stack:
        witnesses = []
        for n in range(3):
            home = tmp_path / f"witness-{n}"
            home.mkdir()
            real = RealWitness(f"w{n}", f"group-{n}", home=home)
            witnesses.append(stack.enter_context(real.running()))
        served = Witnessed(
            hardware, tmp_path, witnesses=list(witnesses), quorum=2, faulty=0, introduced=False
        )
        stack.callback(served.close)
        for witness in witnesses:
            witness.watch(served)
        served.ready()
        yield served


def test_members_see_how_far_a_quorum_has_seen_the_log(board: Witnessed) -> None:
    """A member's home checks the cosignatures, keeps them, and says how far and until when."""
    board.release()
    start = time.time()
    with board.over_http() as url:
        MemberHome.join(board.root / "ann", board.genesis, url)
        member = MemberHome.load(board.root / "ann")
        with member.connect() as session:
            ledger, machine, _ = member.read(session)
            found = member.cosigned(ledger, machine)
            said = session.status(member.identity.signer)
    assert found is not None
    assert found.size == ledger.size
    assert abs(found.time.timestamp() - start) < 60
    assert len(found.witnesses) >= 2
    assert isinstance(said, dict)
    freshness = said["freshness"]
    assert isinstance(freshness, dict)
    assert (freshness["cosigned"], freshness["fork"]) == (ledger.size, None)


def test_anybody_reads_checkpoint_and_tiles(board: Witnessed) -> None:
    """The tree is public: C2SP paths, digests only, and the checkpoint's root over them."""
    board.release()
    key: VerifyKey = board.service.keyset.verify_key
    with board.over_http() as url, httpx.Client(verify=False) as client:  # noqa: S501 - public
        base = f"{url}/v1/boards/{board.board.removeprefix('sha256:')}"
        note = client.get(f"{base}/checkpoint").content
        seen = verify_checkpoint(note, origin=log_origin(board.board), name=LOG_NAME, key=key)
        bundle = client.get(f"{base}/{tile_path(None, 0, seen.size)}").content
        hashes = client.get(f"{base}/{tile_path(0, 0, seen.size)}").content
        beyond = client.get(f"{base}/{tile_path(0, 0, seen.size + 1)}").status_code
        nonsense = client.get(f"{base}/tile/0/1").status_code
    leaves = read_entry_bundle(bundle, width=seen.size)
    assert b"".join(map(leaf_hash, leaves)) == hashes
    entries = asyncio.run(board.host.entries(0, seen.size))
    assert leaves == tuple(map(leaf, entries))
    assert board.host.head.root(seen.size) == seen.root
    assert (beyond, nonsense) == (404, 404)
    assert not any(hashlib.sha256(entry).digest() in leaf(entry) for entry in entries)


def test_witnesses_read_the_log_and_strangers_do_not(board: Witnessed, tmp_path: Path) -> None:
    """A witness in force replays entries with its own key; it sees no view of the board."""
    witness = board.witnesses[0]
    with board.over_http() as url, TrustSession.open(url, board.board) as session:
        size = board.host.durable_size
        entries = list(session.read_entries(witness.signer, start=1, size=size))
        assert len(entries) == size - 1
        with pytest.raises(RequestRefusedError):
            session.status(witness.signer)
        stranger = FakeWitness("s", "s")
        with pytest.raises(RequestRefusedError):
            list(session.read_entries(stranger.signer, start=1, size=size))
