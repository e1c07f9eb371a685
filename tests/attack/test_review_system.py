# SPDX-License-Identifier: Apache-2.0
"""Attacks on whole processes, as a hostile review found them.

A program that spells data through its shield, a peer that was never attested, an owner's key
that a simulated service asks for, and a stranger who sends copies of what was recorded.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.live import (
    Board,
    Finished,
    Hardware,
    ServiceProcess,
    accord,
    make_genesis,
    terms_document,
)

from accord.board import Genesis
from accord.channel import TLSIdentity, from_problem, to_problem
from accord.client import MemberHome, TrustSession, seal_asset
from accord.encoding import Envelope
from accord.errors import (
    AccordError,
    ExitCode,
    NoPolicyError,
    NotAttestedError,
    ReplyError,
    SignatureInvalidError,
    catalogue,
)
from accord.policy import Policy
from accord.release import Machine, RunOutcome

pytestmark = pytest.mark.e2e

RECORD = "annhivpositive"
"""What the records say of one patient: no operator may read it, in any spelling below."""

READ = "import os; d = open('/in/ann-data/file.txt').read().strip(); os.chdir('/out/model'); "


@dataclass(frozen=True)
class Operator:
    """Whoever runs the shield: sees its words, its disk and the board's log."""

    board: Board
    service: ServiceProcess
    scratch: Path

    def run(self, script: str, *flags: str) -> Finished:
        """`accord shield run` over a policy that runs ``script``."""
        tags = {"ann/data": self.board.offer("ann", "data", text=f"{RECORD}\n")}
        self.board.enact(tags, command=("python", "-c", script))
        return self.run_again(*flags)

    def run_again(self, *flags: str) -> Finished:
        self.scratch.mkdir(exist_ok=True)
        return accord(
            *("shield", "run", "--service-url", self.board.url),
            *("--board", self.board.genesis.digest, "--policy", "job", "--service", "train"),
            *("--storage", self.board.storage, "--simulated", self.board.hardware.compute_host),
            *flags,
            environment={"TMPDIR": str(self.scratch)},
        )

    def read(self) -> tuple[Machine, list[bytes]]:
        """The log as a member sees it: more than the operator can."""
        member = self.board.member("bob")
        with member.connect() as session:
            ledger, machine, _ = member.read(session)
            return machine, [ledger.entry(index).envelope.payload for index in range(ledger.size)]

    def job_show(self, run: str) -> Finished:
        home = self.board.home("bob")
        return accord("job", "show", run, "--home", home, "--json")

    def holds(self, words: str) -> list[str]:
        """The files, or names of files, of the operator in which ``words`` can be read."""
        found = []
        for place in (self.board.storage, self.scratch, self.service.folder):
            for path in place.rglob("*"):
                seen = os.fsencode(path)
                if path.is_symlink():
                    seen += os.fsencode(path.readlink())
                elif path.is_file():
                    seen += path.read_bytes()
                if any(spelling in seen for spelling in spellings(words)):
                    found.append(str(path))
        return found


def spellings(words: str) -> list[bytes]:
    data = words.encode()
    return [data, data.hex().encode(), base64.b64encode(data).rstrip(b"="), data[:8]]


def shows(said: Finished, words: str) -> bool:
    return any(item in (said.stdout + said.stderr).encode() for item in spellings(words))


@pytest.fixture
def operator(board: Board, shared_service: ServiceProcess, tmp_path: Path) -> Operator:
    return Operator(board, shared_service, tmp_path / "scratch")


# --- what a program can make its shield say ---------------------------------------------------

NAMES = READ + "[(os.mkdir(d), os.chdir(d)) for _ in range(5)]; "
PLANTS = {
    "symlink": NAMES + "os.symlink(d, d)",
    "pipe": NAMES + "os.mkfifo(d)",
    "second name": NAMES + "open(d, 'w').close(); os.link(d, d + '2')",
    "terminal": NAMES + "open(d + chr(27) + '[2J', 'w').close()",
    "deep": READ + "[(os.mkdir(d), os.chdir(d)) for _ in range(60)]",
    "printed": READ + "import sys; print(d); print(d, file=sys.stderr); raise SystemExit(d)",
    "raised": READ + "raise ValueError(d)",
}


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["words", "json"])
@pytest.mark.parametrize("name", ["symlink", "raised"])
def test_program_cannot_make_the_shield_quote_a_record(
    operator: Operator, name: str, flags: tuple[str, ...]
) -> None:
    """Records as names of directories, links and errors: the operator reads none of them."""
    said = operator.run(PLANTS[name], *flags)
    code = "accord-SHD-004" if name == "symlink" else "accord-SHD-021"

    assert said.exit_code != 0
    assert code in said.stdout + said.stderr
    _nothing_came_of_it(operator, said)


@pytest.mark.parametrize("name", sorted(PLANTS.keys() - {"symlink", "raised"}))
def test_planted_output_says_nothing_either(operator: Operator, name: str) -> None:
    """The same by pipes, hard links, escape sequences, depth, and words on both streams."""
    said = operator.run(PLANTS[name], "--json")

    assert said.document["code"] in {"accord-SHD-004", "accord-SHD-021"}
    _nothing_came_of_it(operator, said)


