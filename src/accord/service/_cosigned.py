# SPDX-License-Identifier: Apache-2.0
"""What a board's rounds leave in the store: the newest cosigned checkpoint, and a fork's heads."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Executor
from dataclasses import dataclass

from accord.encoding import Fields, JSONValue, base64_encode, canonical_json, parse_json
from accord.errors import AccordError
from accord.service._store import Store

_SCHEMA = "accord.fork.v1"

_LOG = logging.getLogger("accord.service")


def checkpoint_setting(board: str, change: int | None = None) -> str:
    """Where the newest checkpoint with its cosignatures is.

    Or the one that first covered entry ``change``, which replaced the witnesses: those before
    and those after have cosigned it, and whoever saw nothing between can go on from there.
    """
    return f"checkpoint:{board}" if change is None else f"checkpoint:{board}:{change}"


def fork_setting(board: str) -> str:
    """Where the two heads of a fork are."""
    return f"fork:{board}"


@dataclass(frozen=True, slots=True)
class Fork:
    """Two checkpoints that one key signed, of which neither continues the other."""

    origin: str
    own_size: int
    own: bytes
    other_size: int
    other: bytes
    witness: str
    """Who has seen the other one."""

    def to_json(self) -> JSONValue:
        return {
            "schema": _SCHEMA,
            "origin": self.origin,
            "own_size": self.own_size,
            "own": base64_encode(self.own),
            "other_size": self.other_size,
            "other": base64_encode(self.other),
            "witness": self.witness,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Fork:
        """Raises ``MalformedError``."""
        fields = Fields(parse_json(data, what="fork"), "fork")
        fields.schema(_SCHEMA)
        fork = cls(
            fields.text("origin", limit=512),
            fields.integer("own_size", minimum=0),
            fields.data("own"),
            fields.integer("other_size", minimum=0),
            fields.data("other"),
            fields.text("witness", limit=512),
        )
        fields.end()
        return fork


class Notes:
    """Keeps them; what is kept last wins, and nobody waits for a cosigned checkpoint's disk."""

    def __init__(self, store: Store, board: str, pool: Executor) -> None:
        self._store, self._board, self._pool = store, board, pool
        self.latest: bytes | None = None
        self._lock = threading.Lock()
        self._unwritten: bytes | None = None
        self._busy = False

    async def load(self) -> tuple[bytes | None, Fork | None]:
        """The newest cosigned checkpoint, and a fork. Raises ``MalformedError``."""

        def read() -> tuple[bytes | None, bytes | None]:
            store = self._store
            return (
                store.setting(checkpoint_setting(self._board)),
                store.setting(fork_setting(self._board)),
            )

        note, fork = await asyncio.wrap_future(self._pool.submit(read))
        self.latest = self.latest or note
        return note, Fork.from_bytes(fork) if fork is not None else None

    def keep(self, note: bytes) -> None:
        """Keeps ``note`` soon: an older one only makes the next start ask for more."""
        self.latest = note
        with self._lock:
            self._unwritten = note
            if self._busy:
                return
            self._busy = True
        self._pool.submit(self._write)

    def _write(self) -> None:
        while True:
            with self._lock:
                note, self._unwritten = self._unwritten, None
                if note is None:
                    self._busy = False
                    return
            try:
                self._store.set_setting(checkpoint_setting(self._board), note)
            except AccordError as exc:
                _LOG.warning("board %s: %s", self._board, exc.code)

    async def keep_change(self, change: int, note: bytes) -> None:
        """Keeps the checkpoint that first covered a change of witnesses, durably."""
        name = checkpoint_setting(self._board, change)
        await asyncio.wrap_future(self._pool.submit(self._store.set_setting, name, note))

    async def keep_fork(self, fork: Fork) -> None:
        """Keeps both heads, durably."""
        data = canonical_json(fork.to_json())
        name = fork_setting(self._board)
        await asyncio.wrap_future(self._pool.submit(self._store.set_setting, name, data))
