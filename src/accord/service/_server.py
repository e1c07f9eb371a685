# SPDX-License-Identifier: Apache-2.0
"""The trust service as a process: TLS, one event loop, nothing secret on disk or in a log."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from accord.channel import EXTENSION, Exporter, TLSIdentity
from accord.collateral import CollateralCache
from accord.encoding import Digest
from accord.evidence import Attester
from accord.service._app import create_app
from accord.service._core import TrustService
from accord.service._counter import MonotonicCounter
from accord.service._http11 import MAX_HEADER_BYTES, DistrustfulProtocol
from accord.service._logging import STANDARD_ERROR, start_logging, stop_logging
from accord.service._store import Store
from accord.service._together import Together
from accord.service.kbs import KeyBroker

STORE_LABEL = "accord/trust-service/store/v1"
"""What the sealing key of the store is derived for."""

_PR_SET_DUMPABLE = 4


class ChannelProtocol(DistrustfulProtocol):
    """HTTP/1.1 whose requests know the TLS connection that they came over (`EXTENSION`)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Together(transport, self.loop))
        self.app = _OverConnection(self.app, transport.get_extra_info("ssl_object"))


class _OverConnection:
    """The application as one connection's requests meet it."""

    def __init__(self, app: ASGIApp, connection: Exporter) -> None:
        self._app, self._connection = app, connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = {**scope.get("extensions", {}), EXTENSION: self._connection}
        await self._app({**scope, "extensions": extensions}, receive, send)


def server_config(app: ASGIApp, tls: TLSIdentity) -> uvicorn.Config:
    """How ``app`` is served with the TLS key ``tls``."""
    return uvicorn.Config(
        app,
        http=ChannelProtocol,
        ws="none",
        log_level="critical",  # A traceback may quote what it failed on; ours says where.
        access_log=False,
        proxy_headers=False,  # Who asks is told by the connection, not by who asks.
        lifespan="on",
        server_header=False,
        ssl_context_factory=lambda _config, _default: tls.server_context(),
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )


def _keep_memory_private() -> None:
    """No core files, and no other process of this user attaches: either would get every key.

    Raises ``OSError``.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    no = ctypes.c_ulong(0)
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, no, no, no, no) != 0:
        message = "the kernel does not keep other processes out of this one"
        raise OSError(message)


@contextmanager
def _logging(file: str, level: str) -> Iterator[None]:
    handler = start_logging(file, level)
    try:
        yield
    finally:
        stop_logging(handler)


def serve(
    *,
    store: Store,
    attester: Attester,
    host: str,
    port: int,
    ready: Callable[[str], None],
    log_file: str = STANDARD_ERROR,
    log_level: str = "warning",
    open_metrics: bool = False,
    kbs_board: Digest | None = None,
    kbs_collateral: CollateralCache | None = None,
    allow_private_peers: bool = False,
    restoring: Path | None = None,
    counter: MonotonicCounter | None = None,
) -> None:
    """Serves until interrupted; ``ready`` is told the URL once connections are accepted.

    ``log_level`` info writes a line for each request. Guests of the Key Broker protocol are
    answered for ``kbs_board``. Raises ``KBSMissingError``, and ``OSError`` where the log or the
    address cannot be opened, or the kernel does not keep other processes out.
    """
    _keep_memory_private()
    tls = TLSIdentity.generate()
    with _logging(log_file, log_level), socket.create_server((host, port)) as listener:
        # Inherited by every connection: without it each answer waits 40 ms for a delayed ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound_host, bound_port = listener.getsockname()[:2]
        url = f"https://{bound_host}:{bound_port}"
        service = TrustService(
            store=store,
            attester=attester,
            tls_spki_sha256=tls.spki_sha256,
            clock=lambda: datetime.now(UTC),
            entropy=os.urandom,
            url=url,
            allow_private_peers=allow_private_peers,
            restoring=restoring,
            counter=counter,
        )
        broker = None if kbs_board is None else KeyBroker(service, kbs_board, cache=kbs_collateral)
        app = create_app(service, open_metrics=open_metrics, broker=broker)
        config = server_config(app, tls)
        ready(url)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            service.close()