def _nothing_came_of_it(operator: Operator, said: Finished) -> None:
    assert not shows(said, RECORD)
    assert "Traceback" not in said.stderr
    assert [operator.holds(RECORD), len(list(operator.board.storage.iterdir()))] == [[], 1]
    machine, payloads = operator.read()
    (record,) = machine.runs.values()
    assert record.statement is not None
    assert (record.statement.outcome, record.statement.outputs) == (RunOutcome.FAILED, ())
    assert not any(spelling in data for data in payloads for spelling in spellings(RECORD))
    shown = operator.job_show(record.release.run)
    assert (shown.exit_code, shown.document["state"], shown.document["outputs"]) == (
        0,
        "failed",
        [],
    )
    assert not shows(shown, RECORD)


def test_exit_code_of_a_program_stays_inside(operator: Operator) -> None:
    """One byte of data per run: exit code 109, 1 or a signal, all of them look alike."""
    script = READ + "n = {0}; os.kill(os.getpid(), 9) if n < 0 else os._exit(n)"
    assert ord(RECORD[4]) + 4 == 109
    ends = [operator.run(script.format("ord(d[4]) + 4"))]
    for number in ("1", "-9"):
        machine, _ = operator.read()
        in_force = machine.board.policy("job")
        assert in_force is not None
        tags = {item.asset: str(item.tag) for item in in_force.services["train"].inputs}
        command = ("python", "-c", script.format(number))
        document = operator.board.policy(tags, command=command).to_json()
        following = Policy.from_json({**document, "predecessor": in_force.digest})
        operator.board.vote(operator.board.propose("bob", following), *operator.board.names)
        ends.append(operator.run_again())

    machine, payloads = operator.read()
    for said, run in zip(ends, machine.runs, strict=True):
        assert "accord-SHD-021" in said.stderr
        assert f"the program of run {run} failed" in said.stderr
        assert not tells(said.stdout + said.stderr, "109")
        shown = operator.job_show(run)
        assert shown.document["state"] == "failed"
        assert not tells(shown.stdout + shown.stderr, "109")
    assert len({masked(said) for said in ends}) == 1
    assert not any(tells(payload.decode(), "109") for payload in payloads)
    assert "exit_code" not in payloads[-1].decode()


def tells(text: str, number: str) -> bool:
    """Whether ``number`` stands alone in a text, not within a digest or base64."""
    return re.search(rf"(?<![\w+/.]){number}(?![\w+/=])", text) is not None


def masked(said: Finished) -> tuple[int, str, str]:
    def mask(text: str) -> str:
        return re.sub(r"run-[0-9a-f]{32}", "RUN", text)

    return said.exit_code, mask(said.stdout), mask(said.stderr)


# --- a peer that was not attested -------------------------------------------------------------


class Stranger:
    """Any TLS key and no evidence, somewhere on the way; one answer to everything."""

    def __init__(self, status: int, body: bytes) -> None:
        self._answer = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._context = TLSIdentity.generate().server_context()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain, contextlib.suppress(OSError, ssl.SSLError):
                plain.settimeout(10)
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self._read_request(connection)
                    connection.sendall(self._answer)

    @staticmethod
    def _read_request(connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received and (part := connection.recv(65536)):
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]) and (part := connection.recv(65536)):
            body += part

    @contextlib.contextmanager
    def running(self) -> Iterator[Stranger]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            thread.join(timeout=10)


LIE = "all-is-well-your-asset-is-withdrawn"


def problem(cls: type[AccordError], status: int | None = None) -> tuple[int, bytes]:
    """A well-formed problem document of an error, in a stranger's words."""
    found, document = to_problem(cls(**dict.fromkeys(cls.fields(), LIE)))
    assert isinstance(document, dict)
    return status or found, json.dumps({**document, "hint": LIE, "title": LIE}).encode()


@dataclass(frozen=True)
class Member:
    """A member of a board whose trust service is nowhere to be reached."""

    home: Path
    genesis: Genesis


@pytest.fixture(scope="module")
def member(hardware: Hardware, tmp_path_factory: pytest.TempPathFactory) -> Member:
    root = tmp_path_factory.mktemp("member")
    genesis, _ = make_genesis(root, hardware)
    MemberHome.join(root / "ann", genesis, "https://127.0.0.1:1")
    return Member(root / "ann", genesis)


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_problem_of_an_unattested_peer_is_not_read(member: Member, code: str) -> None:
    """Whatever error a stranger names, the client says only that it was answered by a stranger."""
    with Stranger(*problem(catalogue()[code])).running() as peer:
        reaches: tuple[Callable[[], TrustSession], ...] = (
            lambda: TrustSession.attest(peer.url, member.genesis),
            lambda: TrustSession.open(peer.url, member.genesis.digest),
        )
        for reach in reaches:
            with pytest.raises(ReplyError, match="before it proved who it is") as caught:
                reach()
            assert type(caught.value) is ReplyError
            assert caught.value.exit_code != ExitCode.OK
            assert LIE not in f"{caught.value!s} {caught.value!r} {caught.value.details!r}"
            assert caught.value.__cause__ is None


