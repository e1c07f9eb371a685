# SPDX-License-Identifier: Apache-2.0
"""What a trust service is busy with while it is killed, and what it acknowledged."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.board import AssetKind, AssetOffer
from accord.client import TrustSession
from accord.encoding import Digest, Envelope, Fields, base64_decode, parse_json, sha256
from accord.errors import AccordError, ChannelError
from accord.evidence import Role
from accord.identity import (
    FileIdentity,
    Keyset,
    KeySigner,
    SealKey,
    open_sealed,
    seal,
    sign_statement,
    verify_statement,
)
from accord.ledger import Entry, LogHead, verify_checkpoint
from accord.policy import Policy
from accord.release import (
    ASSET_KEY_PURPOSE,
    GRANT_PURPOSE,
    Grant,
    Machine,
    ReleaseRequest,
    TagCommit,
    TagUpdate,
    asset_key_context,
    grant_context,
    log_origin,
    shield_binding,
)
from tests.support.live import Board, terms


@dataclass
class Acknowledged:
    """Everything that anybody was told by the service, over all of its lives."""

    statements: dict[Digest, int] = field(default_factory=dict)
    """Statements that were answered, with the index that the answer named."""

    runs: set[str] = field(default_factory=set)
    """Runs whose grant arrived and could be opened."""

    tags: list[Digest] = field(default_factory=list)
    """Of the live volume, in order; the last one may have been asked for only."""

    committed: int = 0
    """How many of them were answered."""

    older: list[Digest | None] = field(default_factory=list)
    """Tags that a run was to go on from although a later one had been answered."""

    errors: list[AccordError] = field(default_factory=list)
    """Refusals: a service that is killed may be silent, but must not refuse."""


class Load:
    """Secrets are deposited, releases asked for, tags committed, as fast as it answers."""

    def __init__(self, board: Board, url: str, acknowledged: Acknowledged) -> None:
        self._board, self._url, self._acknowledged = board, url, acknowledged
        self._stop = threading.Event()
        self.busy = threading.Event()
        """Set with the first grant: where there are witnesses, a quorum has answered by then."""

        self._threads = [
            threading.Thread(target=self._until_killed, args=(work,))
            for work in (self._deposit, self._release, self._commit)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _until_killed(self, work: Callable[[TrustSession], None]) -> None:
        try:
            with TrustSession.attest(self._url, self._board.genesis) as session:
                while not self._stop.is_set():
                    work(session)
        except ChannelError:
            return  # Killed: whatever was not answered may be there or not.
        except AccordError as exc:
            self._acknowledged.errors.append(exc)

    def _deposit(self, session: TrustSession) -> None:
        salted = os.urandom(64)
        offer = AssetOffer(
            board=self._board.genesis.digest,
            name=f"ann/word-{os.urandom(8).hex()}",
            kind=AssetKind.SECRET,
            tag=sha256(salted),
            terms=terms(),
            predecessor=None,
        )
        signer = FileIdentity.load(self._board.home("ann")).signer
        envelope = sign_statement("asset", offer.to_json(), [signer])
        sealed = seal(
            salted,
            session.keyset.seal_key,
            purpose=ASSET_KEY_PURPOSE,
            context=asset_key_context(envelope.statement_digest),
        )
        index = session.submit(envelope, sealed_key=sealed)
        self._acknowledged.statements[envelope.statement_digest] = index

    def _release(self, session: TrustSession) -> None:
        self._acknowledged.runs.add(released(self._board, session).run)
        self.busy.set()

    def _commit(self, session: TrustSession) -> None:
        """One run that commits a few tags of its live volume, and ends without closing it."""
        told, signer = self._acknowledged, KeySigner(Ed25519PrivateKey.generate())
        grant = released(self._board, session, service="keep", signer=signer)
        told.runs.add(grant.run)
        old = grant.volumes[0].tag
        # What was not answered may be there, or not; what was answered is.
        if told.committed and old not in told.tags[told.committed - 1 :]:
            told.older.append(old)
        del told.tags[told.committed :]
        if old is not None and old not in told.tags:
            told.tags.append(old)
            told.committed = len(told.tags)
        for number in range(1, 6):
            new = sha256(os.urandom(32))
            update = TagUpdate(grant.volumes[0].volume, number, old, new)
            commit = TagCommit(grant.board, grant.run, (update,)).to_json()
            told.tags.append(new)
            session.commit_tag(sign_statement("tag-commit", commit, [signer]))
            told.committed, old = len(told.tags), new


def released(
    board: Board, session: TrustSession, *, service: str = "train", signer: KeySigner | None = None
) -> Grant:
    """What an honest shield is granted for a service of the policy ``job``."""
    digest, seal_key = board.genesis.digest, X25519PrivateKey.generate()
    signer = signer or KeySigner(Ed25519PrivateKey.generate())
    keyset = Keyset(signer.verify_key, SealKey(seal_key.public_key().public_bytes_raw()))
    nonce = session.challenge()
    exporter = session.binder(nonce)
    binding = shield_binding(digest, "job", service, keyset, nonce, exporter=exporter)
    evidence = board.hardware.attester(Role.SHIELD).collect(binding.report_data())
    request = ReleaseRequest(digest, "job", service, keyset, nonce, evidence, session.channel)
    sealed, _ = session.release(request, another=True)
    message = open_sealed(
        sealed, seal_key, purpose=GRANT_PURPOSE, context=grant_context(digest, nonce, keyset)
    )
    key = session.keyset.verify_key
    envelope = Envelope.from_bytes(message, what="grant")
    return Grant.from_fields(verify_statement(envelope, "grant", {key.key_id: key}).fields())


def enact_small_policy(board: Board) -> None:
    """Puts a policy ``job`` in force without outputs, so that a release is all there is.

    Its service ``train`` uses an asset; ``keep`` has a volume, which goes on from its last tag.
    """
    document = board.policy({"ann/data": board.offer("ann", "data", max_uses=10**6)}).to_json()
    train = {**document["services"]["train"], "outputs": []}
    keep = {**train, "inputs": [], "volumes": [{"volume": "state", "at": "/data/state"}]}
    services = {"train": train, "keep": keep}
    live = {"state": {"update": "unprotected"}}
    policy = Policy.from_json({**document, "services": services, "volumes": live})
    board.vote(board.propose("bob", policy), *board.names)


class Follower:
    """A member who reads on where they stopped, and so sees whatever changed behind them.

    Every entry is replayed, too: a use that is counted twice, or a tag that goes back, raises.
    """

    def __init__(self, board: Board) -> None:
        self._board, self.head = board, LogHead()
        self._signer = FileIdentity.load(board.home("ann")).signer
        self._machine: Machine | None = None
        self.places: dict[Digest, int] = {}
        self.runs: set[str] = set()

    @property
    def machine(self) -> Machine:
        """What the log comes to."""
        if self._machine is None:
            message = "nothing was read yet"
            raise RuntimeError(message)
        return self._machine

    @property
    def used(self) -> int:
        """How many uses of the one asset are counted."""
        return max(self.machine.uses.values(), default=0)

    @property
    def tag(self) -> Digest | None:
        """Of the live volume, the latest one."""
        record = self.machine.board.tags.get("job/state")
        return None if record is None else record.tag

    def read_on(self, session: TrustSession) -> None:
        """Takes in what is new; the checkpoint must cover what was read before, too."""
        path, note, size = f"{self._board.path}/log", b"", self.head.size + 1
        while self.head.size < size:  # Each start of the service adds an entry at least.
            page = session._read(path, self._signer, f"start={self.head.size}")
            fields = Fields(parse_json(page, what="log", limit=1 << 26), "log")
            for where, item in fields.items("entries"):
                self._take(self.head.extend(base64_decode(str(item), what=where)))
            size, note = fields.integer("size", minimum=1), fields.data("checkpoint")
        origin, key = log_origin(session.board), session.keyset.verify_key
        covered = verify_checkpoint(note, origin=origin, name=origin, key=key)
        self.head.verify_complete(covered)

    def _take(self, entry: Entry) -> None:
        if self._machine is None:
            self._machine = Machine.found(entry)
        else:
            self._machine.apply(entry)
        envelope = entry.envelope
        self.places[envelope.statement_digest] = entry.index
        if envelope.payload_type.endswith("accord.release.v1+json"):
            body = Fields(parse_json(envelope.payload, what="release"), "release")
            self.runs.add(body.text("run"))
