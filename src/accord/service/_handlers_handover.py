# SPDX-License-Identifier: Apache-2.0
"""The routes of a hand-over, of both sides: read, call, write."""

from __future__ import annotations

from starlette.responses import Response, StreamingResponse

from accord.encoding import Digest, Envelope
from accord.evidence import Evidence
from accord.release import NONCE_BYTES
from accord.service._call import Call, in_threads, reply
from accord.service._core import TrustService
from accord.service._limits import Governor
from accord.service._readers import Readers


class HandoverHandlers:
    """What it takes to move a board while programs hold leases."""

    def __init__(self, service: TrustService, readers: Readers, governor: Governor) -> None:
        self._service, self._readers, self._governor = service, readers, governor

    async def handover(self, call: Call) -> Response:
        host = await self._readers.host(call)
        entry, url = await self._service.departures.handover(host)
        return reply({"handover": entry.to_json(), "url": url})

    async def hand_over(self, call: Call) -> Response:
        host, fields = await self._readers.host(call), await call.fields()
        request = Envelope.from_json(fields.take("request"), what="handover request")
        offer = Envelope.from_json(fields.take("offer"), what="handover offer")
        evidence = Evidence.from_fields(fields.object("evidence"))
        fields.end()
        entry, url = await self._service.departures.hand_over(host, request, offer, evidence)
        return reply({"handover": entry.to_json(), "url": url})

    async def handover_package(self, call: Call) -> Response:
        host = await self._readers.host(call)
        pieces = await self._service.departures.package(
            host, call.header("authorization"), call.path
        )
        return StreamingResponse(in_threads(pieces), media_type=call.route.media_type)

    async def handover_done(self, call: Call) -> Response:
        host = await self._readers.host(call)
        await self._service.departures.done(host, await call.envelope("handover done"))
        return reply({"board": host.board})

    def _board(self, call: Call) -> Digest:
        board = call.digest("board")
        self._governor.board(board)
        return board

    async def handover_offer(self, call: Call) -> Response:
        board, fields = self._board(call), await call.fields()
        genesis = Envelope.from_json(fields.take("genesis"), what="genesis")
        nonce = fields.data("nonce", size=NONCE_BYTES)
        fields.end()
        offer, evidence = await self._service.arrivals.offer(board, genesis, nonce)
        return reply({"offer": offer.to_json(), "evidence": evidence.to_json()})

    async def handover_take(self, call: Call) -> Response:
        board, fields = self._board(call), await call.fields()
        genesis = Envelope.from_json(fields.take("genesis"), what="genesis")
        request = Envelope.from_json(fields.take("request"), what="handover request")
        fields.end()
        host = await self._service.arrivals.take(board, genesis, request)
        return reply({"done": self._service.arrivals.done(host).to_json()})
