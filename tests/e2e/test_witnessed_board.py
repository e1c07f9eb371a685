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
from tests.support.live import Hardware, accord
from tests.support.moving import Replaying
from tests.support.recovering import VALUE, Elsewhere, Planned, prepared, recovered
from tests.support.witness import FakeWitness
from tests.support.witnessed import Witnessed
from tests.support.witnessing import make_witness, witness_in_thread

from accord.client import MemberHome, TrustSession
from accord.encoding import Envelope
from accord.errors import ExitCode, NotCosignedError, RequestRefusedError
from accord.identity import VerifyKey, open_sealed
from accord.ledger import leaf, leaf_hash, read_entry_bundle, tile_path, verify_checkpoint
from accord.release import GRANT_PURPOSE, Grant, grant_context, log_origin
from accord.secrets import SecretValue
from accord.witness import Limits, WatchedLog, Witness, WitnessKey, WitnessStore, serving
from accord.witness.replay import Replay, ServiceSource


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
        origin = log_origin(board.board)
        self.store.add(WatchedLog(origin, origin, key))


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
        origin = log_origin(board.board)
        seen = verify_checkpoint(note, origin=origin, name=origin, key=key)
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


# --- a board that is recovered ------------------------------------------------------------------


class Reading(Replaying):
    """A witness that replays what the service at the address shows, which its owner named."""

    def __post_init__(self) -> None:
        self.home.mkdir()
        key = WitnessKey.create(self.home, self.name).signer
        examiner = Replay(lambda log: ServiceSource(log, key))
        self.witness = make_witness(self.home, name=self.name, examiner=examiner)

    def told(self, board: Planned, url: str) -> str:
        """Its owner names board and service; what the command prints besides."""
        place = ("--service", url, "--board", board.board)
        added = accord("witness", "add", self.home, *place)
        assert added.exit_code == ExitCode.OK, added.stderr
        return added.stderr

    def hangs_up(self) -> None:
        """Ends its connection to the service, which cannot end in order while it is kept."""
        assert isinstance(self.witness._examiner, Replay)
        self.witness._examiner.close()

    @property
    def log(self) -> WatchedLog:
        [log] = self.witness.store.logs()
        return log


@pytest.fixture
def readers(tmp_path: Path) -> Iterator[list[Reading]]:
    """Three, who are a quorum together."""
    with contextlib.ExitStack() as stack:
        found = [Reading(f"w{n}", tmp_path / f"witness-{n}") for n in range(3)]
        for reader in found:
            reader.url = stack.enter_context(witness_in_thread(reader.witness))
            stack.callback(reader.witness.close)
        yield found


def secret_of(board: Planned, url: str) -> bytes:
    """What an honest shield is granted over the network."""
    shield = board.shield()
    with TrustSession.open(url, board.board) as session:
        request = board.request(shield, nonce=session.challenge())
        sealed, _ = session.release(request)
        context = grant_context(board.board, request.nonce, shield.keyset)
        message = open_sealed(sealed, shield.seal_key, purpose=GRANT_PURPOSE, context=context)
        said = session.said_by_service("grant", Envelope.from_bytes(message, what="grant"))
    [value] = Grant.from_fields(said.fields()).secrets.values()
    return SecretValue.from_bytes(value, what="secret").private


@contextlib.contextmanager
def hung_up(readers: list[Reading]) -> Iterator[None]:
    """Afterwards no witness has a connection to any service."""
    try:
        yield
    finally:
        for reader in readers:
            reader.hangs_up()


def in_the_end(board: Planned, url: str) -> bytes:
    """`secret_of`, as soon as the witnesses have replayed what they had not seen."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return secret_of(board, url)
        except NotCosignedError:
            if time.monotonic() > deadline:
                raise


def test_witnesses_follow_a_recovery_and_the_old_machine_finds_none(
    tmp_path: Path, readers: list[Reading]
) -> None:
    """Backup, machine lost, members recover; what comes back from the old one releases nothing."""
    board = prepared(tmp_path, witnesses=readers)  # type: ignore[arg-type]
    file = tmp_path / "restoring" / "b.backup"
    file.parent.mkdir()
    with board.over_http() as old, hung_up(readers):
        for reader in readers:
            reader.told(board, old)
        assert in_the_end(board, old) == VALUE
        place = ("--url", old, "--board", board.board, "--out", file)
        assert accord("service", "backup", *place).exit_code == ExitCode.OK
    board.service.close()
    before = {reader.log.size for reader in readers}

    third = Elsewhere(board.hardware, file.parent)
    with third.running() as (service, new), contextlib.closing(service), hung_up(readers):
        recovered(board, new, "ann", "bob")
        key = service.keyset.verify_key
        with pytest.raises(NotCosignedError):
            secret_of(board, new)  # They look at the old address still, where nobody answers.
        assert {reader.log.size for reader in readers} == before
        assert all("signs with" in reader.told(board, new) for reader in readers)
        assert in_the_end(board, new) == VALUE
        assert {reader.log.key for reader in readers} == {key}
        former = {
            item.key
            for reader in readers
            for item in reader.witness.store.former_keys(reader.log.origin)
        }
        assert former == {board.service.keyset.verify_key}

        board.restart()  # The old machine is found again.
        with (
            contextlib.closing(board.service),
            board.over_http() as old,
            pytest.raises(NotCosignedError),
        ):
            secret_of(board, old)
        assert {reader.log.key for reader in readers} == {key}
        assert in_the_end(board, new) == VALUE
