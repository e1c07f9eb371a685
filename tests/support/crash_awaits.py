# SPDX-License-Identifier: Apache-2.0
"""A request whose caller goes away while it waits for something: for the n-th thing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class CutAt:
    """Does ``work`` and cancels it at its ``at``-th wait: before what it waits for, or after.

    Before: the cancellation goes on into what is awaited, as that of a task does. After
    (``late``): what it waited for is done, and nobody takes the result.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, *, late: bool) -> None:
        self._work, self._at, self._late = work, at, late
        self.waits = 0
        """How often it has waited so far."""

    @property
    def cut(self) -> bool:
        """Whether it ever came so far."""
        return self.waits >= self._at

    async def run(self) -> Any:
        """What the work returns; ``None`` where it was cancelled."""
        try:
            return await asyncio.create_task(self._task())
        except asyncio.CancelledError:
            return None

    async def _task(self) -> Any:
        return await self

    def __await__(self) -> Generator[Any, None, Any]:
        steps, error = self._work.__await__(), None
        while True:
            try:
                waiting = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as done:
                return done.value
            self.waits += 1
            error = self._before()
            try:
                yield waiting
            except asyncio.CancelledError as exc:
                error = exc

    def _before(self) -> asyncio.CancelledError | None:
        task = asyncio.current_task()
        if self.waits != self._at or task is None:
            return None
        if self._late:
            return asyncio.CancelledError()
        task.cancel()
        return None
