# SPDX-License-Identifier: Apache-2.0
"""Approval services and automated members: asked for their votes, believed by key and evidence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.live import Hardware, reference
from tests.support.served import Served

from accord.board import ApprovalAnswer, ApprovalRequest, Ballot, Choice
from accord.channel import TLSIdentity
from accord.encoding import Digest, Envelope, Fields, canonical_json, sha256
from accord.errors import (
    AccordError,
    AppraisalError,
    BindingMismatchError,
    EvidenceMissingError,
    NonceError,
)
from accord.evidence import Evidence, Purpose, Role
from accord.identity import FileIdentity, sign_statement
from accord.release import ballot_binding

Answer = Callable[[ApprovalRequest, FileIdentity], bytes]


def approves(request: ApprovalRequest, bob: FileIdentity, **changes: Any) -> bytes:
    """Bob's honest answer."""
    document = {
        "proposal": request.proposal,
        "member": "bob",
        "challenge": request.nonce,
        "choice": Choice.APPROVE,
        **changes,
    }
    ballot = Ballot(request.board, sequence=1, **document)
    envelope = sign_statement("ballot", ballot.to_json(), [bob.signer])
    return canonical_json(ApprovalAnswer(envelope).to_json())


@dataclass
class ApprovalServer:
    """An approval service over TLS whose answers a test decides on."""

    answer: Answer = approves
    bob: FileIdentity | None = None
    tls: TLSIdentity = field(default_factory=TLSIdentity.generate)
    heard: list[ApprovalRequest] = field(default_factory=list)
    status: int = 200

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ApprovalRequest.from_fields(Fields(json.loads(body), "request"))
                outer.heard.append(request)
                assert outer.bob is not None
                reply = outer.answer(request, outer.bob)
                self.send_response(outer.status)
                self.send_header("Location", "https://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(HTTPServer):
            def get_request(self) -> tuple[Any, Any]:
                plain, address = super().get_request()
                return outer.tls.server_context().wrap_socket(plain, server_side=True), address

            def handle_error(self, *_: object) -> None:
                """A client that hangs up is none."""

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}/approve?a=b"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def serve(
    hardware: Hardware, root: Path, server: ApprovalServer, url: str, **approval: Any
) -> Served:
    """A board on which bob, who decides, has an approval service."""
    entry = {"url": url, "tls_spki_sha256": server.tls.spki_sha256.hex(), "timeout_s": 5}
    served = Served(
        hardware,
        root,
        {"policy.enact": {"all": ["role:code-owner"]}},
        {"bob": {"approval": {**entry, **approval}}},
    )
    server.bob = served.identity("bob")
    return served


def asked(served: Served, envelope: Envelope | None = None) -> bool:
    """Whether the proposal is enacted once everybody who is asked has answered."""

    async def run() -> bool:
        if envelope is not None:
            await served.service.submit(served.host, envelope, None)
        await served.service.tick()
        running = served.service._approvals._running
        while running:
            await asyncio.gather(*running)
        return served.host.machine.board.policy("job") is not None

    return asyncio.run(asyncio.wait_for(run(), 20))


def test_an_approval_service_is_asked_and_its_vote_counts(
    hardware: Hardware, tmp_path: Path
) -> None:
    """It hears the proposal as its author signed it, with a nonce and a deadline; once."""
    server = ApprovalServer()
    with server.running() as url:
        served = serve(hardware, tmp_path, server, url)
        envelope = served.proposal(served.policy(), by="ann")
        assert asked(served, envelope)
        assert asked(served)

    (request,) = server.heard
    assert (served.board, envelope) == (request.board, request.envelope)
    assert request.deadline <= served.host.now() + timedelta(seconds=5)
    record = served.host.machine.board.proposals[request.proposal]
    assert request.nonce == record.ballots["bob"].challenge


def test_what_was_open_when_the_service_ended_is_asked_about_at_the_start(
    hardware: Hardware, tmp_path: Path
) -> None:
    """A service that was restarted asks about every proposal that is still open."""
    server = ApprovalServer(status=503)
    with server.running() as url:
        served = serve(hardware, tmp_path, server, url)
        assert not asked(served, served.proposal(served.policy(), by="ann"))
        server.status = 200
        served.restart()
        assert asked(served)
    assert len(server.heard) == 2


