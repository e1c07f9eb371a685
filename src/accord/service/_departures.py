# SPDX-License-Identifier: Apache-2.0
"""Handing a board over to another trust service: the side that has it (docs/adr/0024)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from accord.channel import authorise_read
from accord.encoding import Digest, Envelope, Fields, parse_canonical_json
from accord.errors import (
    AccordError,
    AppraisalError,
    BoardMovedError,
    EvidenceError,
    HandoverRefusedError,
    NonceError,
    NotHandedOverError,
)
from accord.evidence import Claims, Evidence, Purpose, appraise, verify
from accord.identity import Statement, verify_statement
from accord.ledger import Entry, verify_checkpoint
from accord.release import Handover, HandoverOffer, HandoverRequest, log_origin
from accord.service._backup_board import pack
from accord.service._boards import Boards
from accord.service._claim import Ownership
from accord.service._cosigned import checkpoint_setting
from accord.service._host import BoardHost
from accord.service._moved import successor
from accord.service._parts import Parts

_LOG = logging.getLogger("accord.service")

DONE_KIND, DONE_SCHEMA = "handover-done", "accord.handover-done.v1"


def _done_setting(host: BoardHost, gone: Handover) -> str:
    return f"handed-over:{host.board}:{gone.size}"


def _address_setting(host: BoardHost, gone: Handover) -> str:
    """Where the successor was reached last, which may have started again elsewhere."""
    return f"handed-over-to:{host.board}:{gone.size}"


class Departures:
    """What this service handed over, and to whom it still gives it. One event loop.

    Of the services that might go on, the entry in the log names exactly one.
    """

    def __init__(self, parts: Parts, boards: Boards, ownership: Ownership) -> None:
        self._parts, self._boards, self._ownership = parts, boards, ownership
        self._lock = asyncio.Lock()
        self._offers: dict[Digest, HandoverOffer] = {}
        """By board, the boot of its successor that was attested last. Only ever in memory."""

    async def hand_over(
        self, host: BoardHost, request: Envelope, offer: Envelope, evidence: Evidence
    ) -> tuple[Envelope, str]:
        """The entry that names the service of ``offer`` as the one that goes on, and its address.

        On a witnessed board a quorum has seen it when this returns. Again, for another boot of
        the same service, it changes nothing but to which boot the package is sealed.

        Raises ``HandoverRefusedError``, ``BoardMovedError`` where it is another service's by
        now, ``ServiceDismissedError``, ``NotCosignedError``, and what verifying raises.
        """
        asked = await self._asked(host, request)
        wanted = HandoverRequest.from_fields(asked.fields())
        offered = _read_offer(offer)
        # (1) What was asked for is this very offer.
        named = (wanted.board, wanted.nonce, wanted.boot, wanted.keyset)
        if named != (host.board, offered.nonce, offered.boot, offered.keyset.digest):
            raise HandoverRefusedError(detail="the request is about another offer")
        if offered.board != host.board:
            raise HandoverRefusedError(detail="the offer is for another board")
        # (2) It answers our own question, and is another service's than this.
        claims = self._attested(host, offered, evidence)
        if offered.keyset.verify_key == host.key:
            raise HandoverRefusedError(detail="it is offered to this service itself")
        # An older copy of the disk hands nothing over, whatever its log ends with.
        self._parts.hosting.lives.require(witnessed=host.witnessed)
        async with self._lock:
            gone = successor(host)
            if gone is None:
                gone = await self._write(host, offered, evidence, claims, (wanted.target, asked))
            _require_named(host, gone, offered)
            # (5) Only now is there exactly one service that can ever go on.
            await self._note(host, gone)
            self._offers[host.board] = offered
            # Who has it is known once it was taken; before, it may have moved to another address.
            if wanted.target != gone.url and not await self._taken(host, gone):
                store, name = self._parts.hosting.store, _address_setting(host, gone)
                await self._parts.hosting.run(store.set_setting, name, wanted.target.encode())
        return await self.handover(host)

    async def _asked(self, host: BoardHost, request: Envelope) -> Statement:
        """The request, if a member signed it, or the owner of this service."""
        claim = await self._ownership.current()
        keys = dict(host.machine.board.keys)
        if claim is not None:
            keys[claim.owner.verify_key.key_id] = claim.owner.verify_key
        return verify_statement(request, "handover-request", keys)

    def _attested(self, host: BoardHost, offer: HandoverOffer, evidence: Evidence) -> Claims:
        """Where the service of the offer runs, under the board's own anchors."""
        now, genesis = host.now(), host.machine.board.genesis
        try:
            self._parts.challenges.consume(offer.nonce, host.board, Purpose.HANDOVER, now=now)
            if evidence.digest != offer.evidence:
                raise HandoverRefusedError(detail="the offer came with other evidence")
            return verify(evidence, anchors=genesis.anchors, now=now, binding=offer.binding)
        except (NonceError, EvidenceError) as exc:
            raise HandoverRefusedError(detail=f"its evidence does not hold ({exc.code})") from exc

    async def _write(
        self,
        host: BoardHost,
        offer: HandoverOffer,
        evidence: Evidence,
        claims: Claims,
        asked: tuple[str, Statement],
    ) -> Handover:
        if offer.holds:
            # Of another branch: this one could never be taken there.
            raise HandoverRefusedError(detail="that service holds a log of the board already")
        await self._boards.writing(host)
        # (3) This service may still act for the board, and witnesses answer: before the entry
        #     nothing has happened, after it nobody serves until the other one does.
        host.require_accepted()
        await host.opened()
        # (4) The charter in force accepts the other one. No await from here to the entry.
        accepted = host.machine.board.charter.service
        try:
            appraise(claims, accepted, now=host.now())
        except AppraisalError as exc:
            detail = f"the charter accepts no such service ({exc.code})"
            raise HandoverRefusedError(detail=detail) from exc
        url, statement = asked
        body = Handover(
            board=host.board,
            nonce=offer.nonce,
            boot=offer.boot,
            keyset=offer.keyset,
            evidence=evidence.digest,
            size=host.head.size,
            accepted=accepted,
            url=url,
            asked=min(statement.signers),
        )
        host.stage(
            self._parts.sign("handover", body.to_json()),
            objects={evidence.digest: evidence.to_bytes()},
        )
        _LOG.warning("board %s: handed over to %s", host.board, offer.keyset.verify_key.key_id)
        return body

    async def _note(self, host: BoardHost, gone: Handover) -> bytes:
        """The checkpoint over the log with the hand-over; a quorum's where there are witnesses.

        Raises ``NotCosignedError`` or ``LogForkError``; asked again, it goes on.
        """
        await host.settled()
        if not host.witnessed:
            return host.checkpoint(gone.size + 1)
        store, name = self._parts.hosting.store, checkpoint_setting(host.board)
        kept = await self._parts.hosting.run(store.setting, name)
        if kept is not None and _covers(host, kept, gone.size + 1):
            return kept
        if not host.writes:  # It was started again, and only reads so far.
            await host.promote()
        await host.confirmed(gone.size)
        note = host.cosigning.note or b""
        # Before anything leaves: witnesses that follow the new key say this only once.
        await self._parts.hosting.run(store.set_setting, name, note)
        return note

    async def handover(self, host: BoardHost) -> tuple[Envelope, str]:
        """The entry with which the board left, and where it was brought to last.

        The address proves nothing. Raises ``NotHandedOverError``.
        """
        gone = successor(host)
        if gone is None:
            raise NotHandedOverError(board=host.board)
        await host.settled()
        [data] = await host.entries(gone.size, gone.size + 1)
        store, name = self._parts.hosting.store, _address_setting(host, gone)
        address = await self._parts.hosting.run(store.setting, name)
        url = gone.url if address is None else address.decode()
        return Entry.from_bytes(data).envelope, url

    async def package(self, host: BoardHost, header: str | None, path: str) -> Iterator[bytes]:
        """Everything that the successor needs, for it alone; iterate it in a thread.

        ``header`` is its signed request for ``path``. Raises ``RequestRefusedError``,
        ``NotHandedOverError``, or ``HandoverRefusedError`` once it has said that it has it.
        """
        gone = successor(host)
        if gone is None:
            raise NotHandedOverError(board=host.board)
        authorise_read(
            header,
            keys={gone.key.key_id: gone.key},
            board=host.board,
            path=path,
            tls_spki_sha256=self._parts.keyset.tls_spki_sha256 or b"",
            now=self._parts.hosting.clock(),
        )
        offer = self._offers.get(host.board)
        if offer is None or offer.keyset.verify_key != gone.key:
            raise HandoverRefusedError(detail="no boot of that service was attested here lately")
        self._parts.hosting.lives.require(witnessed=host.witnessed)
        if await self._taken(host, gone):
            # What went on there since would be rolled back by this.
            raise HandoverRefusedError(detail="the other service has taken it already")
        return await pack(self._parts, host, gone, offer, await self._note(host, gone))

    async def done(self, host: BoardHost, envelope: Envelope) -> None:
        """Takes the successor's word that the board is durable there; again is no error.

        From then on this service gives the package to nobody. Raises ``NotHandedOverError``,
        ``HandoverRefusedError``, and what verifying raises.
        """
        gone = successor(host)
        if gone is None:
            raise NotHandedOverError(board=host.board)
        fields = verify_statement(envelope, DONE_KIND, {gone.key.key_id: gone.key}).fields()
        fields.schema(DONE_SCHEMA)
        said = fields.digest("board"), fields.integer("size", minimum=1), fields.text("root")
        fields.end()
        size = gone.size + 1
        if said != (host.board, size, host.head.root(size).hex()):
            raise HandoverRefusedError(detail="it speaks of another hand-over")
        store, name = self._parts.hosting.store, _done_setting(host, gone)
        await self._parts.hosting.run(store.set_setting, name, envelope.to_bytes())
        self._offers.pop(host.board, None)

    async def _taken(self, host: BoardHost, gone: Handover) -> bool:
        """Whether the successor has said that the board is durable there."""
        store = self._parts.hosting.store
        return await self._parts.hosting.run(store.setting, _done_setting(host, gone)) is not None


def _read_offer(envelope: Envelope) -> HandoverOffer:
    """The offer, signed with the key that it names. Raises what reading and verifying raise."""
    what = "handover offer"
    offer = HandoverOffer.from_fields(
        Fields(parse_canonical_json(envelope.payload, what=what), what)
    )
    key = offer.keyset.verify_key
    verify_statement(envelope, "handover-offer", {key.key_id: key})
    return offer


def _require_named(host: BoardHost, gone: Handover, offer: HandoverOffer) -> None:
    found, named = offer.keyset, gone.keyset
    if (found.verify_key, found.seal_key) != (named.verify_key, named.seal_key):
        raise BoardMovedError(board=host.board, url=gone.url)


def _covers(host: BoardHost, note: bytes, size: int) -> bool:
    """Whether a note that this service kept is over exactly so many entries."""
    origin = log_origin(host.board, host.machine.board.generation(size))
    try:
        found = verify_checkpoint(note, origin=origin, name=origin, key=host.key)
    except AccordError:
        return False
    return (found.size, found.root) == (size, host.head.root(size))
