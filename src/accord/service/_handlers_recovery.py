# SPDX-License-Identifier: Apache-2.0
"""The routes of backups and of boards that are being recovered: read, call, write."""

from __future__ import annotations

from starlette.responses import Response, StreamingResponse

from accord.channel import authorise_read
from accord.encoding import Digest, Envelope, base64_encode
from accord.errors import MalformedError, NoSuchRouteError, RecoveryError
from accord.release import MAX_SEALED_SHARE
from accord.service._call import Call, in_threads, reply
from accord.service._core import TrustService
from accord.service._handlers import LOCAL
from accord.service._limits import Governor
from accord.service._readers import refused


class RecoveryHandlers:
    """What the operator and the members need to move a board to another machine."""

    def __init__(
        self, service: TrustService, governor: Governor, *, local: frozenset[str] = LOCAL
    ) -> None:
        self._service, self._governor, self._local = service, governor, local

    async def backup(self, call: Call) -> Response:
        if call.address not in self._local:
            raise NoSuchRouteError(method=call.method, path=call.path)
        host = await self._service.host(call.digest("board"))
        pieces = await self._service.back_up(host)
        return StreamingResponse(in_threads(pieces), media_type=call.route.media_type)

    def _board(self, call: Call) -> Digest:
        board = call.digest("board")
        self._governor.board(board)
        return board

    async def recovery(self, call: Call) -> Response:
        return self._shown(self._board(call))

    def _shown(self, board: Digest) -> Response:
        recoveries = self._service.recoveries
        return reply(
            {
                "offer": recoveries.offer(board).to_json(),
                "header": base64_encode(recoveries.header(board).to_bytes()),
            }
        )

    async def recovery_key(self, call: Call) -> Response:
        board, fields = self._board(call), await call.fields()
        member, sealed = fields.name("member"), fields.data("sealed", limit=MAX_SEALED_SHARE)
        fields.end()
        await self._service.recoveries.load(board, member, sealed)
        return self._shown(board)

    async def recovery_log(self, call: Call) -> Response:
        header, board = call.header("authorization"), self._board(call)
        if header is None:
            raise refused(call)
        try:
            ledger, machine, note = self._service.recoveries.log(board)
        except RecoveryError as exc:  # Who is no member hears the same, whatever there is.
            raise refused(call) from exc
        authorise_read(
            header,
            keys=machine.board.keys,
            board=board,
            path=call.path,
            tls_spki_sha256=self._service.keyset.tls_spki_sha256 or b"",
            now=self._service.now(),
        )
        query = call.query()
        start, size = call.count(query, "start") or 0, ledger.size
        if start > size or call.count(query, "size") not in (None, size):
            raise MalformedError(what="query", detail=f"there are {size} entries")
        end = min(start + call.page_size(query), size)
        entries = [base64_encode(ledger.entry_bytes(index)) for index in range(start, end)]
        return reply(
            {
                "entries": entries,
                "next": end if end < size else None,
                "size": size,
                "checkpoint": base64_encode(note),
            }
        )

    async def recovery_share(self, call: Call) -> Response:
        board, fields = self._board(call), await call.fields()
        envelope = Envelope.from_json(fields.take("envelope"), what="recovery share")
        sealed = fields.data("sealed", limit=MAX_SEALED_SHARE)
        fields.end()
        await self._service.recoveries.share(board, envelope, sealed)
        return self._shown(board)

    async def recovery_open(self, call: Call) -> Response:
        board, fields = self._board(call), await call.fields()
        fields.end()
        host = await self._service.reopen(board)
        return reply({"board": host.board})
