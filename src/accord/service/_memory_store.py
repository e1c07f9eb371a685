# SPDX-License-Identifier: Apache-2.0
"""A store that forgets: for tests, and for services that need no yesterday."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from accord.encoding import parse_digest
from accord.errors import StoreConflictError
from accord.service._fences import Fences
from accord.service._store import Stored


class MemoryStore:
    """A store in this process's memory; nothing of it survives, so nothing is sealed."""

    def __init__(self) -> None:
        self._entries: dict[str, list[bytes]] = {}
        self._objects: dict[tuple[str, str], bytes] = {}
        self._secrets: dict[tuple[str, str], bytes] = {}
        self._settings: dict[str, bytes] = {}
        self._projections: dict[str, tuple[int, bytes]] = {}
        self._fences = Fences()
        self._closed = False
        self._lock = threading.Lock()

    def boards(self) -> list[str]:
        self._check_open()
        return sorted(self._entries)

    def size(self, board: str) -> int:
        self._check_open()
        return len(self._entries.get(board, ()))

    def entries(self, board: str, start: int = 0) -> Iterator[bytes]:
        self._check_open()
        yield from tuple(self._entries.get(board, ())[start:])

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        parse_digest(board, what="board")
        self._check_open()
        with self._lock:
            self._fences.check(board, fence)
            expected = len(self._entries.get(board, ()))
            if first != expected:
                raise StoreConflictError(index=first, board=board, expected=expected)
            for item in batch:
                self._entries.setdefault(board, []).append(bytes(item.entry))
                for digest, body in item.objects.items():
                    self._objects[board, digest] = bytes(body)
                for name, value in item.secrets.items():
                    self._secrets[board, name] = bytes(value)

    def scrub(self) -> None:
        self._check_open()

    def object(self, board: str, digest: str) -> bytes | None:
        self._check_open()
        return self._objects.get((board, digest))

    def secret(self, board: str, name: str) -> bytes | None:
        self._check_open()
        return self._secrets.get((board, name))

    def setting(self, name: str) -> bytes | None:
        self._check_open()
        return self._settings.get(name)

    def set_setting(self, name: str, value: bytes) -> None:
        self._check_open()
        self._settings[name] = bytes(value)

    def default_setting(self, name: str, value: bytes) -> bytes:
        self._check_open()
        return self._settings.setdefault(name, bytes(value))

    def replace_setting(self, name: str, expected: bytes | None, value: bytes) -> bool:
        self._check_open()
        with self._lock:
            if self._settings.get(name) != expected:
                return False
            self._settings[name] = bytes(value)
            return True

    def acquire(self, board: str, holder: str) -> int:
        self._check_open()
        with self._lock:
            return self._fences.acquire(board, holder)

    def renew(self, board: str, fence: int) -> None:
        self._check_open()
        with self._lock:
            self._fences.check(board, fence)

    def release_writer(self, board: str, fence: int) -> None:
        self._check_open()
        with self._lock:
            self._fences.release(board, fence)

    def projection(self, board: str) -> tuple[int, bytes] | None:
        self._check_open()
        return self._projections.get(board)

    def save_projection(self, board: str, size: int, data: bytes) -> None:
        self._check_open()
        self._projections[board] = (size, bytes(data))

    def drop_projections(self, board: str) -> None:
        self._check_open()
        self._projections.pop(board, None)

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            message = "the store is closed"
            raise RuntimeError(message)
