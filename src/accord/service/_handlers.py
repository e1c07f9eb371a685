# SPDX-License-Identifier: Apache-2.0
"""What the routes do that change something, or that speak of the service: read, call, write."""

from __future__ import annotations

import contextlib

from starlette.responses import Response

from accord import __version__
from accord.board import EnactPolicy, Proposal
from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    base64_encode,
    format_time,
    parse_json,
)
from accord.errors import (
    AccordError,
    BoardMovedError,
    MalformedError,
    NonceError,
    NoSuchRouteError,
    PreconditionFailedError,
    PreconditionRequiredError,
    UnknownBoardError,
)
from accord.evidence import Evidence, Purpose
from accord.identity import verify_statement
from accord.policy import Channel, Policy
from accord.release import NONCE_BYTES, LeaseRequest, ReleaseRequest
from accord.service import _metrics
from accord.service._call import Call, reply
from accord.service._core import TrustService
from accord.service._host import BoardHost
from accord.service._limits import Governor
from accord.service._metrics import Metrics
from accord.service._openapi import openapi
from accord.service._readers import Readers
from accord.service._releases import Timings
from accord.service._route import NEXT_NONCE, REPLAY_NONCE
from accord.service._statements import MAX_SEALED

_PURPOSES = frozenset(
    {Purpose.RELEASE, Purpose.LEASE, Purpose.BALLOT, Purpose.EXCHANGE, Purpose.HANDOVER}
)
"""What challenges are for; other evidence answers a nonce of whoever asks us."""

LOCAL = frozenset({"127.0.0.1", "::1"})


def _purpose(fields: Fields) -> Purpose:
    purpose = fields.choice("purpose", Purpose)
    if purpose not in _PURPOSES:
        raise MalformedError(what="request.purpose", detail="nobody answers such a challenge")
    return purpose


def _next_purpose(call: Call) -> Purpose | None:
    """What the caller will need a nonce for. Raises ``MalformedError``."""
    wanted = call.header(NEXT_NONCE.name)
    return None if wanted is None else _purpose(Fields({"purpose": wanted}, "request"))


def _add_nonce(answer: Response, service: TrustService, host: BoardHost, purpose: Purpose) -> None:
    # Whoever gets none asks for one, and then learns why.
    with contextlib.suppress(NonceError, BoardMovedError):
        nonce, _ = service.challenge(host, purpose)
        answer.headers[REPLAY_NONCE] = base64_encode(nonce)


class ServiceHandlers:
    """The routes below ``/v1`` that are about no board, and those around it."""

    def __init__(
        self, service: TrustService, governor: Governor, metrics: Metrics, *, open_metrics: bool
    ) -> None:
        self._service, self._governor, self._metrics = service, governor, metrics
        self._open_metrics = open_metrics

    async def health(self, _call: Call) -> Response:
        claim, _ = await self._service.owner()
        hosts = self._service.hosts
        if self._service.halted:
            return reply({"status": "halted"}, status=503)
        if claim is None:
            return reply({"status": "unclaimed"})
        written = not hosts or any(host.writes for host in hosts)
        return reply({"status": "open" if written else "reader"})

    async def metrics(self, call: Call) -> Response:
        if not self._open_metrics and call.address not in LOCAL:
            raise NoSuchRouteError(method=call.method, path=call.path)
        return Response(self._metrics.text(), headers={"Content-Type": _metrics.MEDIA_TYPE})

    async def version(self, _call: Call) -> Response:
        return reply(
            {
                "version": __version__,
                "api": "v1",
                "log_key": self._service.keyset.verify_key.key_id,
                "openapi": "/v1/openapi.json",
            }
        )

    async def openapi(self, _call: Call) -> Response:
        return reply(openapi())

    async def owner(self, _call: Call) -> Response:
        claim, config = await self._service.owner()
        return reply(
            {
                "service": self._service.keyset.verify_key.key_id,
                "claim": claim.to_json() if claim is not None else None,
                "config": config.to_json(),
                "counter": self._service.counter,
            }
        )

    async def attest(self, call: Call) -> Response:
        fields = await call.fields()
        board, nonce = fields.digest("board"), fields.data("nonce", size=NONCE_BYTES)
        level = fields.integer("level", minimum=1, maximum=2) if fields.has("level") else 1
        with_genesis = fields.has("genesis") and fields.flag("genesis")
        fields.end()
        # Whoever has the board's digest alone needs both, and gets them in one round trip.
        genesis = (await self._genesis(call, board)) if with_genesis else {}
        evidence = self._service.attest(
            board,
            nonce,
            channel=Channel.L1 if level == 1 else Channel.L2,
            connection=call.connection,
        )
        keyset = self._service.keyset
        answer = reply({"keyset": keyset.to_json(), "evidence": evidence.to_json(), **genesis})
        purpose = _next_purpose(call)
        if purpose is not None:
            with contextlib.suppress(UnknownBoardError):  # Anybody may attest us for any board.
                host = await self._service.host(board)
                self._governor.board(board)
                _add_nonce(answer, self._service, host, purpose)
        return answer

    async def _genesis(self, call: Call, board: Digest) -> dict[str, JSONValue]:
        host = await self._service.host(board)
        call.record.board = board.removeprefix("sha256:")
        self._governor.board(board)
        return {"genesis": host.genesis.to_json()}

    async def claim(self, call: Call) -> Response:
        return reply((await self._service.claim(await call.envelope("claim"))).to_json())

    async def configure(self, call: Call) -> Response:
        config = await self._service.configure(await call.envelope("configuration"))
        self._governor.allow(config.requests_per_s)
        return reply(config.to_json())

    async def found(self, call: Call) -> Response:
        host = await self._service.found(await call.envelope("genesis"))
        return reply({"board": host.board}, status=201)


