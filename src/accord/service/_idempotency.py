# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys: a request that is sent again gets the answer that it got the first time."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from accord.encoding import Digest, sha256
from accord.errors import IdempotencyKeyBusyError, IdempotencyKeyReusedError, MalformedError

LIFETIME_S = 24 * 60 * 60
MAX_KEPT = 10_000
MAX_ANSWER_BYTES = 4096
"""The answers that are kept say an index, or a digest."""

_KEY = re.compile(r"[!-~]{1,128}")


@dataclass(slots=True)
class _Kept:
    body: Digest
    until: float
    answer: Response | None = None


class Idempotency:
    """The answers of the last day, in memory; refusals are not kept, they are decided anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def once(
        self, key: str, place: str, body: bytes, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The answer of ``work``, or the one kept for this key at this place.

        Raises ``MalformedError``, ``IdempotencyKeyReusedError``, ``IdempotencyKeyBusyError``.
        """
        if not _KEY.fullmatch(key):
            raise MalformedError(
                what="Idempotency-Key", detail="expected 1 to 128 visible characters"
            )
        self._forget()
        name, digest = (place, key), sha256(body)
        kept = self._kept.get(name)
        if kept is not None:
            if kept.body != digest:
                raise IdempotencyKeyReusedError
            if kept.answer is None:
                raise IdempotencyKeyBusyError
            return _again(kept.answer)
        kept = self._kept[name] = _Kept(digest, self._clock() + LIFETIME_S)
        try:
            answer = await work()
            if len(answer.body) <= MAX_ANSWER_BYTES:
                kept.answer = answer
        finally:
            if kept.answer is None:
                self._kept.pop(name, None)
        return answer

    def _forget(self) -> None:
        """What is too old goes, and beyond `MAX_KEPT` the oldest."""
        now = self._clock()
        while self._kept:
            name = next(iter(self._kept))
            if self._kept[name].until > now and len(self._kept) < MAX_KEPT:
                break
            del self._kept[name]


def _again(answer: Response) -> Response:
    copy = Response(answer.body, answer.status_code, media_type=answer.media_type)
    copy.headers["Idempotency-Replayed"] = "true"
    return copy