@pytest.mark.parametrize("code", ["accord-BRD-010", "accord-REL-003"])
@pytest.mark.parametrize("status", [None, 200, 302])
def test_stranger_cannot_tell_a_member_that_all_is_done(
    member: Member, code: str, status: int | None
) -> None:
    """`accord asset withdraw` against a machine in the middle fails, and repeats none of it."""
    with Stranger(*problem(catalogue()[code], status)).running() as peer:
        said = accord(
            *("asset", "withdraw", "data", "--home", member.home, "--json"),
            environment={"ACCORD_SERVICE": peer.url},
        )

    assert said.exit_code not in {ExitCode.OK, ExitCode.PENDING}
    assert said.document["code"] != code
    assert LIE not in said.stdout + said.stderr
    if status is None:
        assert (said.exit_code, said.document["code"]) == (ExitCode.FAILURE, ReplyError.code)


def test_no_error_is_a_success() -> None:
    """Nothing that is raised may end a command with exit code 0."""
    assert [code for code, cls in catalogue().items() if cls.exit_code == ExitCode.OK] == []


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_problem_of_an_attested_peer_is_the_same_error_again(code: str) -> None:
    """What the attested service refuses arrives as the class and details that it was."""
    cls = catalogue()[code]
    status, document = to_problem(cls(**dict.fromkeys(cls.fields(), "x")))
    rebuilt = from_problem(document)

    assert (type(rebuilt), rebuilt.details) == (cls, dict.fromkeys(cls.fields(), "x"))
    assert status >= 400


def test_attested_service_is_heard(board: Board) -> None:
    """A real refusal by a real service, after it proved who it is, keeps its meaning.

    Whose nonce is none is a stranger; who proved an environment is told what is wrong.
    """
    with TrustSession.attest(board.url, board.genesis) as session:
        with pytest.raises(NotAttestedError):
            session.release(board.request(session, nonce=os.urandom(32)))
        with pytest.raises(NoPolicyError) as refused:
            session.release(board.request(session))

    assert "policy job was never enacted" in str(refused.value)


# --- the owner's key and a simulated service --------------------------------------------------


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_key_is_not_deposited_with_less_than_its_terms_ask(
    board: Board, shared_service: ServiceProcess, tmp_path: Path
) -> None:
    """Terms that ask for hardware: a simulated service does not even get to hold the key."""
    home, source = board.home("ann"), tmp_path / "source"
    source.mkdir()
    (source / "file.txt").write_text(RECORD)
    seal_asset(home, "data", source, board.storage)
    before = _files(shared_service.state)
    terms = tmp_path / "terms.yaml"
    register = ("asset", "register", "data", "--terms", terms, "--home", home, "--json")
    terms.write_text(json.dumps({**terms_document(), "min_assurance": "cvm"}))
    refused = accord(*register)

    assert (refused.exit_code, refused.document["code"]) == (4, "accord-REL-007")
    assert "assurance of the trust service" in json.dumps(refused.document)
    assert before == _files(shared_service.state)
    member = board.member("bob")
    with member.connect() as session:
        _, machine, _ = member.read(session)
    assert machine.board.assets == {}
    terms.write_text(json.dumps(terms_document()))
    assert accord(*register).exit_code == 0


# --- copies without a signature ---------------------------------------------------------------


def unsigned(envelope: Envelope) -> Envelope:
    zero = tuple(replace(item, signature=bytes(64)) for item in envelope.signatures)
    return replace(envelope, signatures=zero)


def test_unsigned_copies_of_what_was_recorded_are_not_acknowledged(operator: Operator) -> None:
    """Offer, proposal, ballot and run: the real service tells a stranger nothing of its log."""
    said = operator.run("pass", "--json")
    assert said.exit_code == 0, said.stderr
    member = operator.board.member("bob")
    with member.connect() as session:
        ledger, _, _ = member.read(session)
        envelopes: dict[str, Envelope] = {}
        for index in range(1, ledger.size):
            envelope = ledger.entry(index).envelope
            envelopes.setdefault(envelope.payload_type, envelope)
        kinds = {kind.removeprefix("application/vnd."): item for kind, item in envelopes.items()}
        for kind in ("asset", "proposal", "ballot"):
            copy = kinds[f"accord.{kind}.v1+json"]
            with pytest.raises(SignatureInvalidError):
                session.submit(unsigned(copy), sealed_key=bytes(80) if kind == "asset" else None)
        (run,) = [item for kind, item in kinds.items() if "in-toto" in kind]
        with pytest.raises(SignatureInvalidError):
            session.record_run(unsigned(run))
        assert session.record_run(run) == ledger.size - 1
        again, _, _ = member.read(session)

    assert again.size == ledger.size
