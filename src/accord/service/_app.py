# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface, version 1 (docs/reference/api.md). No decision is taken here."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from accord.channel import EXTENSION, MEDIA_TYPE, Exporter, authorise_read, to_problem
from accord.encoding import (
    Envelope,
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
    format_time,
    parse_digest,
    parse_json,
)
from accord.errors import (
    AccordError,
    InternalError,
    MalformedError,
    NoSuchRouteError,
    TooLargeError,
)
from accord.evidence import Evidence, Purpose
from accord.policy import Channel
from accord.release import NONCE_BYTES, LeaseRequest, ReleaseRequest
from accord.service._core import TrustService
from accord.service._host import BoardHost
from accord.service._releases import Timings
from accord.service._statements import MAX_SEALED

MAX_BODY_BYTES = 4 << 20
"""Largest request body: a policy of 1 MiB, signed and in base64, with room."""

_PURPOSES = frozenset({Purpose.RELEASE, Purpose.LEASE, Purpose.BALLOT, Purpose.EXCHANGE})
"""What challenges are for; other evidence answers a nonce of whoever asks us."""

_LOG = logging.getLogger("accord.service")

Handler = Callable[[Request], Awaitable[Response]]


def create_app(service: TrustService) -> Starlette:
    """The ASGI application over one trust service."""
    routes = _Routes(service)
    app = Starlette(
        routes=[
            Route("/healthz", routes.health, methods=["GET"]),
            Route("/v1/service", routes.owner, methods=["GET"]),
            Route("/v1/claim", routes.claim, methods=["POST"]),
            Route("/v1/config", routes.configure, methods=["POST"]),
            Route("/v1/attest", routes.attest, methods=["POST"]),
            Route("/v1/boards", routes.found, methods=["POST"]),
            Route("/v1/boards/{board}/genesis", routes.genesis, methods=["GET"]),
            Route("/v1/boards/{board}/log", routes.log, methods=["GET"]),
            Route("/v1/boards/{board}/objects/{digest}", routes.object, methods=["GET"]),
            Route("/v1/boards/{board}/statements", routes.statement, methods=["POST"]),
            Route("/v1/boards/{board}/challenges", routes.challenge, methods=["POST"]),
            Route("/v1/boards/{board}/releases", routes.release, methods=["POST"]),
            Route("/v1/boards/{board}/leases", routes.lease, methods=["POST"]),
            Route("/v1/boards/{board}/exports", routes.export, methods=["POST"]),
            Route("/v1/boards/{board}/runs", routes.run, methods=["POST"]),
        ],
        exception_handlers={
            AccordError: _refused,
            HTTPException: _no_route,
            Exception: _failed,
        },
        middleware=[Middleware(_OneReading)],
        lifespan=lambda _app: service.running(),
    )
    app.router.redirect_slashes = False  # A redirect would repeat what the Host header said.
    return app


class _OneReading:
    """Refuses a request whose end two readers would see in two places (RFC 9112 section 6.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = [name for name, _ in scope.get("headers", ())]
        if b"transfer-encoding" in names and b"content-length" in names:
            status, problem = to_problem(
                MalformedError(what="request", detail="its length is given in two ways")
            )
            reply = JSONResponse(problem, status, {"Connection": "close"}, media_type=MEDIA_TYPE)
            await reply(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _reply(document: JSONValue, *, status: int = 200) -> Response:
    return Response(canonical_json(document), status, media_type="application/json")


async def _refused(_request: Request, exc: Exception) -> Response:
    if not isinstance(exc, AccordError):
        raise exc
    status, problem = to_problem(exc)
    return JSONResponse(problem, status, media_type=MEDIA_TYPE)


def _connection(request: Request) -> Exporter | None:
    """The TLS connection that the request came over, where it ends in this process."""
    found: Exporter | None = request.scope.get("extensions", {}).get(EXTENSION)
    return found


async def _no_route(request: Request, _exc: Exception) -> Response:
    return await _refused(
        request, NoSuchRouteError(method=request.method, path=_path(request)[:200])
    )


async def _failed(request: Request, exc: Exception) -> Response:
    """What nobody foresaw: the caller gets a reference, the operator's log gets the type."""
    reference = secrets.token_hex(4)
    _LOG.error("%s: %s at %s", reference, type(exc).__name__, _path(request))
    return await _refused(request, InternalError(reference=reference))


def _path(request: Request) -> str:
    """The path as it was asked for; `Request.url` would mix in the Host header."""
    return str(request.scope["path"])


