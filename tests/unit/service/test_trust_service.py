# SPDX-License-Identifier: Apache-2.0
"""The trust service without its process: what it keeps, what a crash or a bad disk does to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from tests.support.live import Board, Hardware, make_service
from tests.support.wire import InProcess, problem_code

from accord.board import WHOLE_BOARD, Ballot, Choice, EnactPolicy, ExecutionStop, Proposal
from accord.encoding import Envelope, canonical_json, sha256
from accord.errors import (
    NonceError,
    ServiceHaltedError,
    StoreIntegrityError,
    UnknownRunError,
    UnsupportedFormatError,
)
from accord.evidence import Purpose, Role
from accord.identity import sign_statement
from accord.ledger import Entry, Ledger
from accord.policy import Assurance, Policy
from accord.release import Challenges, RunOutcome, RunStatement, _challenges
from accord.service import MemoryStore, Store
from accord.service._app import _refused
from accord.service._counter import Lives
from accord.service._host import BoardHost
from accord.service._hosting import Hosting
from accord.service._store import Stored


@pytest.fixture
def wire(hardware: Hardware, tmp_path: Path) -> InProcess:
    return InProcess(hardware, tmp_path)


class FullDisk(MemoryStore):
    """A store whose disk is full from some moment on."""

    full = False

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().append(board, first, batch, fence=fence)


def add(store: Store, board: str, index: int, entry: bytes) -> None:
    store.append(board, index, [Stored(entry)], fence=store.acquire(board, "test"))


def hosting(wire: InProcess, store: Store) -> Hosting:
    """What a host needs besides its board, without a service."""
    return Hosting(
        store=store,
        clock=lambda: datetime.now(UTC),
        signer=wire.identity("ann").signer,
        pool=ThreadPoolExecutor(1),
        holder="test",
        lives=Lives(store, None),
    )


def policy(wire: InProcess) -> Policy:
    """A policy that uses nothing."""
    board = Board(wire.root, wire.hardware, "", wire.genesis, ("ann", "bob"), wire.envelope)
    return board.policy({})


def proposal(wire: InProcess, author: str) -> Envelope:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    document = Proposal(
        wire.genesis.digest,
        author,
        "a job",
        wire.genesis.charter.digest,
        (EnactPolicy(policy(wire)),),
        expires,
    )
    return sign_statement("proposal", document.to_json(), [wire.identity(author).signer])


def stop(wire: InProcess, member: str) -> Envelope:
    now = datetime.now(UTC).replace(microsecond=0)
    document = ExecutionStop(wire.genesis.digest, member, WHOLE_BOARD, "a test", now)
    return sign_statement("execution-stop", document.to_json(), [wire.identity(member).signer])


def ballot(wire: InProcess, voter: str, of: Envelope) -> Envelope:
    document = Ballot(wire.genesis.digest, of.statement_digest, voter, Choice.APPROVE, 1)
    return sign_statement("ballot", document.to_json(), [wire.identity(voter).signer])


def test_a_member_reads_the_log_and_its_objects(wire: InProcess) -> None:
    """A signed read returns entries, checkpoint, and the bodies that entries name."""
    log = wire.read("ann", f"{wire.path}/log")
    start, _ = wire.host.machine.started[0]
    evidence = wire.read("bob", f"{wire.path}/objects/{start.evidence.removeprefix('sha256:')}")
    missing = wire.read("bob", f"{wire.path}/objects/{64 * '0'}")

    assert (log.status_code, len(log.json()["entries"])) == (200, 2)
    assert (evidence.status_code, sha256(evidence.content)) == (200, start.evidence)
    assert problem_code(missing.status_code, missing.content) == "accord-SVC-012"


def test_health_is_told_to_everybody(wire: InProcess) -> None:
    """A load balancer needs no key."""
    assert wire.call("GET", "/healthz").json() == {"status": "open"}


def test_founding_twice_is_founding_once(wire: InProcess) -> None:
    """The same genesis again changes nothing."""
    answer = wire.post("/v1/boards", wire.envelope.to_json())

    assert (answer.status_code, wire.host.head.size) == (201, 2)


def test_a_vote_counts_although_the_service_died_first(hardware: Hardware, tmp_path: Path) -> None:
    """Killed between the last vote and the enactment, the next start enacts."""
    rule = {"policy.enact": {"all": ["role:code-owner"]}}
    wire, store = InProcess(hardware, tmp_path, rule), MemoryStore()
    service = make_service(hardware.attester(Role.SERVICE), store=store)
    host = asyncio.run(service.found(wire.envelope))
    proposed = proposal(wire, "bob")
    asyncio.run(service.submit(host, proposed, None))
    entry = Entry(host.head.size, host.now(), ballot(wire, "bob", proposed))
    # What the store holds after a kill at the worst moment: the vote, and nothing after it.
    add(store, host.board, entry.index, host.head.encode_next(entry))
    again = make_service(hardware.attester(Role.SERVICE), store=store)

    assert asyncio.run(again.host(host.board)).machine.board.policy("job") is not None


def test_a_full_disk_halts_the_board_and_loses_nothing(hardware: Hardware, tmp_path: Path) -> None:
    """What could not be made durable is not acknowledged, and nothing after it is accepted."""
    wire, store = InProcess(hardware, tmp_path), FullDisk()
    service = make_service(hardware.attester(Role.SERVICE), store=store)
    host = asyncio.run(service.found(wire.envelope))
    store.full = True
    with pytest.raises(ServiceHaltedError):
        asyncio.run(service.submit(host, stop(wire, "bob"), None))
    store.full = False
    with pytest.raises(ServiceHaltedError):
        asyncio.run(service.submit(host, stop(wire, "ann"), None))
    service = make_service(hardware.attester(Role.SERVICE), store=store)
    again = asyncio.run(service.host(host.board))

    assert again.machine.board.stops == {}


def rewritten(store: MemoryStore, board: str, change: Callable[[list[bytes]], None]) -> MemoryStore:
    entries = list(store.entries(board))
    change(entries)
    copy = MemoryStore()
    for index, entry in enumerate(entries):
        add(copy, board, index, entry)
    return copy


def test_a_stored_log_that_does_not_hold_stops_the_start(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Changed, missing and foreign entries are noticed when the service starts, in words."""
    wire, store = InProcess(hardware, tmp_path), MemoryStore()
    service = make_service(hardware.attester(Role.SERVICE), store=store)
    host = asyncio.run(service.found(wire.envelope))

    def load(damaged: MemoryStore, board: str = host.board) -> None:
        BoardHost.load(
            host.board if board == host.board else sha256(b"other"), hosting(wire, damaged)
        )

    def cut(entries: list[bytes]) -> None:
        del entries[0]

    def flip(entries: list[bytes]) -> None:
        entries[1] = entries[1].replace(b"service-start", b"service-stars", 1)

    for change in (cut, flip):
        with pytest.raises(StoreIntegrityError):
            load(rewritten(store, host.board, change))
    foreign = MemoryStore()
    add(foreign, sha256(b"other"), 0, next(store.entries(host.board)))
    with pytest.raises(StoreIntegrityError):
        load(foreign, sha256(b"other"))


