# SPDX-License-Identifier: Apache-2.0
"""Fences of a store that one process has to itself: whoever asks becomes the writer."""

from __future__ import annotations

from accord.errors import NotWriterError


class Fences:
    """The writer of each board and its fence. Not thread-safe: its store has a lock."""

    def __init__(self) -> None:
        self._current: dict[str, tuple[int, str]] = {}
        """By board, the newest fence and its holder; no holder after a release."""

    def acquire(self, board: str, holder: str) -> int:
        """The next fence. There is no lease to wait for: nobody else has the store."""
        fence = self._current.get(board, (0, ""))[0] + 1
        self._current[board] = (fence, holder)
        return fence

    def check(self, board: str, fence: int) -> None:
        """Raises ``NotWriterError`` unless ``fence`` is the newest one and still held."""
        newest, holder = self._current.get(board, (0, ""))
        if fence != newest or not holder:
            raise NotWriterError(board=board, writer=holder or "nobody")

    def release(self, board: str, fence: int) -> None:
        """Forgets the holder, if ``fence`` is the newest one."""
        if self._current.get(board, (0, ""))[0] == fence:
            self._current[board] = (fence, "")