async def _body(request: Request) -> bytes:
    """The body, read no further than `MAX_BODY_BYTES`. Raises ``TooLargeError``."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TooLargeError(what="request", limit=MAX_BODY_BYTES)
        parts.append(part)
    return b"".join(parts)


async def _document(request: Request) -> JSONValue:
    return parse_json(await _body(request), what="request", limit=MAX_BODY_BYTES)


class _Routes:
    """One method per route: read, call, write."""

    def __init__(self, service: TrustService) -> None:
        self._service = service

    async def _host(self, request: Request) -> BoardHost:
        digest = "sha256:" + request.path_params["board"]
        return await self._service.host(parse_digest(digest, what="board"))

    async def _reader(self, request: Request) -> BoardHost:
        host, spki = await self._host(request), self._service.keyset.tls_spki_sha256
        if spki is None:
            message = "a server always has a TLS key"
            raise RuntimeError(message)
        authorise_read(
            request.headers.get("authorization"),
            keys=host.machine.board.keys,
            board=host.board,
            path=_path(request),
            tls_spki_sha256=spki,
            now=self._service.now(),
        )
        return host

    async def health(self, _request: Request) -> Response:
        return _reply({"status": "open"})

    async def owner(self, _request: Request) -> Response:
        claim, config = await self._service.owner()
        return _reply(
            {
                "service": self._service.keyset.verify_key.key_id,
                "claim": claim.to_json() if claim is not None else None,
                "config": config.to_json(),
            }
        )

    async def claim(self, request: Request) -> Response:
        envelope = Envelope.from_json(await _document(request), what="claim")
        return _reply((await self._service.claim(envelope)).to_json())

    async def configure(self, request: Request) -> Response:
        envelope = Envelope.from_json(await _document(request), what="configuration")
        return _reply((await self._service.configure(envelope)).to_json())

    async def attest(self, request: Request) -> Response:
        fields = Fields(await _document(request), "request")
        board, nonce = fields.digest("board"), fields.data("nonce", size=NONCE_BYTES)
        level = fields.integer("level", minimum=1, maximum=2) if fields.has("level") else 1
        fields.end()
        channel = Channel.L1 if level == 1 else Channel.L2
        evidence = self._service.attest(
            board, nonce, channel=channel, connection=_connection(request)
        )
        keyset = self._service.keyset
        return _reply({"keyset": keyset.to_json(), "evidence": evidence.to_json()})

    async def found(self, request: Request) -> Response:
        envelope = Envelope.from_json(await _document(request), what="genesis")
        host = await self._service.found(envelope)
        return _reply({"board": host.board}, status=201)

    async def genesis(self, request: Request) -> Response:
        return _reply((await self._host(request)).genesis.to_json())

    async def log(self, request: Request) -> Response:
        host = await self._reader(request)
        size = host.durable_size
        entries = [base64_encode(entry) for entry in await host.entries(0, size)]
        return _reply({"entries": entries, "checkpoint": base64_encode(host.checkpoint(size))})

    async def object(self, request: Request) -> Response:
        host = await self._reader(request)
        digest = parse_digest("sha256:" + request.path_params["digest"], what="digest")
        body = await self._service.read_object(host, digest)
        if body is None:
            raise NoSuchRouteError(method="GET", path=_path(request))
        return Response(body, media_type="application/octet-stream")

    async def statement(self, request: Request) -> Response:
        host = await self._host(request)
        fields = Fields(await _document(request), "request")
        envelope = Envelope.from_json(fields.take("envelope"), what="statement")
        sealed_key = (
            fields.data("sealed_key", limit=MAX_SEALED) if fields.has("sealed_key") else None
        )
        evidence = (
            Evidence.from_fields(fields.object("evidence")) if fields.has("evidence") else None
        )
        fields.end()
        index = await self._service.submit(host, envelope, sealed_key, evidence)
        return _reply({"index": index})

    async def challenge(self, request: Request) -> Response:
        host, body, purpose = await self._host(request), await _body(request), Purpose.RELEASE
        if body:
            fields = Fields(parse_json(body, what="request", limit=MAX_BODY_BYTES), "request")
            if fields.has("purpose"):
                purpose = fields.choice("purpose", Purpose)
            fields.end()
        if purpose not in _PURPOSES:
            raise MalformedError(what="request.purpose", detail="nobody answers such a challenge")
        nonce, expires = self._service.challenge(host, purpose)
        return _reply({"nonce": base64_encode(nonce), "expires": format_time(expires)})

    async def release(self, request: Request) -> Response:
        host, timings = await self._host(request), Timings()
        with timings.stage("parse"):
            wanted = ReleaseRequest.from_json(await _document(request))
        sealed = await self._service.release(host, wanted, timings, _connection(request))
        reply = _reply({"sealed": base64_encode(sealed)})
        reply.headers["Server-Timing"] = ", ".join(
            f"{step};dur={duration:.3f}" for step, duration in timings.steps
        )
        return reply

    async def lease(self, request: Request) -> Response:
        host = await self._host(request)
        wanted = LeaseRequest.from_json(await _document(request))
        return _reply((await self._service.renew(host, wanted, _connection(request))).to_json())

    async def export(self, request: Request) -> Response:
        host = await self._host(request)
        fields = Fields(await _document(request), "request")
        envelope = Envelope.from_json(fields.take("envelope"), what="exchange request")
        evidence = Evidence.from_fields(fields.object("evidence"))
        fields.end()
        sealed = await self._service.export(host, envelope, evidence)
        return _reply({"sealed": base64_encode(sealed)})

    async def run(self, request: Request) -> Response:
        host = await self._host(request)
        envelope = Envelope.from_json(await _document(request), what="run statement")
        return _reply({"index": await self._service.record_run(host, envelope)})
