# SPDX-License-Identifier: Apache-2.0
"""What the routes do that only show something: find out who asks, look, write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import TypeVar

from starlette.responses import Response

from accord.encoding import JSONValue, base64_encode
from accord.errors import MalformedError
from accord.policy import Policy
from accord.service._call import Call, reply
from accord.service._core import TrustService
from accord.service._readers import Reader, Readers, refused
from accord.service._views import (
    may_list,
    may_read,
    view_constitution,
    view_listed_policy,
    view_members,
    view_policy,
    view_proposal,
    view_public,
    view_release,
    view_secrets,
    view_status,
    view_stop,
    view_whole_proposal,
)

PAGE_BYTES = 8 << 20
"""A page of the log ends once it has so many bytes of entries."""

T = TypeVar("T")


class ViewHandlers:
    """The routes of a board that show it: nothing before it is durable."""

    def __init__(self, service: TrustService, readers: Readers) -> None:
        self._service, self._readers = service, readers

    async def log(self, call: Call) -> Response:
        host = await self._readers.member_or_witness(call)
        query = call.query()
        durable = host.durable_size
        size = call.count(query, "size")
        start, limit = call.count(query, "start") or 0, call.page_size(query)
        if size is None:
            size = durable
        if not 1 <= size <= durable or start > size:
            raise MalformedError(what="query", detail=f"there are {durable} entries")
        entries = await host.entries(start, min(start + limit, size), max_bytes=PAGE_BYTES)
        end = start + len(entries)
        return reply(
            {
                "entries": [base64_encode(entry) for entry in entries],
                "next": end if end < size else None,
                "size": size,
                "checkpoint": base64_encode(host.checkpoint(size)),
            }
        )

    async def object(self, call: Call) -> Response:
        host = await self._readers.member_or_witness(call)
        body = await self._service.read_object(host, call.digest("digest"))
        if body is None:
            raise call.no_such_thing()
        return Response(body, media_type=call.route.media_type)

    async def status(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            return reply(view_status(host))

    async def members(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            return reply(view_members(host.machine.board))

    async def constitution(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            return reply(view_constitution(host.machine.board))

    async def proposals(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            state, now = host.machine.board, host.now()
            return _page(
                call, state.proposals.values(), lambda item: view_proposal(state, item, now)
            )

    async def proposal(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            record = host.machine.board.proposals.get(call.digest("id"))
            if record is None:
                raise call.no_such_thing()
            return reply(view_whole_proposal(host.machine.board, record, host.now()))

    async def policies(self, call: Call) -> Response:
        reader = await self._readers.reader(call)
        async with reader.host.durably():
            listed = reader.host.machine.board.policies.values()
            if reader.member:
                return _page(call, listed, view_listed_policy)
            visible = [item for item in listed if may_list(item[-1].access, reader.key)]
            if not visible:
                raise refused(call)
            return _page(call, visible, view_listed_policy)

    async def policy(self, call: Call) -> Response:
        reader = await self._readers.reader(call)
        async with reader.host.durably():
            return self._policy(call, reader)

    def _policy(self, call: Call, reader: Reader) -> Response:
        wanted = call.query().get("digest")
        versions = self._readable(call, reader)
        found = [item for item in versions if wanted in (None, item.digest)]
        if not found:
            raise call.no_such_thing()
        policy = found[-1]
        if not (reader.member or may_read(policy.access, reader.key)):
            raise refused(call)  # What became public later was not while this was in force.
        tag = {"ETag": f'"{policy.digest}"'}
        if call.etag("if-none-match") == policy.digest:
            return Response(status_code=304, headers=tag)
        answer = reply(view_policy(versions, policy))
        answer.headers.update(tag)
        return answer

    @staticmethod
    def _readable(call: Call, reader: Reader) -> list[Policy]:
        """The versions of the policy that the path names."""
        versions = reader.host.machine.board.policies.get(call.policy_name())
        if not reader.member and (
            versions is None or not may_read(versions[-1].access, reader.key)
        ):
            raise refused(call)
        if versions is None:
            raise call.no_such_thing()
        return versions

    async def secrets(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            versions = host.machine.board.policies.values()
            return _page(call, versions, lambda item: view_secrets(item[-1]))

    async def public(self, call: Call) -> Response:
        reader = await self._readers.reader(call)
        async with reader.host.durably():
            return self._public(call, reader)

    @staticmethod
    def _public(call: Call, reader: Reader) -> Response:
        state, name = reader.host.machine.board, call.policy_name()
        policy = state.policy(name)
        if policy is None:
            raise call.no_such_thing() if reader.member else refused(call)
        whole = reader.member or may_read(policy.access, reader.key)
        view = view_public(policy, state.public[name], only_exported=not whole)
        if not whole and not view["public"]:
            raise refused(call)
        return reply(view)

    async def executions(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            stops = host.machine.board.stops.items()
            return _page(call, stops, lambda item: view_stop(*item))

    async def releases(self, call: Call) -> Response:
        host = await self._readers.member(call)
        async with host.durably():
            runs = host.machine.runs
            # By their ids: only the records on this page are read.
            return _page(call, runs.keys(), lambda run: view_release(runs[run]))


def _page(call: Call, items: Collection[T], view: Callable[[T], JSONValue]) -> Response:
    """Some of ``items``, which are only ever added to at the end. Raises ``MalformedError``."""
    query = call.query()
    start, limit = call.count(query, "cursor") or 0, call.page_size(query)
    end = min(start + limit, len(items))
    shown: Iterable[T] = islice(items, start, end) if start < end else ()
    more = end if start < end < len(items) else None
    return reply({"items": [view(item) for item in shown], "next": more})
