# SPDX-License-Identifier: Apache-2.0
"""One request while it is being answered: what is read from it, each thing with its limit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from accord.channel import EXTENSION, Exporter
from accord.encoding import (
    Digest,
    Envelope,
    Fields,
    JSONValue,
    canonical_json,
    parse_digest,
    parse_json,
)
from accord.errors import MalformedError, MediaTypeError, NoSuchRouteError, TooLargeError
from accord.policy import parse_policy_name
from accord.service._route import JSON, PAGE_ENTRIES, Route

RECORD = "accord.record"
"""Where a scope keeps the `Record` of its request."""

_COUNT = re.compile(r"0|[1-9][0-9]{0,15}")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Record:
    """What is told of a request in the log and in the metrics; never what the caller wrote."""

    request: str
    route: str = "other"
    board: str = ""


class Call:
    """A request to one route."""

    def __init__(self, request: Request, route: Route) -> None:
        self._request, self.route = request, route
        self._body: bytes | None = None

    @property
    def record(self) -> Record:
        """What the log and the metrics will tell of it."""
        found: Record = self._request.scope[RECORD]
        return found

    @property
    def method(self) -> str:
        return self._request.method

    @property
    def path(self) -> str:
        """The path as it was asked for; `Request.url` would mix in the Host header."""
        return str(self._request.scope["path"])

    @property
    def address(self) -> str:
        """Who sent it, as far as the network says."""
        client = self._request.client
        return client.host if client is not None else ""

    @property
    def connection(self) -> Exporter | None:
        """The TLS connection that it came over, where it ends in this process."""
        found: Exporter | None = self._request.scope.get("extensions", {}).get(EXTENSION)
        return found

    def header(self, name: str) -> str | None:
        """A field of the header. Raises ``MalformedError`` if it is there twice."""
        values = self._request.headers.getlist(name)
        if len(values) > 1:
            raise MalformedError(what=name, detail="it is there twice")
        return values[0] if values else None

    # --- the path and the query ------------------------------------------------------------

    def no_such_thing(self) -> NoSuchRouteError:
        """What is raised where the path names nothing."""
        return NoSuchRouteError(method=self.method, path=self.path[:200])

    def digest(self, name: str) -> Digest:
        """A part of the path: 64 hex digits. Raises ``NoSuchRouteError``."""
        text: str = self._request.path_params[name]
        if not _HEX.fullmatch(text):
            raise self.no_such_thing()
        return Digest(f"sha256:{text}")

    def place(self, name: str) -> str:
        """A part of the path, which may hold slashes."""
        text: str = self._request.path_params[name]
        return text

    def index(self) -> int:
        """A part of the path: the index of an entry. Raises ``NoSuchRouteError``."""
        text: str = self._request.path_params["index"]
        if not _COUNT.fullmatch(text):
            raise self.no_such_thing()
        return int(text)

    def policy_name(self) -> str:
        """A part of the path. Raises ``NoSuchRouteError``."""
        try:
            return parse_policy_name(self._request.path_params["name"], what="path")
        except MalformedError as exc:
            raise self.no_such_thing() from exc

    def query(self) -> Mapping[str, str]:
        """The parameters of the route; others, and repeated ones, are refused.

        Raises ``MalformedError``.
        """
        known = {item.name for item in self.route.parameters if not item.header}
        try:
            pairs = parse_qsl(
                self._request.scope["query_string"].decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(self._request.scope["query_string"]),
                errors="strict",
                max_num_fields=len(known),
            )
        except ValueError as exc:
            raise MalformedError(what="query", detail="it cannot be read") from exc
        found = dict(pairs)
        if not found.keys() <= known or len(found) != len(pairs):
            expected = ", ".join(sorted(known)) or "nothing"
            raise MalformedError(what="query", detail=f"expected {expected}, once each")
        return found

    def count(self, query: Mapping[str, str], name: str) -> int | None:
        """A parameter that is a number. Raises ``MalformedError``."""
        text = query.get(name)
        if text is None:
            return None
        if not _COUNT.fullmatch(text) or int(text) >= 2**53:
            raise MalformedError(what=name, detail="expected a number")
        return int(text)

    def page_size(self, query: Mapping[str, str]) -> int:
        """The parameter ``limit``. Raises ``MalformedError``."""
        limit = self.count(query, "limit")
        if limit is None:
            return PAGE_ENTRIES
        if not 1 <= limit <= PAGE_ENTRIES:
            raise MalformedError(what="limit", detail=f"expected 1 to {PAGE_ENTRIES}")
        return limit

    def etag(self, name: str) -> Digest | str | None:
        """The digest in a header field, or ``*``. Raises ``MalformedError``."""
        text = self.header(name)
        if text is None or text == "*":
            return text
        if len(text) < 2 or text[0] != '"' or text[-1] != '"':  # noqa: PLR2004 - two quotes
            raise MalformedError(what=name, detail="expected one strong ETag or *")
        return parse_digest(text[1:-1], what=name)

    # --- the body --------------------------------------------------------------------------

    async def body(self) -> bytes:
        """The body, read once. Raises ``TooLargeError`` or ``MediaTypeError``."""
        if self._body is None:
            found = self.header("content-type")
            if found is not None and found.partition(";")[0].strip().lower() != JSON:
                raise MediaTypeError(found=found[:100], expected=JSON)
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        limit = self.route.max_body
        announced = self.header("content-length")
        if announced is not None and int(announced) > limit:
            raise TooLargeError(what="request", limit=limit)
        parts, size = [], 0
        async for part in self._request.stream():
            size += len(part)
            if size > limit:
                raise TooLargeError(what="request", limit=limit)
            parts.append(part)
        return b"".join(parts)

    async def document(self) -> JSONValue:
        """The body as JSON. Raises what `body` and `parse_json` raise."""
        return parse_json(await self.body(), what="request", limit=self.route.max_body)

    async def fields(self) -> Fields:
        return Fields(await self.document(), "request")

    async def envelope(self, what: str) -> Envelope:
        return Envelope.from_json(await self.document(), what=what)


async def in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece is made in a thread: the store is read, and the others are not kept waiting."""
    while (piece := await asyncio.to_thread(next, pieces, b"")) != b"":
        yield piece


def reply(document: Any, *, status: int = 200) -> Response:
    """An answer in canonical JSON."""
    return Response(canonical_json(document), status, media_type=JSON)
