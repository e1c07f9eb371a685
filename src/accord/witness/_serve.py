# SPDX-License-Identifier: Apache-2.0
"""The witness as a process: one event loop, a few threads that write and ask."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from accord.witness._app import Told, WitnessApp
from accord.witness._http import HTTPServer, Limits
from accord.witness._witness import Witness

_THREADS = 4
_READ_AHEAD = 16 << 10


def serve(
    witness: Witness,
    *,
    host: str,
    port: int,
    ready: Callable[[str], None],
    told: Told,
    limits: Limits | None = None,
) -> None:
    """Serves until interrupted; ``ready`` is told the URL once connections are accepted.

    Plain HTTP: everything that matters is signed. Raises ``OSError`` where the address cannot
    be opened.
    """
    with socket.create_server((host, port)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asyncio.run(_serve(witness, listener, ready, told, limits or Limits()))


async def _serve(
    witness: Witness,
    listener: socket.socket,
    ready: Callable[[str], None],
    told: Told,
    limits: Limits,
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(witness, listener, told=told, limits=limits) as url:
        ready(url)
        await stopped.wait()


@asynccontextmanager
async def serving(
    witness: Witness, listener: socket.socket, *, told: Told, limits: Limits
) -> AsyncIterator[str]:
    """Inside, the witness answers at the URL."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="witness") as executor:
        http = HTTPServer(WitnessApp(witness, executor, told), limits)
        server = await asyncio.start_server(http.connected, sock=listener, limit=_READ_AHEAD)
        host, port = listener.getsockname()[:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            server.close()
