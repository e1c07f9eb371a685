# SPDX-License-Identifier: Apache-2.0
"""The outermost part of the application: what every request passes, whatever it is for."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accord.errors import (
    AccordError,
    FramingError,
    HeaderTooLargeError,
    HTTPVersionError,
    InternalError,
    SlowRequestError,
)
from accord.service._call import RECORD, Record
from accord.service._limits import Governor, Limits
from accord.service._logging import log_request
from accord.service._metrics import Metrics
from accord.service._problems import problem

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing of this is a page: should a browser come by, it neither shows, runs nor keeps it."""

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT"})

_GONE = 499
"""In the log: the client left before it was answered."""

_LOG = logging.getLogger("accord.service")


class Edge:
    """Limits, refusals as problems, headers of every answer, one line in the log."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        governor: Governor,
        metrics: Metrics,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app, self._governor, self._metrics, self._clock = app, governor, metrics, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[RECORD] = Record(secrets.token_hex(8))
        answer, start = _Answer(send, record.request), self._clock()
        try:
            await self._answered(scope, receive, answer)
        except ClientDisconnect:
            pass
        except AccordError as exc:
            await answer.instead(exc, scope, receive)
        except Exception as exc:  # noqa: BLE001 - what nobody foresaw has an answer, too
            # The caller gets a reference, the log the type: a message could quote anything.
            _LOG.error("%s: %s at %s", record.request, type(exc).__name__, record.route)
            await answer.instead(InternalError(reference=record.request), scope, receive)
        finally:
            self._tell(scope, record, answer.status, self._clock() - start)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        client = scope.get("client")
        with self._governor.admitted(client[0] if client else ""):
            check(scope, self._governor.limits)
            await self._app(scope, _hurried(receive, self._governor.limits.body_s), answer.send)

    def _tell(self, scope: Scope, record: Record, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.answered(record.route, method, status, seconds)
        log_request(
            route=record.route,
            method=method,
            status=status,
            milliseconds=seconds * 1000,
            request=record.request,
            board=record.board,
        )


class _Answer:
    """What goes back, once it has begun to."""

    def __init__(self, send: Send, request: str) -> None:
        self._send, self._request = send, request
        self.status = _GONE

    async def send(self, message: Message) -> None:
        """Sends it with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self._request
        await self._send(message)

    async def instead(self, error: AccordError, scope: Scope, receive: Receive) -> None:
        """Sends a problem, unless another answer has begun: then the connection breaks off."""
        if self.status == _GONE:
            await problem(error)(scope, receive, self.send)


def check(scope: Scope, limits: Limits) -> None:
    """Whether the header can be meant in one way only, and is of a sane size.

    Raises ``HTTPVersionError``, ``HeaderTooLargeError`` or ``FramingError``.
    """
    if scope["http_version"] != "1.1":
        raise HTTPVersionError(found=scope["http_version"])
    fields = scope["headers"]
    if len(fields) > limits.max_fields:
        raise HeaderTooLargeError(limit=f"{limits.max_fields} fields")
    if sum(len(name) + len(value) for name, value in fields) > limits.max_header:
        raise HeaderTooLargeError(limit=f"{limits.max_header} bytes")
    names = [name for name, _ in fields]
    lengths = names.count(b"content-length")
    # Two readers would see the end of it in two places (RFC 9112 section 6.3).
    if lengths > 1 or (lengths and b"transfer-encoding" in names):
        raise FramingError(detail="its length is given in two ways")


def _hurried(receive: Receive, seconds: float) -> Receive:
    """``receive`` for a whole body within ``seconds``. It raises ``SlowRequestError``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds

    async def receive_in_time() -> Message:
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError as exc:
            raise SlowRequestError(seconds=seconds) from exc

    return receive_in_time
