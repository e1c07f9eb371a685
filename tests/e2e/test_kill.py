# SPDX-License-Identifier: Apache-2.0
"""Processes killed without warning: what was acknowledged stays, and a second run goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from tests.support.live import (
    ACCORD,
    Board,
    Hardware,
    ServiceProcess,
    accord,
    found_board,
    release_request,
)

from accord.client import (
    TrustSession,
    issue_token,
    load_ring_entry,
    stop_execution,
    withdraw_asset,
)
from accord.encoding import Digest
from accord.errors import AccordError, AppraisalError, ChannelError
from accord.evidence import Role
from accord.policy import Policy
from accord.release import RunOutcome
from accord.volumes import LocalStore, verify_volume

pytestmark = pytest.mark.e2e

ROUNDS = 4


class Writer:
    """Ann, who keeps handing in statements and writes down what was acknowledged."""

    def __init__(self, board: Board) -> None:
        self._board, self._stop = board, threading.Event()
        self.acknowledged: dict[Digest, int] = {}
        self.failures: list[AccordError] = []
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                self._board.offer("ann", "data")
                self._note()
                member = self._board.member("ann")
                with member.connect() as session:
                    _, machine, _ = member.read(session)
                    withdraw_asset(member, session, machine, "data")
                self._note()
            except ChannelError as exc:
                self.failures.append(exc)
                time.sleep(0.01)

    def _note(self) -> None:
        """Reads the log: whatever was shown to a member must never be lost again."""
        member = self._board.member("ann")
        with member.connect() as session:
            ledger, _, _ = member.read(session)
        for index in range(ledger.size):
            self.acknowledged[ledger.entry(index).envelope.statement_digest] = index


def test_nothing_acknowledged_is_lost_when_the_service_is_killed(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """Killed again and again under load, the service still has every entry in its place."""
    chance = random.Random(5)  # noqa: S311 - moments, not secrets
    board = found_board(tmp_path / "board", hardware, service.start().url)
    for _ in range(ROUNDS):
        with Writer(board) as writer:
            time.sleep(chance.uniform(0.1, 0.5))
            service.kill()
            time.sleep(0.05)
        board.url = service.start().url
        member = board.member("ann")
        with member.connect() as session:
            ledger, _, _ = member.read(session)

        assert writer.acknowledged
        found = {ledger.entry(i).envelope.statement_digest: i for i in range(ledger.size)}
        assert writer.acknowledged.items() <= found.items()


def test_votes_take_effect_although_the_service_is_killed(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """However a kill falls between the last vote and its enactment, the policy is enacted."""
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    board = found_board(tmp_path / "board", hardware, service.start().url)
    tag = board.offer("ann", "data")
    before = None
    for number in range(ROUNDS):
        policy = board.policy({"ann/data": tag}, command=("true", str(number)))
        if before is not None:
            policy = type(policy).from_json({**policy.to_json(), "predecessor": before})
        proposal = board.propose("bob", policy)
        killer = threading.Timer(chance.uniform(0.0, 0.06), service.kill)
        killer.start()
        for name in board.names:
            _vote_until_counted(service, board, name, proposal)
        killer.join()
        if service.process is None or service.process.poll() is not None:
            board.url = service.start().url
        member = board.member("bob")
        with member.connect() as session:
            _, machine, _ = member.read(session)
        enacted = machine.board.policy("job")

        assert enacted is not None
        assert policy.digest == enacted.digest
        before = policy.digest


def _vote_until_counted(service: ServiceProcess, board: Board, name: str, proposal: str) -> None:
    for _ in range(50):
        try:
            board.vote(proposal, name)
        except ChannelError:
            if service.process is None or service.process.poll() is not None:
                board.url = service.start().url
        else:
            return
    pytest.fail("the vote was never accepted")


# --- the shield -----------------------------------------------------------------------------

PROGRAM = """\
import sys, time, pathlib
text = pathlib.Path("/in/ann-data/file.txt").read_text()
pathlib.Path("/out/model/model.txt").write_text(text.upper())
time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def job(board: Board) -> Board:
    """A board whose policy runs a program for a second."""
    tags = {"ann/data": board.offer("ann", "data", text="the canary patient\n")}
    program = board.root / "program"
    program.mkdir()
    board.enact(tags, command=("python", "-c", PROGRAM, "1"))
    return board


