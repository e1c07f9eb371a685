# SPDX-License-Identifier: Apache-2.0
"""A member's approval service: asked by a real trust service, and by everybody who should not."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.support.board import Person, World, constitution_json, seed
from tests.support.live import Board, Hardware, ServiceProcess, make_genesis

from accord.board import (
    Action,
    ApprovalAnswer,
    ApprovalRequest,
    ApprovalService,
    Ballot,
    Choice,
    EnactPolicy,
    RemoveMember,
    UpdateMember,
)
from accord.channel import PinnedContext
from accord.client import (
    APPROVAL_PATH,
    ApprovalServer,
    MemberHome,
    TrustSession,
    answer_request,
    check_by_program,
    find_proposal,
    load_tls,
    propose,
    vote,
)
from accord.encoding import Fields, canonical_json, parse_json
from accord.errors import (
    AccordError,
    ApprovalRefusedError,
    IdentityExposedError,
    MalformedError,
    SignatureInvalidError,
    WrongBoardError,
)
from accord.evidence import Role
from accord.identity import FileIdentity, verify_statement

NAMES = ("ann", "bob", "cid")


# --- what must hold before anything is signed ------------------------------------------------


@pytest.fixture
def world() -> World:
    return World.ready()


def asked(world: World, **changes: Any) -> ApprovalRequest:
    """A question about a proposal that is in the log."""
    proposal = world.propose(author=changes.pop("author", "lab"))
    request = ApprovalRequest(
        world.board,
        seed("question"),
        proposal,
        (Action.POLICY_ENACT,),
        world.time + timedelta(minutes=1),
        world.log[-1].envelope,
    )
    return replace(request, **changes)


def home_of(tmp_path: Path, name: str = "ann") -> FileIdentity:
    """An identity whose keys are those of the world's member."""
    made = FileIdentity.create(tmp_path / name, name)
    holder = Person.of(name)
    return replace(made, public=holder.public, signer=holder.signer)


def answer(world: World, request: ApprovalRequest, home: FileIdentity, **given: Any) -> Ballot:
    check: Callable[[Any], Choice | None] = given.get("check", lambda _case: Choice.APPROVE)
    attester = given.get("attester")
    made = answer_request(
        request, world.machine, home, now=lambda: world.time, check=check, attester=attester
    )
    key = home.public.verify_key
    return Ballot.from_fields(verify_statement(made.ballot, "ballot", {key.key_id: key}).fields())


def test_answer_is_a_ballot_that_names_the_question(world: World, tmp_path: Path) -> None:
    """The program sees what it decides on; a vote that was cast is not undone by asking again."""
    request, home = asked(world), home_of(tmp_path)
    cases: list[Any] = []

    def check(case: Any) -> Choice:
        cases.append(case)
        return Choice.REJECT

    ballot = answer(world, request, home, check=check)
    assert (ballot.choice, ballot.challenge, ballot.sequence) == (
        Choice.REJECT,
        seed("question"),
        1,
    )
    assert (
        cases[0]["document"] == world.machine.board.proposals[request.proposal].proposal.to_json()
    )
    assert "ann" in cases[0]["missing"]
    world.vote("ann", request.proposal, Choice.ABSTAIN)
    with pytest.raises(ApprovalRefusedError, match="ann has voted"):
        answer(world, request, home)


def test_question_is_checked_before_anybody_is_asked(world: World, tmp_path: Path) -> None:
    """Another board, a dead line, another proposal, a lie about it, a stranger's words."""
    request, home = asked(world), home_of(tmp_path)
    other = World.ready(name="other")
    elsewhere = asked(other)
    unknown = world.sign("proposal", world.proposal_of(title="unsaid").to_json(), "lab")
    forged = world.sign("proposal", world.proposal_of().to_json(), "mallory")
    removal = (Action.MEMBER_REMOVE,)
    flaws: list[tuple[ApprovalRequest, type[AccordError], str]] = [
        (elsewhere, WrongBoardError, "board"),
        (replace(request, deadline=world.time), ApprovalRefusedError, "deadline"),
        (replace(request, operation=removal), ApprovalRefusedError, "other actions"),
        (
            replace(request, envelope=unknown, proposal=unknown.statement_digest),
            ApprovalRefusedError,
            "not in the board's log",
        ),
        (replace(request, envelope=forged), SignatureInvalidError, "proposal"),
    ]
    for bad, error, match in flaws:
        with pytest.raises(error, match=match):
            answer(world, bad, home, check=lambda _case: pytest.fail("it was asked"))
    with pytest.raises(ApprovalRefusedError, match="zoe is no member"):
        answer(world, request, replace(home, public=replace(home.public, name="zoe")))
    with pytest.raises(ApprovalRefusedError, match="no opinion"):
        answer(world, request, home, check=lambda _case: None)