def test_time_does_not_go_back(hardware: Hardware, tmp_path: Path) -> None:
    """A clock that was set back does not date an entry before the one that it follows."""
    wire = InProcess(hardware, tmp_path)
    times = [datetime(2026, 11, 23, 12, tzinfo=UTC)]
    service = make_service(hardware.attester(Role.SERVICE), clock=lambda: times[0])
    host = asyncio.run(service.found(wire.envelope))
    times[0] -= timedelta(days=1)

    assert host.now() == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_members_cannot_say_what_the_service_says(wire: InProcess) -> None:
    """Enactments, releases and starts are the service's own; runs have their own route."""
    signer = wire.identity("ann").signer
    for kind in ("enactment", "release", "service-start", "run", "genesis"):
        with pytest.raises(UnsupportedFormatError):
            asyncio.run(wire.service.submit(wire.host, sign_statement(kind, {}, [signer]), None))
    with pytest.raises(UnsupportedFormatError):
        asyncio.run(wire.service.record_run(wire.host, sign_statement("ballot", {}, [signer])))


def test_a_run_that_was_never_released_cannot_end(wire: InProcess) -> None:
    """A run statement needs a release, and the key that the release attested."""
    now = datetime.now(UTC).replace(microsecond=0)
    statement = RunStatement(
        board=wire.genesis.digest,
        run="run-" + 32 * "0",
        policy_digest=sha256(b"policy"),
        service="train",
        assurance=Assurance.SIMULATED,
        inputs=(),
        outputs=(),
        outcome=RunOutcome.SUCCEEDED,
        started=now,
        finished=now,
    )
    envelope = sign_statement("run", statement.to_json(), [wire.identity("ann").signer])
    with pytest.raises(UnknownRunError):
        asyncio.run(wire.service.record_run(wire.host, envelope))


def test_what_nobody_foresaw_is_answered_with_a_reference(
    wire: InProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is a 500 with a reference; log and answer hold neither message nor traceback."""

    def broken(*_: object) -> None:
        message = "a secret in an exception"
        raise KeyError(message)

    monkeypatch.setattr(wire.service, "challenge", broken)
    with caplog.at_level(logging.ERROR, logger="accord.service"):
        answer = wire.call("POST", f"{wire.path}/challenges", b"{}")

    assert (answer.status_code, answer.json()["code"]) == (500, "accord-SVC-014")
    assert answer.json()["details"]["reference"] in caplog.text
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text + answer.text


def test_only_refusals_are_put_into_problems(wire: InProcess) -> None:
    """The handler of refusals does not swallow anything else."""
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": []})

    async def handle() -> Response:
        return await _refused(request, RuntimeError("x"))

    with pytest.raises(RuntimeError):
        asyncio.run(handle())


def test_nonces_are_limited_in_number_time_and_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many, too old, for another purpose: no."""
    monkeypatch.setattr(_challenges, "MAX_OUTSTANDING", 100)
    counter = iter(range(1 << 20))
    challenges = Challenges(lambda size: next(counter).to_bytes(size))
    now, board = datetime(2026, 1, 1, tzinfo=UTC), sha256(b"board")
    old, _ = challenges.issue(board, Purpose.RELEASE, now=now)
    later = now + timedelta(seconds=121)
    with pytest.raises(NonceError):
        challenges.consume(old, board, Purpose.RELEASE, now=later)
    other, _ = challenges.issue(board, Purpose.LOG, now=now)
    with pytest.raises(NonceError):
        challenges.consume(other, board, Purpose.RELEASE, now=now)
    for _ in range(100):
        challenges.issue(board, Purpose.RELEASE, now=now)
    with pytest.raises(NonceError):
        challenges.issue(board, Purpose.RELEASE, now=now)
    challenges.issue(board, Purpose.RELEASE, now=later)


def test_the_genesis_is_told_to_whoever_names_its_digest(wire: InProcess) -> None:
    """A shield knows the digest alone, and gets the document that hashes to it."""
    answer = wire.call("GET", f"{wire.path}/genesis")

    assert sha256(Envelope.from_bytes(answer.content, what="genesis").payload) == (
        wire.genesis.digest
    )
    assert canonical_json(answer.json()) == answer.content
    assert Ledger().size == 0
