# SPDX-License-Identifier: Apache-2.0
"""A store that forgets: for tests, and for services that need no yesterday."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from accord.encoding import parse_digest
from accord.errors import StoreConflictError
from accord.service._store import check_objects


class MemoryStore:
    """A store in this process's memory; nothing of it survives, so nothing is sealed."""

    def __init__(self) -> None:
        self._entries: dict[str, list[bytes]] = {}
        self._objects: dict[tuple[str, str], bytes] = {}
        self._secrets: dict[tuple[str, str], bytes] = {}
        self._settings: dict[str, bytes] = {}
        self._closed = False
        self._lock = threading.Lock()

    def boards(self) -> list[str]:
        self._check_open()
        return sorted(self._entries)

    def entries(self, board: str) -> Iterator[bytes]:
        self._check_open()
        yield from tuple(self._entries.get(board, ()))

    def append(
        self,
        board: str,
        index: int,
        entry: bytes,
        *,
        objects: Mapping[str, bytes],
        secrets: Mapping[str, bytes],
    ) -> None:
        parse_digest(board, what="board")
        check_objects(objects)
        self._check_open()
        with self._lock:
            expected = len(self._entries.get(board, ()))
            if index != expected:
                raise StoreConflictError(index=index, board=board, expected=expected)
            self._entries.setdefault(board, []).append(bytes(entry))
        self._objects.update({(board, key): bytes(body) for key, body in objects.items()})
        self._secrets.update({(board, key): bytes(value) for key, value in secrets.items()})

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

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            message = "the store is closed"
            raise RuntimeError(message)
