# SPDX-License-Identifier: Apache-2.0
"""Who asks: a member of the board, somebody with a key that a policy names, or anybody."""

from __future__ import annotations

from dataclasses import dataclass

from accord.channel import authorise_read
from accord.encoding import Digest, base64_decode
from accord.errors import MalformedError, RequestRefusedError, UnknownBoardError
from accord.identity import VerifyKey
from accord.service._call import Call
from accord.service._core import TrustService
from accord.service._host import BoardHost
from accord.service._limits import Governor

KEY_HEADER = "Accord-Key"
"""Holds the public key of a reader who is no member: the board does not know it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who reads a board."""

    host: BoardHost
    member: bool
    witness: bool = False
    key: Digest | None = None


class Readers:
    """Finds the board of a request, and who sent it."""

    def __init__(self, service: TrustService, governor: Governor) -> None:
        self._service, self._governor = service, governor

    async def host(self, call: Call) -> BoardHost:
        """The board that the path names. Raises ``UnknownBoardError``."""
        host = await self._service.host(call.digest("board"))
        call.record.board = host.board.removeprefix("sha256:")
        self._governor.board(host.board)
        return host

    async def member(self, call: Call) -> BoardHost:
        """The board, for a member's signed request.

        Raises ``RequestRefusedError``, in the same words where there is no such board.
        """
        reader = await self.reader(call)
        if not reader.member:
            raise refused(call)
        return reader.host

    async def member_or_witness(self, call: Call) -> BoardHost:
        """`member`, or a witness whose cosignatures the board needs: it may replay the log."""
        reader = await self.reader(call, witnesses=True)
        if not (reader.member or reader.witness):
            raise refused(call)
        return reader.host

    async def reader(self, call: Call, *, witnesses: bool = False) -> Reader:
        """The board, and what the request proves of who asks: it may prove nothing.

        Raises ``RequestRefusedError``, in the same words where there is no such board.
        """
        header = call.header("authorization")
        if header is None:
            self._governor.stranger(call.address)
        try:
            host = await self.host(call)
        except UnknownBoardError as exc:
            raise refused(call) from exc
        if header is None:
            return Reader(host, member=False)
        members = host.machine.board.keys
        others = host.cosigning.readers() if witnesses and host.witnessed else {}
        own = _own_key(call)
        try:
            key = authorise_read(
                header,
                keys={**members, **others} if own is None else {own.key_id: own},
                board=host.board,
                path=call.path,
                tls_spki_sha256=self._service.keyset.tls_spki_sha256 or b"",
                now=self._service.now(),
            )
        except RequestRefusedError as exc:
            if own is None:
                raise
            raise refused(call) from exc
        self._governor.key(key)
        return Reader(host, member=key in members, witness=key in others, key=key)


def refused(call: Call) -> RequestRefusedError:
    """What a stranger hears, whatever is there."""
    signed = call.header("authorization") is not None
    return RequestRefusedError(
        detail="the signature is not valid" if signed else "there is no signature"
    )


def _own_key(call: Call) -> VerifyKey | None:
    """The public key that came with the request. Raises ``RequestRefusedError``."""
    text = call.header(KEY_HEADER)
    if text is None:
        return None
    try:
        own = VerifyKey(base64_decode(text, what=KEY_HEADER))
        own.key_id  # noqa: B018 - only a key has an id
    except MalformedError as exc:
        raise refused(call) from exc
    return own