FLAWS: dict[str, Answer] = {
    "another nonce": lambda r, bob: approves(r, bob, challenge=bytes(32)),
    "no nonce": lambda r, bob: approves(r, bob, challenge=None),
    "another proposal": lambda r, bob: approves(r, bob, proposal=sha256(b"another")),
    "another member": lambda r, bob: approves(r, bob, member="ann"),
    "garbage": lambda _r, _bob: b"\x00",
    "a list": lambda _r, _bob: b"[]",
    "huge": lambda _r, _bob: b" " * (2 << 20),
    "nothing": lambda _r, _bob: b"",
    "unsigned": lambda r, bob: approves(r, bob).replace(b'"sig":"', b'"sig":"AAAA'),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_wrong_answer_is_no_vote(
    hardware: Hardware, tmp_path: Path, caplog: pytest.LogCaptureFixture, flaw: str
) -> None:
    """Whatever is not this member's signed answer to this question changes nothing."""
    server = ApprovalServer(FLAWS[flaw])
    with server.running() as url, caplog.at_level(logging.WARNING, logger="accord.service"):
        served = serve(hardware, tmp_path, server, url)
        assert not asked(served, served.proposal(served.policy(), by="ann"))

    assert "no vote of the approval service of bob: accord-" in caplog.text
    (record,) = served.host.machine.board.proposals.values()
    assert record.ballots == {}


@pytest.mark.parametrize("flaw", ["another key", "redirect", "nobody there", "silent", "slow"])
def test_a_peer_that_is_not_the_charters_gets_and_gives_nothing(
    hardware: Hardware, tmp_path: Path, flaw: str
) -> None:
    """Another TLS key, a redirect, silence and slowness are no votes, and end in time."""
    server = ApprovalServer(status=307 if flaw == "redirect" else 200)
    hanging = socket.create_server(("127.0.0.1", 0))
    with server.running() as honest, hanging, drip(hanging, slow=flaw == "slow"):
        url = honest
        if flaw in ("silent", "slow"):
            url = f"https://127.0.0.1:{hanging.getsockname()[1]}/"
        if flaw == "nobody there":
            url = "https://127.0.0.1:1/"
        changes: dict[str, Any] = {"timeout_s": 1} if flaw in ("silent", "slow") else {}
        if flaw == "another key":
            changes["tls_spki_sha256"] = "00" * 32
        served = serve(hardware, tmp_path, server, url, **changes)
        assert not asked(served, served.proposal(served.policy(), by="ann"))
        for thread in threading.enumerate():
            if thread.name == "accord-approval":
                thread.join(5)
                assert not thread.is_alive()

    assert (flaw == "redirect") == bool(server.heard)


@contextlib.contextmanager
def drip(listener: socket.socket, *, slow: bool) -> Iterator[None]:
    """A peer that takes connections and says nothing, or a byte at a time of no TLS record."""
    ended = threading.Event()

    def work() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                # A TLS handshake record of the largest size, which never becomes whole.
                connection.sendall(b"\x16\x03\x03\x40\x00" if slow else b"")
                while slow and not ended.wait(0.2):
                    connection.sendall(b"\x02")
                ended.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


# --- automated members ----------------------------------------------------------------------


@pytest.fixture
def automated(hardware: Hardware, tmp_path: Path) -> Served:
    """A board on which bob is a program whose environment the charter names."""
    variants = reference(hardware, Role.SHIELD)["attestation"]
    rule = {"policy.enact": {"all": ["role:code-owner"]}}
    return Served(hardware, tmp_path, rule, {"bob": {"attestation": variants}})


def machine_ballot(
    served: Served, proposal: Digest, *, nonce: bytes | None = None, **flaws: Any
) -> tuple[Envelope, Evidence]:
    """Bob's ballot with the evidence behind it."""
    bob = served.identity("bob")
    nonce = nonce or served.service.challenge(served.host, Purpose.BALLOT)[0]
    binding = ballot_binding(
        served.board,
        proposal,
        choice=flaws.get("claimed", "approve"),
        sequence=1,
        key=bob.signer.verify_key,
        nonce=nonce,
    )
    attester = served.hardware.attester(Role.SHIELD, **flaws.get("registers", {}))
    evidence = attester.collect(binding.report_data())
    ballot = Ballot(
        served.board, proposal, "bob", Choice.APPROVE, 1, evidence.digest, challenge=nonce
    )
    return sign_statement("ballot", ballot.to_json(), [bob.signer]), evidence


def test_an_automated_member_votes_with_evidence(automated: Served) -> None:
    """Its vote counts, and the evidence behind it can be read by everybody afterwards."""
    proposal = automated.proposal(automated.policy(), by="ann")
    automated.submit(proposal)
    envelope, evidence = machine_ballot(automated, proposal.statement_digest)
    automated.submit(envelope, evidence=evidence)

    assert automated.host.machine.board.policy("job") is not None
    stored = asyncio.run(automated.service.read_object(automated.host, evidence.digest))
    assert evidence.to_bytes() == stored


@pytest.mark.parametrize(
    ("flaw", "error"),
    [
        ("no evidence", EvidenceMissingError),
        ("other evidence", EvidenceMissingError),
        ("a nonce of nobody", NonceError),
        ("a nonce of a release", NonceError),
        ("evidence of another vote", BindingMismatchError),
        ("other code", AppraisalError),
    ],
)
def test_an_automated_member_without_its_environment_has_no_vote(
    automated: Served, flaw: str, error: type[AccordError]
) -> None:
    """The key alone is not enough: whoever copied it from the program votes for nothing."""
    proposal = automated.proposal(automated.policy(), by="ann")
    automated.submit(proposal)
    nonce: bytes | None = None
    changes: dict[str, Any] = {}
    if flaw == "a nonce of nobody":
        nonce = bytes(32)
    elif flaw == "a nonce of a release":
        nonce = automated.service.challenge(automated.host)[0]
    elif flaw == "evidence of another vote":
        changes["claimed"] = "reject"
    elif flaw == "other code":
        changes["registers"] = {"mrtd": bytes(48)}
    envelope, evidence = machine_ballot(
        automated, proposal.statement_digest, nonce=nonce, **changes
    )
    given: Evidence | None = evidence
    if flaw == "no evidence":
        given = None
    elif flaw == "other evidence":
        given = machine_ballot(automated, proposal.statement_digest)[1]
    with pytest.raises(error):
        automated.submit(envelope, evidence=given)

    assert automated.host.machine.board.proposals[proposal.statement_digest].ballots == {}


def test_an_automated_ballot_serves_once(automated: Served) -> None:
    """Sent again it changes nothing; its nonce serves no second ballot."""
    proposal = automated.proposal(automated.policy(), by="ann")
    automated.submit(proposal)
    envelope, evidence = machine_ballot(automated, proposal.statement_digest)
    first = automated.submit(envelope, evidence=evidence)

    assert first == automated.submit(envelope, evidence=evidence)


def test_an_automated_member_answers_its_question_with_evidence(
    hardware: Hardware, tmp_path: Path
) -> None:
    """The evidence is bound to the nonce of the question; no challenge is asked for."""

    def with_evidence(request: ApprovalRequest, _bob: FileIdentity) -> bytes:
        envelope, evidence = machine_ballot(served, request.proposal, nonce=request.nonce)
        return canonical_json(ApprovalAnswer(envelope, evidence.to_json()).to_json())

    server = ApprovalServer(with_evidence)
    variants = reference(hardware, Role.SHIELD)["attestation"]
    with server.running() as url:
        entry = {"url": url, "tls_spki_sha256": server.tls.spki_sha256.hex(), "timeout_s": 5}
        served = Served(
            hardware,
            tmp_path,
            {"policy.enact": {"all": ["role:code-owner"]}},
            {"bob": {"approval": entry, "attestation": variants}},
        )
        server.bob = served.identity("bob")
        assert asked(served, served.proposal(served.policy(), by="ann"))


def test_a_service_that_ends_does_not_wait_for_answers(hardware: Hardware, tmp_path: Path) -> None:
    """Whoever is still being asked is left; the proposal is asked about at the next start."""
    hanging = socket.create_server(("127.0.0.1", 0))
    with hanging, drip(hanging, slow=False):
        url = f"https://127.0.0.1:{hanging.getsockname()[1]}/"
        served = serve(hardware, tmp_path, ApprovalServer(), url, timeout_s=600)
        served.submit(served.proposal(served.policy(), by="ann"))
        served.restart()

        async def run() -> None:
            async with served.service.running():
                while not served.service._approvals._running:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)

        asyncio.run(asyncio.wait_for(run(), 10))
    assert set() == served.service._approvals._running
