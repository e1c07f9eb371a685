# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface, version 1 (docs/reference/api.md). No decision is taken here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Place
from starlette.types import Receive, Scope, Send

from accord.errors import AccordError, MethodNotAllowedError, NoSuchRouteError
from accord.service._call import RECORD, Call
from accord.service._core import TrustService
from accord.service._edge import Edge
from accord.service._handlers import BoardHandlers, ServiceHandlers
from accord.service._handlers_handover import HandoverHandlers
from accord.service._handlers_log import LogHandlers
from accord.service._handlers_recovery import RecoveryHandlers
from accord.service._handlers_views import ViewHandlers
from accord.service._idempotency import Idempotency
from accord.service._limits import Governor, Limits
from accord.service._metrics import Metrics
from accord.service._problems import problem
from accord.service._readers import Readers
from accord.service._route import Auth, Route
from accord.service._routes import ROUTES
from accord.service.kbs import KeyBroker

Handler = Callable[[Call], Awaitable[Response]]


def create_app(
    service: TrustService,
    *,
    limits: Limits | None = None,
    open_metrics: bool = False,
    broker: KeyBroker | None = None,
) -> Starlette:
    """The ASGI application over one trust service.

    ``limits`` are those of the service's owner by default. With ``open_metrics`` everybody
    may read the metrics, otherwise programs on the same machine. With a ``broker`` guests of
    the Key Broker protocol are answered, too.
    """
    governor = Governor(
        limits or Limits(requests_per_s=service.config.requests_per_s), time.monotonic
    )
    metrics = Metrics(lambda: service.hosts, lambda: service.halted)
    readers = Readers(service, governor)
    groups = (
        ServiceHandlers(service, governor, metrics, open_metrics=open_metrics),
        BoardHandlers(service, readers, metrics),
        ViewHandlers(service, readers),
        LogHandlers(readers),
        RecoveryHandlers(service, governor),
        HandoverHandlers(service, readers, governor),
    )

    def handler(name: str) -> Handler:
        found: Handler = next(getattr(group, name) for group in groups if hasattr(group, name))
        return found

    kept = Idempotency(time.monotonic)
    paths: dict[str, dict[str, tuple[Route, Handler]]] = {}
    for route in ROUTES.values():
        paths.setdefault(route.path, {})[route.method] = (route, handler(route.handler))
    app = Starlette(
        routes=[
            Place(_whole(path), _Methods(path, routes, governor, kept))
            for path, routes in paths.items()
        ]
        + ([] if broker is None else broker.places(governor)),
        exception_handlers={AccordError: _refused, HTTPException: _no_route},
        middleware=[Middleware(Edge, governor=governor, metrics=metrics)],
        lifespan=lambda _app: service.running(),
    )
    app.router.redirect_slashes = False  # A redirect would repeat what the Host header said.
    return app


def _whole(path: str) -> str:
    """The path as the router reads it: what may hold slashes is taken with them."""
    for name in ("name", "tile"):
        path = path.replace(f"{{{name}}}", f"{{{name}:path}}")
    return path


class _Methods:
    """Everything that can be done at one path: an ASGI application."""

    def __init__(
        self,
        path: str,
        routes: Mapping[str, tuple[Route, Handler]],
        governor: Governor,
        kept: Idempotency,
    ) -> None:
        self._path, self._routes = path, routes
        self._governor, self._kept = governor, kept
        heads = ["HEAD"] if "GET" in routes else []
        self._allowed = ", ".join(sorted([*routes, *heads, "OPTIONS"]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[RECORD].route = self._path
        try:
            answer = await self._answer(Request(scope, receive))
        except AccordError as exc:
            answer = problem(exc)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": self._allowed})
        # The server leaves the body of an answer to HEAD out.
        method = "GET" if request.method == "HEAD" else request.method
        if method not in self._routes:
            raise MethodNotAllowedError(
                method=request.method[:20], path=request.scope["path"][:200], allowed=self._allowed
            )
        route, handle = self._routes[method]
        call = Call(request, route)
        if route.auth not in (Auth.MEMBER, Auth.READER):
            self._governor.stranger(call.address)
        call.query()
        key = call.header("idempotency-key") if route.repeatable else None
        if key is None:
            return await handle(call)
        return await self._kept.once(key, call.path, await call.body(), lambda: handle(call))


async def _refused(_request: Request, exc: Exception) -> Response:
    if not isinstance(exc, AccordError):
        raise exc
    return problem(exc)


async def _no_route(request: Request, _exc: Exception) -> Response:
    return problem(NoSuchRouteError(method=request.method, path=request.scope["path"][:200]))
