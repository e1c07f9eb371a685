# SPDX-License-Identifier: Apache-2.0
"""The log as any C2SP tool reads it (c2sp.org/tlog-tiles): public, for it holds digests only."""

from __future__ import annotations

from starlette.responses import Response

from accord.errors import MalformedError
from accord.ledger import entry_bundle, leaf, parse_tile_path
from accord.service._call import Call
from accord.service._readers import Readers

_HASH_BITS = 8
"""Each level of tiles stands for 256 times as many entries as the one below."""


class LogHandlers:
    """Checkpoint and tiles of a board's log."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def checkpoint(self, call: Call) -> Response:
        change = call.count(call.query(), "change")
        note = await (await self._readers.host(call)).cosigned_note(change)
        if note is None:
            raise call.no_such_thing()
        return Response(note, media_type=call.route.media_type)

    async def receipt(self, call: Call) -> Response:
        host, index = await self._readers.member(call), call.index()
        if index >= host.durable_size:
            raise call.no_such_thing()
        await host.confirmed(index)  # It says nothing that a quorum could still unsay.
        return Response(host.receipt(index), media_type=call.route.media_type)

    async def tile(self, call: Call) -> Response:
        host = await self._readers.host(call)
        try:
            tile = parse_tile_path("tile/" + call.place("tile"))
        except MalformedError as exc:
            raise call.no_such_thing() from exc
        # Only what is durable: no checkpoint will ever speak of another tree of this size.
        end = tile.index * 256 + tile.width
        if end > host.durable_size >> (_HASH_BITS * (tile.level or 0)):
            raise call.no_such_thing()
        if tile.level is not None:
            body = host.head.tile(tile.level, tile.index, tile.width)
        else:
            body = entry_bundle(map(leaf, await host.entries(end - tile.width, end)))
        return Response(body, media_type=call.route.media_type)
