# SPDX-License-Identifier: Apache-2.0
"""Taking a board over from another trust service: the side that goes on (docs/adr/0024)."""

from __future__ import annotations

import asyncio
import tempfile
from collections import OrderedDict
from dataclasses import replace
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.board import Genesis, verify_genesis
from accord.client import fetch_package, verify_backup
from accord.encoding import Digest, Envelope, JSONValue, sha256
from accord.errors import (
    AccordError,
    AppraisalError,
    BackupDamagedError,
    GenesisError,
    HandoverRefusedError,
    SealedMessageError,
)
from accord.evidence import Claims, Evidence, appraise
from accord.identity import Keyset, SealKey, open_sealed, verify_statement
from accord.release import (
    PACKAGE_KEY_PURPOSE,
    HandoverOffer,
    HandoverRequest,
    Machine,
    package_context,
)
from accord.service._backup import KEY_BYTES, BackupReader
from accord.service._boards import Boards
from accord.service._brought import bring
from accord.service._claim import Ownership
from accord.service._departures import DONE_KIND, DONE_SCHEMA
from accord.service._host import BoardHost
from accord.service._moved import successor
from accord.service._parts import Parts
from accord.service._store import Stored

MAX_EXPECTED = 10_000
"""Boards remembered that this boot has offered to take: 1 MB."""


