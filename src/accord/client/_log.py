# SPDX-License-Identifier: Apache-2.0
"""Reading a log page by page, all of it under one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from accord.encoding import Fields, JSONValue, base64_decode, parse_json
from accord.errors import MalformedError, ReplyError

MAX_PAGE_BYTES = 64 << 20
"""Largest page: what is left of 8 MiB when the last entry is a large one, in base64."""


@dataclass(frozen=True, slots=True)
class _Page:
    entries: list[bytes]
    following: JSONValue
    """Where the next page begins; ``None`` after the last one."""

    size: int
    checkpoint: bytes


class LogPages:
    """The entries that the checkpoint of the first page covers, however the log grows.

    Neither entries nor checkpoint are verified here. ``fetch`` answers a query.
    Raises ``ReplyError`` and ``MalformedError``, and what ``fetch`` raises.
    """

    def __init__(
        self, fetch: Callable[[str], bytes], *, start: int = 0, size: int | None = None
    ) -> None:
        """From entry ``start`` on, up to ``size`` or to all that there are."""
        self._fetch, self._start = fetch, start
        self._first = self._page(f"start={start}" + (f"&size={size}" if size else ""))
        self.checkpoint = self._first.checkpoint

    def __iter__(self) -> Iterator[bytes]:
        page, size, start = self._first, self._first.size, self._start
        while True:
            yield from page.entries
            start += len(page.entries)
            following = start if start < size else None
            if start > size or (page.size, page.following) != (size, following):
                raise ReplyError(detail="pages of the log that do not fit together")
            if page.following is None:
                return
            page = self._page(f"start={start}&size={size}")
            if not page.entries:
                raise ReplyError(detail="an empty page of the log")

    def _page(self, query: str) -> _Page:
        try:
            document = parse_json(self._fetch(query), what="log", limit=MAX_PAGE_BYTES)
        except MalformedError as exc:
            raise ReplyError(detail="something that is not JSON") from exc
        fields = Fields(document, "log")
        page = _Page(
            entries=[
                base64_decode(str(item), what=where) for where, item in fields.items("entries")
            ],
            following=fields.take("next"),
            size=fields.integer("size", minimum=1),
            checkpoint=fields.data("checkpoint"),
        )
        fields.end()
        return page