def test_nothing_is_signed_once_it_is_decided_or_late(world: World, tmp_path: Path) -> None:
    """Also where that happens while the member's program thinks."""
    request, home = asked(world), home_of(tmp_path)

    def slow(_case: Any) -> Choice:
        world.time += timedelta(minutes=1)
        return Choice.APPROVE

    with pytest.raises(ApprovalRefusedError, match="deadline"):
        answer(world, request, home, check=slow)
    later = replace(request, deadline=world.time + timedelta(minutes=1))
    world.vote("clinic", request.proposal, Choice.REJECT)
    with pytest.raises(ApprovalRefusedError, match="rejected"):
        answer(world, later, home)


def test_automated_member_answers_with_evidence(
    world: World, tmp_path: Path, hardware: Hardware
) -> None:
    """Bound to this very ballot."""
    request, home = asked(world), home_of(tmp_path)
    made = answer_request(
        request,
        world.machine,
        home,
        now=lambda: world.time,
        check=lambda _case: Choice.APPROVE,
        attester=hardware.attester(Role.SHIELD),
    )
    body = parse_json(made.ballot.payload, what="ballot")

    assert made.evidence is not None
    assert isinstance(body, dict)
    assert str(body["evidence"]).startswith("sha256:")


@pytest.mark.parametrize(
    ("code", "rejects", "expected"),
    [
        (0, False, Choice.APPROVE),
        (1, False, None),
        (1, True, Choice.REJECT),
        (2, True, None),
        (0, True, Choice.APPROVE),
    ],
)
def test_exit_code_of_the_program_is_the_vote(
    code: int,
    rejects: bool,  # noqa: FBT001
    expected: Choice | None,
) -> None:
    """It reads the case; whatever else happens to it is no vote."""
    script = f"import json, sys; json.load(sys.stdin); sys.exit({code})"
    check = check_by_program(
        [sys.executable, "-c", script], timeout_s=20, reject_on_failure=rejects
    )

    assert check({"a": "b"}) is expected


def test_program_that_hangs_or_is_missing_casts_no_vote() -> None:
    """Nor does one that a signal ends."""
    hangs = [sys.executable, "-c", "import time; time.sleep(60)"]
    dies = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]

    assert check_by_program(hangs, timeout_s=0.3)({}) is None
    assert check_by_program(dies, timeout_s=20, reject_on_failure=True)({}) is None
    assert check_by_program(["/no/such/program"], timeout_s=1)({}) is None


def test_tls_key_is_kept(tmp_path: Path) -> None:
    """The charter pins it. It is private, and damage is noticed."""
    first = load_tls(tmp_path)
    assert load_tls(tmp_path).spki_sha256 == first.spki_sha256
    path = tmp_path / "approval.secret.pem"
    path.chmod(0o644)
    with pytest.raises(IdentityExposedError):
        load_tls(tmp_path)
    path.chmod(0o600)
    path.write_text("nothing")
    with pytest.raises(MalformedError):
        load_tls(tmp_path)


# --- over the wire ---------------------------------------------------------------------------