class Arrivals:
    """What this service offers to take over, and takes. One event loop.

    The package is sealed to a key of this boot, which is never stored: a copy of this service's
    disk that is started again can open none that it was sent before.
    """

    def __init__(self, parts: Parts, boards: Boards, ownership: Ownership) -> None:
        self._parts, self._boards, self._ownership = parts, boards, ownership
        self._boot = parts.entropy(32)
        self._key = X25519PrivateKey.generate()
        self._lock = asyncio.Lock()
        self._expected: OrderedDict[Digest, None] = OrderedDict()

    async def offer(
        self, board: Digest, genesis: Envelope, nonce: bytes
    ) -> tuple[Envelope, Evidence]:
        """The signed word of this boot, and evidence for whoever asked with ``nonce``.

        Raises ``NotClaimedError`` or ``FoundingRefusedError`` where the owner takes on no such
        board, ``HandoverRefusedError`` where it has a log of its own here, and what verifying
        the genesis raises.
        """
        await self._admit(_genesis_of(board, genesis))
        holds = self._require_room(board)
        public = SealKey(self._key.public_key().public_bytes_raw())
        parts = self._parts
        draft = HandoverOffer(board, nonce, self._boot, parts.keyset, public, sha256(b""))
        evidence = parts.attester.collect(draft.binding.report_data())
        offer = replace(draft, evidence=evidence.digest, holds=holds)
        return parts.sign("handover-offer", offer.to_json()), evidence

    def _require_room(self, board: Digest) -> bool:
        """Whether a log of the board is here, which then came by a hand-over.

        Whoever has a genesis may send it here, too: such a log must not be in the way later.
        Raises ``HandoverRefusedError`` where it was founded here.
        """
        held = self._held(board)
        if held is not None and not _came(held):
            raise HandoverRefusedError(detail="that service has a log of its own of the board")
        self._expected[board] = None
        self._expected.move_to_end(board)
        if len(self._expected) > MAX_EXPECTED:
            self._expected.popitem(last=False)
        return held is not None

    def expects(self, board: Digest) -> bool:
        """Whether this boot has offered to take the board over: nobody founds it here then."""
        return board in self._expected

    async def _admit(self, genesis: Genesis) -> None:
        """Whether the owner of this service takes the board on, which may have been here before."""
        hosts = {host.board for host in self._boards}
        await self._ownership.admit(genesis, len(hosts - {genesis.digest}))

    async def take(self, board: Digest, genesis: Envelope, request: Envelope) -> BoardHost:
        """Fetches the board from the service that named this one, and goes on with it.

        It is whole and durable when this returns; again is no error. The request is a
        founder's, or the owner's of this service: it says which address is called.

        Raises ``HandoverRefusedError``, ``BackupDamagedError``, CHN and ATT errors of the other
        service, and what the store raises.
        """
        founded = _genesis_of(board, genesis)
        wanted = await self._wanted(founded, request)
        async with self._lock:
            host = self._held(board)
            if host is not None:
                return host
            await self._admit(founded)
            await self._boards.let_go(board)
            await self._parts.hosting.run(self._fetch, founded, wanted)
            return await self._boards.taken_over(board)

    def _held(self, board: Digest) -> BoardHost | None:
        """The board, if it is this service's already."""
        for host in self._boards:
            if host.board == board and host.machine.log_key == host.key:
                return host
        return None

    async def _wanted(self, genesis: Genesis, request: Envelope) -> HandoverRequest:
        keys, claim = dict(genesis.charter.keys), await self._ownership.current()
        if claim is not None:
            keys[claim.owner.verify_key.key_id] = claim.owner.verify_key
        statement = verify_statement(request, "handover-request", keys)
        wanted = HandoverRequest.from_fields(statement.fields())
        named = (wanted.board, wanted.boot, wanted.keyset)
        if named != (genesis.digest, self._boot, self._parts.keyset.digest):
            raise HandoverRefusedError(detail="the request is about another boot or service")
        return wanted

    def _fetch(self, genesis: Genesis, wanted: HandoverRequest) -> None:
        parts = self._parts
        with tempfile.TemporaryFile() as file:  # It is ciphertext, and may be large.
            keyset, claims = fetch_package(
                wanted.source,
                genesis,
                parts.keys.signer,
                file,
                public_only=not parts.private_peers,
            )
            file.seek(0)
            self._store(file, genesis.digest, keyset, claims)

    def _store(self, file: BinaryIO, board: Digest, giver: Keyset, claims: Claims) -> None:
        reader = BackupReader(file)
        keys = self._opened(reader, board)
        entries, notes, objects = list[bytes](), dict[int, bytes](), dict[str, bytes]()
        for part in reader.log(keys[:KEY_BYTES]):
            if part.kind == "e":
                entries.append(part.data)
            elif part.kind == "n":
                notes[int(part.name)] = part.data
            else:
                objects[sha256(part.data)] = part.data
        machine = self._replayed(reader, board, entries)
        # Nobody else can have sent it: who seals to us is not known by that.
        if machine.former_keys[-1] != giver.verify_key:
            raise HandoverRefusedError(detail="another service wrote that log")
        try:
            appraise(claims, machine.board.charter.service, now=self._parts.hosting.clock())
        except AppraisalError as exc:
            detail = f"the charter accepts no such service as the other one ({exc.code})"
            raise HandoverRefusedError(detail=detail) from exc
        secrets = {item.name: item.data for item in reader.secrets(keys[KEY_BYTES:])}
        batch = [*map(Stored, entries[:-1]), Stored(entries[-1], objects, secrets)]
        bring(self._parts.hosting, reader.header, machine, batch, notes=notes)

    def _opened(self, reader: BackupReader, board: Digest) -> bytes:
        """The keys of a package. Raises ``HandoverRefusedError``."""
        header, holder = reader.header, self._parts.keyset.verify_key.key_id
        context = package_context(board, header.backup, self._boot, holder)
        try:
            keys = open_sealed(
                header.keys.get(holder, b""),
                self._key,
                purpose=PACKAGE_KEY_PURPOSE,
                context=context,
            )
        except SealedMessageError as exc:
            raise HandoverRefusedError(detail="the package is not for this boot") from exc
        if len(keys) != 2 * KEY_BYTES:
            raise BackupDamagedError(detail="its keys are none")
        return keys

    def _replayed(self, reader: BackupReader, board: Digest, entries: list[bytes]) -> Machine:
        """The state at the end of the log, which hands it over to this service.

        Raises ``BackupDamagedError`` or ``HandoverRefusedError``.
        """
        try:
            ledger, machine = Machine.replay(entries)
            verify_backup(reader.header, ledger, machine)
        except BackupDamagedError:
            raise
        except AccordError as exc:
            raise BackupDamagedError(detail=exc) from exc
        gone = machine.handover
        if machine.board.board != board or gone is None or gone.size + 1 != ledger.size:
            raise HandoverRefusedError(detail="the log does not end with a hand-over")
        if gone.key != self._parts.keyset.verify_key:
            raise HandoverRefusedError(detail="the log names another service")
        return machine

    def done(self, host: BoardHost) -> Envelope:
        """Says to the service before that the board is durable here.

        Raises ``HandoverRefusedError`` where it is not this service's.
        """
        gone = host.machine.handover
        if gone is None or not _came(host):
            raise HandoverRefusedError(detail="it was not handed over to this service")
        size = gone.size + 1
        body: JSONValue = {
            "schema": DONE_SCHEMA,
            "board": host.board,
            "size": size,
            "root": host.head.root(size).hex(),
        }
        return self._parts.sign(DONE_KIND, body)


def _came(host: BoardHost) -> bool:
    """Whether the board is here by a hand-over."""
    gone = host.machine.handover
    return gone is not None and gone.key == host.key and successor(host) is None


def _genesis_of(board: Digest, envelope: Envelope) -> Genesis:
    """Raises ``GenesisError`` where it is another board's, and what verifying raises."""
    genesis = verify_genesis(envelope)
    if genesis.digest != board:
        raise GenesisError(detail=f"it founds {genesis.digest}, not {board}")
    return genesis