def shield_command(board: Board) -> list[str]:
    return [
        *ACCORD, "shield", "run", "--service-url", board.url,
        "--board", board.genesis.digest, "--policy", "job", "--service", "train",
        "--storage", str(board.storage), "--simulated", str(board.hardware.compute_host),
        "--json",
    ]  # fmt: skip


def test_a_shield_killed_at_any_moment_leaves_nothing_in_the_open(
    job: Board, tmp_path: Path
) -> None:
    """No plaintext file, no mount and no process stays; the volume is whole, a new run works."""
    chance = random.Random(11)  # noqa: S311 - moments, not secrets
    scratch = tmp_path / "compute-host"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}
    for _ in range(ROUNDS):
        with subprocess.Popen(
            shield_command(job),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as shield:
            time.sleep(chance.uniform(0.2, 1.6))
            shield.send_signal(signal.SIGKILL)
        time.sleep(0.2)

        places = [scratch, job.storage]
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        assert [path for path in scratch.rglob("*") if path.is_file()] == []
        assert not any(b"canary" in path.read_bytes() for path in files)
        assert str(scratch) not in Path("/proc/self/mounts").read_text()
        assert _processes_with(b"/in/ann-data/file.txt") == []

    entry = load_ring_entry(job.home("ann"), "data")
    assert entry.tag is not None
    store = LocalStore(job.storage / entry.volume_id)
    verify_volume(store, key=entry.key, volume_id=entry.volume_id, tag=entry.tag)
    finished = subprocess.run(
        shield_command(job), env=environment, capture_output=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    run = json.loads(finished.stdout)["run"]
    fetched = accord(
        *("job", "fetch", run, "model", "--to", tmp_path / "model", "--home", job.home("ann")),
        *("--storage", job.storage, "--json"),
        environment={"ACCORD_SERVICE": job.url},
    )
    assert (
        fetched.exit_code,
        (tmp_path / "model" / "model.txt").read_text(),
    ) == (0, "THE CANARY PATIENT\n")


def _processes_with(words: bytes) -> list[int]:
    """Processes whose command line has these words, but for this test's own."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if words in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_a_program_that_fails_leaves_no_output(board: Board) -> None:
    """A program that ends with an error is recorded, and nothing that it wrote is kept."""
    tags = {"ann/data": board.offer("ann", "data")}
    script = "open('/out/model/x', 'w').write('partial'); raise SystemExit(9)"
    board.enact(tags, command=("python", "-c", script))
    volumes = set(board.storage.iterdir())
    refused = accord(*shield_command(board)[3:])

    assert (refused.exit_code, refused.document["code"]) == (1, "accord-SHD-021")
    assert volumes == set(board.storage.iterdir())
    member = board.member("bob")
    with member.connect() as session:
        _, machine, _ = member.read(session)
    (record,) = machine.runs.values()
    assert record.statement is not None
    assert (record.statement.outcome, record.statement.outputs) == (RunOutcome.FAILED, ())


def test_a_shield_that_measures_differently_gets_nothing(job: Board) -> None:
    """An environment that the policy does not name is refused, and no use is counted."""

    other = job.hardware.attester(Role.SHIELD, mrtd=bytes(48))
    with TrustSession.attest(job.url, job.genesis) as session:
        with pytest.raises(AppraisalError):
            session.release(release_request(job, other, session))
        member = job.member("ann")
        _, machine, _ = member.read(session)

    assert machine.runs == {}


# --- a leased run with secrets, a certificate and an instance token ---------------------------


def leased(board: Board, script: str) -> None:
    """Puts a policy in force for a service that gets everything that a service can get."""
    document = board.policy({"ann/data": board.offer("ann", "data")}).to_json()
    files = [
        {"at": "/run/app/word", "content": "{{ accord.word }}"},
        {"at": "/run/tls/key.pem", "content": "{{ accord.identity:privatekey }}"},
        {"at": "/run/tls/chain.pem", "content": "{{ accord.identity:chain }}"},
        {"at": "/run/tls/root.pem", "content": "{{ accord.authority }}"},
    ]
    service = {
        **document["services"]["train"],
        "command": ["/bin/sh", "-c", script],
        "environment": {"WORD": "{{ accord.word }}"},
        "files": files,
        "lease_s": 10,
        "singleton": True,
        "identity": True,
        "channel": "L2",
    }
    policy = Policy.from_json(
        {
            **document,
            "authority": True,
            "secrets": {"word": {"kind": "ascii", "size": 24}},
            "services": {"train": service},
        }
    )
    board.vote(board.propose("ann", policy), *board.names)


def token_for(board: Board) -> str:
    """An instance token of an owner, as `accord shield run --token-file` reads it."""
    member, expires = board.member("ann"), datetime.now(UTC) + timedelta(hours=1)
    with member.connect() as session:
        return issue_token(member, session, policy="job", service="train", expires=expires).hex()


def test_everything_that_a_service_can_get_reaches_it(board: Board, tmp_path: Path) -> None:
    """Secret, certificate and authority are there, once for each instance token."""
    leased(board, 'cp /run/tls/*.pem /run/app/word /out/model; printf %s "$WORD" > /out/model/env')
    token = token_for(board)
    command = [*shield_command(board)[3:], "--token-file", "-"]
    report = accord(*command, stdin=token)
    again = accord(*command, stdin=token)

    assert (report.exit_code, report.document["channel"]) == (0, "L2")
    assert (again.exit_code, again.document["code"]) == (4, "accord-REL-014")
    fetched = accord(
        *("job", "fetch", report.document["run"], "model", "--to", tmp_path / "model"),
        *("--home", board.home("ann"), "--storage", board.storage, "--json"),
        environment={"ACCORD_SERVICE": board.url},
    )
    assert fetched.exit_code == 0, fetched.stderr
    seen = {path.name: path.read_text() for path in (tmp_path / "model").iterdir()}
    assert (len(seen["word"]), seen["word"]) == (24, seen["env"])
    assert seen["word"] not in report.stdout + report.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(tmp_path / "model/chain.pem", tmp_path / "model/key.pem")
    context.load_verify_locations(tmp_path / "model/root.pem")


def test_a_member_stops_a_run_within_its_lease(board: Board, tmp_path: Path) -> None:
    """The program is dead a second after its lease at the latest, and the log says how it ended."""
    marker = f"stopped-by-ann-{os.getpid()}"
    leased(board, f"trap '' TERM; : {marker}; sleep 60")
    token = tmp_path / "token"
    token.write_text(token_for(board))
    command = [*shield_command(board), "--token-file", str(token)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shield:
        deadline = time.monotonic() + 30
        while not _processes_with(marker.encode()) and time.monotonic() < deadline:
            time.sleep(0.05)
        ann = board.member("ann")
        with ann.connect() as session:
            stop_execution(ann, session, "board", "an incident", now=datetime.now(UTC))
        stopped = time.monotonic()
        while _processes_with(marker.encode()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert time.monotonic() - stopped <= 10 + 1
        said, _ = shield.communicate(timeout=30)
    assert (shield.returncode, json.loads(said)["code"]) == (4, "accord-SHD-010")
    with ann.connect() as session:
        _, machine, _ = ann.read(session)
    (record,) = machine.runs.values()
    assert record.statement is not None
    assert (record.statement.outcome, record.statement.outputs) == (RunOutcome.FAILED, ())
