# SPDX-License-Identifier: Apache-2.0
"""Approval services: the trust service asks them for their members' votes.

Only addresses in the charter are called, only over the TLS keys that it names, and what comes
back is a ballot like any other. No answer is no vote.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from accord.board import (
    ApprovalAnswer,
    ApprovalRequest,
    ApprovalService,
    Ballot,
    Member,
    ProposalRecord,
    ProposalStatus,
)
from accord.channel import PinnedContext, connect
from accord.encoding import Digest, Envelope, Fields, canonical_json, parse_json
from accord.errors import AccordError, ApprovalAnswerError
from accord.evidence import Evidence
from accord.identity import verify_statement
from accord.ledger import Entry
from accord.service._host import BoardHost
from accord.service._parts import Parts

MAX_ANSWER_BYTES = 1 << 20
"""Largest answer: a ballot, and the evidence of an automated member."""

MAX_AT_ONCE = 16
"""Most questions of one board at the same time; each has a thread of its own."""

_LOG = logging.getLogger("accord.service")

Record = Callable[[BoardHost, Envelope, Evidence | None, bytes], Awaitable[object]]
"""Takes in a ballot that answers the nonce."""


class Approvals:
    """Asks each approval service once about each proposal."""

    def __init__(self, parts: Parts, record: Record) -> None:
        self._parts, self._record = parts, record
        self._asked: set[tuple[Digest, str]] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._free: dict[Digest, asyncio.Semaphore] = {}

    def ask(self, host: BoardHost) -> None:
        """Starts asking about every proposal that is undecided and was not asked about yet."""
        state, now = host.machine.board, host.now()
        reachable = [member for member in state.members.values() if member.approval is not None]
        if not reachable:
            return
        for record in state.open_proposals.values():
            undecided = state.status(record, now) in (ProposalStatus.OPEN, ProposalStatus.NOTICE)
            for member in reachable if undecided else ():
                question = (record.id, member.name)
                if member.name not in record.ballots and question not in self._asked:
                    self._asked.add(question)
                    task = asyncio.create_task(self._ask(host, record, member))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stops waiting for answers."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _ask(self, host: BoardHost, record: ProposalRecord, member: Member) -> None:
        try:
            async with self._free.setdefault(host.board, asyncio.Semaphore(MAX_AT_ONCE)):
                await self._answered(host, record, member)
        except AccordError as exc:
            _LOG.warning("no vote of the approval service of %s: %s", member.name, exc.code)

    async def _answered(self, host: BoardHost, record: ProposalRecord, member: Member) -> None:
        service = member.approval
        if service is None:
            return
        await host.settled()
        index = host.machine.board.recorded[record.id]
        (data,) = await host.entries(index, index + 1)
        nonce = self._parts.entropy(32)
        deadline = host.now() + timedelta(seconds=service.timeout_s)
        request = ApprovalRequest(
            board=host.board,
            nonce=nonce,
            proposal=record.id,
            operation=tuple(item.action for item in record.proposal.actions),
            deadline=min(deadline, record.proposal.expires),
            envelope=Entry.from_bytes(data).envelope,
        )
        body = await _post(
            service,
            canonical_json(request.to_json()),
            member.name,
            public_only=not self._parts.private_peers,
        )
        document = parse_json(body, what="approval answer", limit=MAX_ANSWER_BYTES)
        answer = ApprovalAnswer.from_fields(Fields(document, "approval answer"))
        self._check(answer, record, member, nonce)
        evidence = None
        if answer.evidence is not None:
            evidence = Evidence.from_fields(Fields(answer.evidence, "evidence"))
        await self._record(host, answer.ballot, evidence, nonce)

    @staticmethod
    def _check(
        answer: ApprovalAnswer, record: ProposalRecord, member: Member, nonce: bytes
    ) -> None:
        """That it is this member's vote, on this proposal, and answers this very question."""
        key = member.identity.verify_key
        statement = verify_statement(answer.ballot, "ballot", {key.key_id: key})
        ballot = Ballot.from_fields(statement.fields())
        if (ballot.member, ballot.proposal) != (member.name, record.id):
            raise ApprovalAnswerError(member=member.name, detail="it is another vote")
        if not hmac.compare_digest(ballot.challenge or b"", nonce):
            raise ApprovalAnswerError(member=member.name, detail="it answers another question")


async def _post(service: ApprovalService, body: bytes, member: str, *, public_only: bool) -> bytes:
    """The answer within the time that the charter gives. Raises ``ApprovalAnswerError``."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()
    call = _Call(service, body, public_only=public_only)

    def settle(answer: bytes | None, failure: str) -> None:
        if future.done():
            return
        if answer is None:
            future.set_exception(ApprovalAnswerError(member=member, detail=failure))
        else:
            future.set_result(answer)

    def work() -> None:
        answer, failure = None, ""
        try:
            answer = call.answer()
        except (OSError, HTTPException, ValueError) as exc:
            failure = type(exc).__name__
        with contextlib.suppress(RuntimeError):  # The service has ended meanwhile.
            loop.call_soon_threadsafe(settle, answer, failure)

    # A daemon: a peer that never answers must not keep the service from ending.
    threading.Thread(target=work, daemon=True, name="accord-approval").start()
    try:
        async with asyncio.timeout(service.timeout_s):
            return await future
    except TimeoutError as exc:
        raise ApprovalAnswerError(member=member, detail="it took too long") from exc
    finally:
        call.abort()


class _Call:
    """One POST to exactly the address and the TLS key of the charter; redirects are answers."""

    def __init__(self, service: ApprovalService, body: bytes, *, public_only: bool) -> None:
        self._public_only = public_only
        self._service, self._body = service, body
        self._aborted = False
        self._handle: socket.socket | None = None
        """The same connection once more, so that it can be ended in mid handshake."""

    def answer(self) -> bytes:
        """Raises ``OSError``, ``HTTPException`` or ``ValueError``."""
        parts, timeout = urlsplit(self._service.url), float(self._service.timeout_s)
        host, port = parts.hostname or "", parts.port or 443
        context = PinnedContext()
        context.pinned = self._service.tls_spki_sha256
        with connect(host, port, timeout, public_only=self._public_only) as plain:
            self._handle = plain.dup()
            if self._aborted:
                raise TimeoutError
            connected = context.wrap_socket(plain)
        path = parts.path or "/"
        with contextlib.closing(connected):
            connection: Any = HTTPConnection(host, port, timeout=timeout)
            connection.auto_open, connection.sock = 0, connected
            target = f"{path}?{parts.query}" if parts.query else path
            connection.request("POST", target, self._body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            content: bytes = reply.read(MAX_ANSWER_BYTES + 1)
            if reply.status != HTTPStatus.OK or len(content) > MAX_ANSWER_BYTES:
                message = "not an answer"
                raise ValueError(message)
            return content

    def abort(self) -> None:
        """Ends the call, if it still runs: whoever sends a byte a minute is not waited for."""
        self._aborted = True
        if self._handle is not None:
            with self._handle, contextlib.suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)
