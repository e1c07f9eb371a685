# SPDX-License-Identifier: Apache-2.0
"""Whether a board is still this service's, or was handed over to another one."""

from __future__ import annotations

from typing import Protocol

from accord.encoding import Digest
from accord.errors import BoardMovedError
from accord.identity import VerifyKey
from accord.release import Handover, Machine

HANDED_OVER = "handed-over"


class Held(Protocol):
    """A board, and the log key of the service that holds it."""

    @property
    def board(self) -> Digest: ...

    @property
    def machine(self) -> Machine: ...

    @property
    def key(self) -> VerifyKey: ...


def successor(host: Held) -> Handover | None:
    """To whom this service handed the board over, unless it has it back."""
    machine = host.machine
    return None if machine.log_key == host.key else machine.handover


def require_here(host: Held) -> None:
    """Raises ``BoardMovedError`` where nothing may be written, or handed out, here any more.

    Members' statements need no key of the service: without this they would make a second log.
    """
    gone = successor(host)
    if gone is not None:
        raise BoardMovedError(board=host.board, url=gone.url)