class BoardHandlers:
    """The routes of a board that change it, or that hand something out."""

    def __init__(self, service: TrustService, readers: Readers, metrics: Metrics) -> None:
        self._service, self._readers, self._metrics = service, readers, metrics

    async def genesis(self, call: Call) -> Response:
        return reply((await self._readers.host(call)).genesis.to_json())

    async def statement(self, call: Call) -> Response:
        host, fields = await self._readers.host(call), await call.fields()
        envelope = Envelope.from_json(fields.take("envelope"), what="statement")
        sealed = fields.has("sealed_key")
        sealed_key = fields.data("sealed_key", limit=MAX_SEALED) if sealed else None
        attested = fields.has("evidence")
        evidence = Evidence.from_fields(fields.object("evidence")) if attested else None
        fields.end()
        index = await self._service.submit(host, envelope, sealed_key, evidence)
        return reply({"index": index})

    async def challenge(self, call: Call) -> Response:
        host, body, purpose = await self._readers.host(call), await call.body(), Purpose.RELEASE
        if body:
            document = parse_json(body, what="request", limit=call.route.max_body)
            fields = Fields(document, "request")
            if fields.has("purpose"):
                purpose = _purpose(fields)
            fields.end()
        nonce, expires = self._service.challenge(host, purpose)
        return reply({"nonce": base64_encode(nonce), "expires": format_time(expires)})

    async def release(self, call: Call) -> Response:
        host, timings = await self._readers.host(call), Timings()
        purpose = _next_purpose(call)
        try:
            with timings.stage("parse"):
                wanted = ReleaseRequest.from_json(await call.document())
            sealed = await self._service.release(host, wanted, timings, call.connection)
        except AccordError as exc:
            self._metrics.released(exc.code)
            raise
        self._metrics.released("granted")
        answer = reply({"sealed": base64_encode(sealed)})
        answer.headers["Server-Timing"] = ", ".join(
            f"{step};dur={duration:.3f}" for step, duration in timings.steps
        )
        if purpose is not None:
            _add_nonce(answer, self._service, host, purpose)
        return answer

    async def lease(self, call: Call) -> Response:
        host = await self._readers.host(call)
        wanted = LeaseRequest.from_json(await call.document())
        return reply((await self._service.renew(host, wanted, call.connection)).to_json())

    async def export(self, call: Call) -> Response:
        host, fields = await self._readers.host(call), await call.fields()
        envelope = Envelope.from_json(fields.take("envelope"), what="exchange request")
        evidence = Evidence.from_fields(fields.object("evidence"))
        fields.end()
        sealed = await self._service.export(host, envelope, evidence)
        return reply({"sealed": base64_encode(sealed)})

    async def run(self, call: Call) -> Response:
        host = await self._readers.host(call)
        envelope = await call.envelope("run statement")
        return reply({"index": await self._service.record_run(host, envelope)})

    async def tags(self, call: Call) -> Response:
        host = await self._readers.host(call)
        envelope = await call.envelope("commit of tags")
        return reply({"index": await self._service.commit_tags(host, envelope)})

    async def put_policy(self, call: Call) -> Response:
        """A proposal by another name: what HTTP calls a precondition is its predecessor."""
        host, name = await self._readers.host(call), call.policy_name()
        envelope = await call.envelope("proposal")
        # (1) A member signed it: nobody else learns which version is in force.
        statement = verify_statement(envelope, "proposal", host.machine.board.keys)
        proposal = Proposal.from_fields(statement.fields())
        if [*map(type, proposal.actions)] != [EnactPolicy] or proposal.policies[0].name != name:
            raise MalformedError(
                what="proposal.actions", detail=f"expected one, that enacts {name}"
            )
        # (2) The member knows what the proposal replaces.
        async with host.durably():
            if envelope.statement_digest not in host.machine.board.recorded:
                _compare(call, host, proposal.policies[0])
        index = await self._service.submit(host, envelope, None)
        answer = reply({"index": index, "proposal": envelope.statement_digest}, status=202)
        board = host.board.removeprefix("sha256:")
        proposed = envelope.statement_digest.removeprefix("sha256:")
        answer.headers["Location"] = f"/v1/boards/{board}/proposals/{proposed}"
        return answer


def _compare(call: Call, host: BoardHost, policy: Policy) -> None:
    """Raises ``PreconditionRequiredError`` or ``PreconditionFailedError``."""
    what, in_force = f"policy {policy.name}", host.machine.board.policy(policy.name)
    current = in_force.digest if in_force is not None else "nothing"
    expected, absent = call.etag("if-match"), call.etag("if-none-match")
    if absent == "*":
        if in_force is not None:
            raise PreconditionFailedError(what=what, found=current, expected="nothing")
        expected = "nothing"
    elif expected is None or absent is not None:
        raise PreconditionRequiredError(what=what)
    elif expected == "*" or expected != current:
        raise PreconditionFailedError(what=what, found=current, expected=expected)
    named = policy.predecessor or "nothing"
    if named != expected:
        raise PreconditionFailedError(
            what=f"the predecessor of {what}", found=named, expected=expected
        )
