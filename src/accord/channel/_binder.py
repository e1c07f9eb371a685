# SPDX-License-Identifier: Apache-2.0
"""What evidence proves of one TLS connection at channel level 2 (docs/spec/channel.md, 3)."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final, Protocol

from accord.errors import ChannelLevelError

EXTENSION: Final = "accord.channel"
"""Where an ASGI scope's ``extensions`` hold the connection's `Exporter`."""


class Side(StrEnum):
    """Whose evidence carries the binder; its value is the exporter's label (RFC 8446, 7.5)."""

    SERVER = "EXPORTER-accord-channel-server"
    CLIENT = "EXPORTER-accord-channel-client"


class Exporter(Protocol):
    """One end of one TLS 1.3 connection after its handshake."""

    def exporter(self, label: str, context: bytes) -> bytes:
        """32 bytes that only the two ends of this connection can compute."""
        ...


def binder(connection: Exporter | None, side: Side, nonce: bytes) -> bytes:
    """The binder of ``side`` over ``connection`` for the verifier's ``nonce``.

    Whether the nonce is fresh is *not* checked here. Raises ``ChannelLevelError`` where the
    connection has no exporter, as one does whose TLS ends before it reaches this process.
    """
    if connection is None:
        raise ChannelLevelError(level="L2", detail="this connection has no TLS exporter")
    return connection.exporter(side.value, hashlib.sha256(nonce).digest())
