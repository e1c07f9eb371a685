# SPDX-License-Identifier: Apache-2.0
"""A board moves from one running trust service to another of other code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.live import Finished, Hardware, ServiceProcess, accord, make_genesis
from tests.support.moving import (
    NEXT,
    Machine,
    attested,
    log_of,
    movable,
    moved,
    replaying,
    settled_at,
    value_of,
    variants,
)
from tests.support.recovering import VALUE, Elsewhere, Planned, recovered

import accord as accord_package
from accord.board import Genesis
from accord.bundle import named_evidence, object_name, verify_log
from accord.client import (
    AttestedService,
    MemberHome,
    ServicePins,
    TrustSession,
    follow,
    follow_board,
    next_service,
)
from accord.errors import (
    AppraisalError,
    BoardMovedError,
    ExitCode,
    NotHandedOverError,
    ServiceChangedError,
    UnreachableError,
)
from accord.evidence import Evidence, Role, appraise, verify
from accord.identity import FileIdentity, sign_statement
from accord.policy import AttestationVariant
from accord.release import Lease, RunOutcome, RunStatement, log_origin
from accord.shield import Job
from accord.shield._job import open_session
from accord.shield._launch import _record
from accord.shield._lease import LeaseKeeper, ask_for_renewal, boot_time
from accord.shield._receive import Received, receive
from accord.shield._way import Way
from accord.witness import WatchedLog
from accord.witness.replay import ServiceSource


def test_a_board_moves_to_a_service_of_other_code(tmp_path: Path) -> None:
    """Log, secrets and uses are there; the old service writes nothing and says where it went."""
    board = movable(tmp_path)
    board.release()
    before = log_of(board.service, board.board)
    there = Machine(board.hardware)
    with board.over_http() as old, there.running() as (service, new):
        done = moved(board, old, new)
        bob = board.member("bob", old)
        with bob.connect() as session:
            with pytest.raises(BoardMovedError) as told:
                bob.read(session)
            assert session.status(bob.identity.signer)["freshness"] == {"state": "handed-over"}
        assert told.value.details["url"] == new
        followed = follow_board(bob)
        assert MemberHome.load(bob.identity.home).service == followed.service == new
    assert done.size == len(before)
    assert log_of(service, board.board)[: len(before)] == before
    assert len(log_of(board.service, board.board)) == len(before) + 1
    settled_at(board, service, there)
    assert board.host.writes
    assert value_of(board.release()) == VALUE
    assert max(board.host.machine.uses.values()) == 2


def test_what_both_services_released_is_proved_from_one_log(tmp_path: Path) -> None:
    """Whoever verifies the log later has the evidence of each, and follows the change of key."""
    board = movable(tmp_path)
    board.release()
    there = Machine(board.hardware)
    with board.over_http() as old, there.running() as (service, new):
        moved(board, old, new)
    settled_at(board, service, there)
    board.release()
    entries = log_of(service, board.board)
    objects = {}
    for digest in named_evidence(entries):
        body = there.store.object(board.board, digest)
        assert body is not None
        objects[object_name(digest)] = body
    note = board.host.checkpoint()
    proved = verify_log(entries, note=note, objects=objects, genesis=board.board)
    assert len(proved.replayed.machine.runs) == 2
    gone = board.host.machine.handover
    assert gone is not None
    evidence = there.store.object(board.board, gone.evidence)
    assert evidence is not None
    now = datetime.now(UTC)
    anchors = board.genesis.anchors
    claims = verify(Evidence.from_bytes(evidence), anchors=anchors, now=now, binding=gone.binding)
    assert appraise(claims, gone.accepted, now=now).claims.measurements["mrtd"] == NEXT


def test_a_board_moves_back_to_where_it_was(tmp_path: Path) -> None:
    """The first service continues the log that it has, with what was written elsewhere."""
    board = movable(tmp_path)
    first, there = board.service, Machine(board.hardware)
    with board.over_http() as old, there.running() as (service, new):
        moved(board, old, new)
        follow_board(board.member("ann", old))
        moved(board, new, old)
        follow_board(board.member("ann", new))
        bob = board.member("bob", old)
        with bob.connect() as session:
            bob.read(session)
    assert service.keyset.verify_key in board.host.machine.log_keys
    assert log_of(first, board.board)[: len(log_of(service, board.board))] == log_of(
        service, board.board
    )
    assert value_of(board.release()) == VALUE


def test_a_witnessed_board_moves_and_its_witnesses_follow(tmp_path: Path) -> None:
    """They cosign the hand-over by the old key, and from then on the new key alone."""
    with replaying(tmp_path) as witnesses:
        board = movable(tmp_path, witnesses=witnesses)
        board.release()
        there = Machine(board.hardware)
        for witness in witnesses:
            witness.stores.append(there.store)
        with board.over_http() as old, there.running() as (service, new):
            moved(board, old, new)
            follow_board(board.member("bob", old))
        board.service.close()
        settled_at(board, service, there)
        assert value_of(board.release()) == VALUE
        for witness in witnesses:
            [log] = witness.witness.store.logs()
            assert log.key == service.keyset.verify_key
        service.close()


def test_a_witness_reads_the_log_from_a_service_of_other_code(tmp_path: Path) -> None:
    """By the charter that it replayed or, started again, by the key that the log has now."""
    board = movable(tmp_path)
    there = Machine(board.hardware)
    reader = board.identity("ann").signer
    origin = log_origin(board.board)
    with board.over_http() as old, there.running() as (service, new):
        done = moved(board, old, new)
        before = WatchedLog(origin, origin, board.service.keyset.verify_key, board.board, new)
        accepted = board.host.machine.board.charter.service

        def read(log: WatchedLog, known: Sequence[AttestationVariant] = ()) -> list[bytes]:
            source = ServiceSource(log, reader)
            try:
                return list(source.entries(0, done.size, known))
            finally:
                source.close()

        with pytest.raises(AppraisalError):
            read(before)
        following = read(before, accepted)
        again = read(replace(before, key=done.key))
    assert following == again == log_of(service, board.board)[: done.size]


def test_who_was_away_follows_without_the_service_before(tmp_path: Path) -> None:
    """The old one is switched off: a home that read of the vote attests the new one by it."""
    board = movable(tmp_path)
    there = Machine(board.hardware)
    with board.over_http() as old, there.running() as (_, new):
        bob = board.member("bob", old)
        with bob.connect() as session:
            bob.read(session)
        moved(board, old, new)
    with there.running() as (_, new):
        gone = board.member("bob", old)
        with pytest.raises(UnreachableError):
            follow_board(gone)
        assert follow_board(gone, url=new).service == new


def test_where_nothing_was_handed_over_there_is_nobody_to_follow(tmp_path: Path) -> None:
    """And whoever is at the named address must be who was named."""
    board = movable(tmp_path)
    there, other = Machine(board.hardware), Machine(board.hardware)
    with board.over_http() as old, there.running() as (_, new):
        with attested(board, old) as session, pytest.raises(NotHandedOverError):
            next_service(session)
        moved(board, old, new)
        with attested(board, old) as session, follow(session) as found:
            assert found.keyset.verify_key != session.keyset.verify_key
        port = int(new.rpartition(":")[2])
    with (
        board.over_http() as old,
        other.running(port=port),
        attested(board, old) as session,
        pytest.raises(ServiceChangedError),
    ):
        follow(session)


# --- programs that run meanwhile ----------------------------------------------------------------


def job_at(board: Planned, url: str, root: Path) -> Job:
    return Job(url, board.board, "job", "train", root / "storage", root / "memory")


def released(board: Planned, job: Job) -> tuple[Received, Way]:
    """What an honest shield gets, and its way back."""
    with open_session(job) as session:
        attester = board.hardware.attester(Role.SHIELD)
        return receive(session, job, attester), Way(job, session.keyset.verify_key)


def test_a_running_program_keeps_its_lease_through_the_change(tmp_path: Path) -> None:
    """It renews at the old address, is sent on, attests what it is sent to, and goes on there."""
    board = movable(tmp_path)
    there, attester = Machine(board.hardware), board.hardware.attester(Role.SHIELD)
    leases: list[Lease] = []
    with board.over_http() as old, there.running() as (service, new):
        job = job_at(board, old, tmp_path)
        received, way = released(board, job)

        def renew() -> Lease:
            return ask_for_renewal(
                job,
                attester,
                run=received.grant.run,
                keyset=received.keyset,
                signer=received.signer,
                way=way,
            )

        with LeaseKeeper(
            run=received.grant.run,
            lease_s=3,
            asked=received.asked,
            renew=renew,
            renewed=leases.append,
        ) as lease:
            moved(board, old, new)
            until = boot_time() + 5
            while boot_time() < until:
                assert lease.holds()
                time.sleep(0.05)
    assert len(leases) >= 2
    settled_at(board, service, there)
    record = board.host.machine.runs[received.grant.run]
    assert record.lease_until == leases[-1].until


def test_a_run_that_ends_after_the_change_is_recorded_there(tmp_path: Path) -> None:
    """Its statement finds its way, and so does what starts with the old address."""
    board = movable(tmp_path)
    there = Machine(board.hardware)
    with board.over_http() as old, there.running() as (service, new):
        job = job_at(board, old, tmp_path)
        with open_session(job) as session:
            received = receive(session, job, board.hardware.attester(Role.SHIELD))
            moved(board, old, new)
            now = datetime.now(UTC).replace(microsecond=0)
            statement = RunStatement(
                board=board.board,
                run=received.grant.run,
                policy_digest=received.grant.policy_digest,
                service="train",
                assurance=received.grant.assurance,
                inputs=(),
                outputs=(),
                outcome=RunOutcome.FAILED,
                started=now,
                finished=now,
            )
            envelope = sign_statement("run", statement.to_json(), [received.signer])
            with Way(job, session.keyset.verify_key) as way:
                index = _record(session, way, envelope)
                assert _record(way.keep(way.open()), way, envelope) == index
    settled_at(board, service, there)
    assert board.host.machine.runs[received.grant.run].statement is not None


# --- when the new machine is lost ---------------------------------------------------------------


async def never(*_: object) -> None:
    """What the machine is like that nobody reaches any more."""
    raise UnreachableError(url="https://lost.example", detail="it is gone")


@pytest.mark.parametrize("witnessed", [False, True])
def test_the_new_machine_dies_for_good_and_members_recover_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, witnessed: bool
) -> None:
    """At the worst moment: it is named in the log and never came; the old one can be backed up."""
    with replaying(tmp_path) as witnesses:
        board = movable(tmp_path, witnesses=witnesses if witnessed else ())
        lost, third = Machine(board.hardware), Elsewhere(board.hardware, tmp_path / "restoring")
        for witness in witnesses:
            witness.stores.append(third.store)
        with board.over_http() as old, lost.running() as (service, new):
            monkeypatch.setattr(service.arrivals, "take", never)
            with pytest.raises(UnreachableError):
                moved(board, old, new)
        board.back_up(tmp_path / "restoring" / "b.backup")
        board.service.close()
        with third.running() as (service, url):
            recovered(board, url, "ann", "bob")
        settled_at(board, service, third)
        assert board.host.machine.log_key == service.keyset.verify_key
        if not witnessed:
            assert value_of(board.release()) == VALUE
        service.close()


# --- as it is typed, and killed -----------------------------------------------------------------


@dataclass
class OtherCode(ServiceProcess):
    """A trust service of other code: a copy of this package with one more file."""

    def __post_init__(self) -> None:
        source = self.folder.parent / "other-code"
        if not source.exists():
            shutil.copytree(
                Path(accord_package.__file__).parent,
                source / "accord",
                ignore=shutil.ignore_patterns("__pycache__"),
            )
            (source / "accord" / "_next.py").write_text("# The next version.\n")
        self.path = str(source)

    def start(self) -> ServiceProcess:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", self.path)
            self.claims = False
            return super().start()

    @property
    def mrtd(self) -> bytes:
        """What the simulated TEE measures there."""
        script = "from accord.testing._measure import measure_code; print(measure_code().hex())"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": self.path},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return bytes.fromhex(done.stdout)


@pytest.mark.parametrize("killed", ["neither", "old", "new"])
def test_the_command_moves_a_board_between_processes(
    hardware: Hardware, service: ServiceProcess, tmp_path: Path, killed: str
) -> None:
    """Two measurements, two folders; killed with -9 in the middle, the same command goes on."""
    service.start()
    following = OtherCode(hardware, tmp_path / "next")
    try:
        both = variants(hardware, following.mrtd)
        made, _ = make_genesis(tmp_path, hardware)
        document = {**made.to_json(), "service": [variant.to_json() for variant in both]}
        genesis = Genesis.from_json(document)
        people = [FileIdentity.load(tmp_path / name).signer for name in ("ann", "bob")]
        with TrustSession.attest(service.url, genesis) as session:
            session.found(sign_statement("genesis", genesis.to_json(), people))
        for name in ("ann", "bob"):
            MemberHome.join(tmp_path / name, genesis, service.url)
        following.start()
        pins = ServicePins(genesis.anchors, both)
        with AttestedService.attest(following.url, pins) as fresh:
            fresh.claim(FileIdentity.create(tmp_path / "owner-of-next", "owner"))

        def move() -> Finished:
            return accord(
                *("service", "handover", "--home", tmp_path / "ann", "--json"),
                *("--from", service.url, "--to", following.url),
            )

        if killed != "neither":
            _killed_in_the_middle(service, {"old": service, "new": following}[killed], move)
            {"old": service, "new": following}[killed].start()
        done = move()
        assert done.exit_code == ExitCode.OK, done.stderr
        assert done.document["service"] == following.url
        shown = accord("proposal", "list", "--home", tmp_path / "ann")
        assert shown.exit_code == ExitCode.OK, shown.stderr
        MemberHome.join(tmp_path / "bob", genesis, service.url)
        told = accord("proposal", "list", "--home", tmp_path / "bob")
        assert (told.exit_code, BoardMovedError.code in told.stderr) == (ExitCode.DENIED, True)
        followed = accord("service", "follow", "--home", tmp_path / "bob")
        assert followed.exit_code == ExitCode.OK, followed.stderr
        assert accord("proposal", "list", "--home", tmp_path / "bob").exit_code == ExitCode.OK
    finally:
        following.kill()


def _killed_in_the_middle(
    service: ServiceProcess, victim: ServiceProcess, move: Callable[[], Finished]
) -> None:
    """Once the entry is in the log, one of them is killed; how far the other came is chance."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(move)
        while "handed over" not in service.log.read_text() and not running.done():
            time.sleep(0.001)
        victim.kill()
        running.result(timeout=120)