@contextmanager
def serving(home: MemberHome, choice: Choice | None) -> Iterator[tuple[ApprovalServer, list[str]]]:
    told: list[str] = []
    tls = load_tls(home.identity.home)
    server = ApprovalServer(
        ("127.0.0.1", 0), home, tls=tls, check=lambda _case: choice, told=told.append
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server, told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def founded(hardware: Hardware, shared_service: ServiceProcess, tmp_path: Path) -> Board:
    """Any two of ann, bob and cid decide."""
    rule = {"weighted": {"min": 2, "of": "role:code-owner"}}
    rules = constitution_json({action.value: rule for action in Action})
    root = tmp_path / "founded"
    genesis, envelope = make_genesis(root, hardware, names=NAMES, constitution=rules)
    with TrustSession.attest(shared_service.url, genesis) as session:
        session.found(envelope)
    for name in NAMES:
        MemberHome.join(root / name, genesis, shared_service.url)
    return Board(root, hardware, shared_service.url, genesis, NAMES, envelope)


def decide(board: Board, *actions: Any, voters: tuple[str, ...]) -> str:
    member, now = board.member("bob"), datetime.now(UTC).replace(microsecond=0)
    with member.connect() as session:
        _, machine, _ = member.read(session)
        proposal = propose(
            member,
            session,
            machine,
            actions=actions,
            title="decided",
            now=now,
            expires=now + timedelta(hours=1),
        )
    for name in voters:
        voter = board.member(name)
        with voter.connect() as session:
            _, machine, _ = voter.read(session)
            vote(voter, session, find_proposal(machine, proposal), Choice.APPROVE)
    return proposal


def test_trust_service_asks_and_records_the_answer(founded: Board) -> None:
    """From the proposal to the enactment without bob or cid: cid's service votes for it."""
    cid = founded.member("cid")
    with serving(cid, Choice.APPROVE) as (server, told):
        approval = ApprovalService(
            f"https://127.0.0.1:{server.server_address[1]}{APPROVAL_PATH}",
            load_tls(cid.identity.home).spki_sha256,
            20,
        )
        changed = replace(founded.genesis.members["cid"], approval=approval)
        decide(founded, UpdateMember(changed), voters=("bob", "cid"))
        tag = founded.offer("ann", "data")
        policy = founded.policy({"ann/data": tag})
        proposal = decide(founded, EnactPolicy(policy), voters=("bob",))
        deadline = time.monotonic() + 20
        while True:
            with cid.connect() as session:
                _, machine, _ = cid.read(session)
            record = find_proposal(machine, proposal)
            if record.enacted or time.monotonic() > deadline:
                break
            time.sleep(0.05)

    assert record.enacted, told
    assert record.approvals == {"bob", "cid"}
    assert record.ballots["cid"].challenge is not None
    assert any(line.startswith("voted on") for line in told)


def post(server: ApprovalServer, body: bytes, path: str = APPROVAL_PATH, **headers: str) -> Any:
    """What the server answers: status and document."""
    port = server.server_address[1]
    connection: Any = HTTPConnection("127.0.0.1", port, timeout=10)
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        connection.sock = PinnedContext().wrap_socket(plain)
    connection.auto_open = 0
    connection.request("POST", path, body, headers)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, content


def test_strangers_and_nonsense_get_no_vote(founded: Board) -> None:
    """Another route, no length, too much, no JSON, another board, a plain connection."""
    cid = founded.member("cid")
    other = asked(World.ready())
    with serving(cid, Choice.APPROVE) as (server, told):
        port = server.server_address[1]
        statuses = [
            post(server, b"{}", "/elsewhere")[0],
            post(server, b"{}", **{"Content-Length": "99999999999"})[0],
            post(server, b"{}", **{"Content-Length": "+2"})[0],
            post(server, b"{]")[0],
            post(server, b"[]")[0],
            post(server, canonical_json(other.to_json()))[0],
        ]
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            plain.sendall(b"POST /approve HTTP/1.1\r\n\r\n")
            assert b"HTTP" not in plain.recv(4096)

    assert all(status >= 400 for status in statuses)
    assert not any(line.startswith("voted") for line in told)


def test_server_that_fails_within_casts_no_vote(
    founded: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a trust service that is gone nor a bug of ours makes a vote, or says much."""
    cid = founded.member("cid")
    proposal = decide(founded, RemoveMember("ann"), voters=())
    with cid.connect() as session:
        ledger, machine, _ = cid.read(session)
    index = machine.board.recorded[find_proposal(machine, proposal).id]
    request = ApprovalRequest(
        founded.genesis.digest,
        hashlib.sha256(b"nonce").digest(),
        find_proposal(machine, proposal).id,
        (Action.MEMBER_REMOVE,),
        datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1),
        ledger.entry(index).envelope,
    )
    body = canonical_json(request.to_json())
    with serving(cid, Choice.REJECT) as (server, _):
        status, content = post(server, body)
        answered = ApprovalAnswer.from_fields(Fields(parse_json(content, what="x"), "x"))
        assert status == 200
        assert b"reject" in answered.ballot.payload
    with serving(cid, None) as (server, told):
        assert post(server, body)[0] == 403
        assert "no opinion" in told[0]
    gone = replace(cid, service="https://127.0.0.1:1")
    with serving(gone, Choice.APPROVE) as (server, _):
        assert post(server, body)[0] == 503

    def broken(_self: ApprovalServer, _body: bytes) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(ApprovalServer, "answer", broken)
    with serving(cid, Choice.APPROVE) as (server, told):
        assert post(server, body) == (500, b"")
        assert told == ["no vote: KeyError"]
