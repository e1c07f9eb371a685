# SPDX-License-Identifier: Apache-2.0
"""What is written in one step of the event loop leaves together: header and body of an answer."""

from __future__ import annotations

import asyncio
from typing import Any


class Together(asyncio.Transport):
    """A transport in front of another one; each TLS record and each wake-up costs the peer time."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = bytearray()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Keeps it until this step of the event loop ends, or the connection does."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held += data

    def _flush(self) -> None:
        held, self._held = self._held, bytearray()
        if held:
            self._transport.write(bytes(held))

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._held.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
