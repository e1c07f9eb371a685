# SPDX-License-Identifier: Apache-2.0
"""A trust service in this process with one board, a clock that can be moved, and its shields."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.board import AssetKind, AssetOffer, Ballot, Choice, EnactPolicy, Proposal
from accord.channel import TLSIdentity
from accord.encoding import Digest, Envelope, sha256
from accord.evidence import Purpose, Role
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
from accord.ledger import Entry
from accord.policy import Policy
from accord.release import (
    ASSET_KEY_PURPOSE,
    GRANT_PURPOSE,
    Grant,
    Lease,
    LeaseRequest,
    ReleaseRequest,
    asset_key_context,
    grant_context,
    lease_binding,
    shield_binding,
)
from accord.service import MemoryStore, MonotonicCounter, TrustService, create_app
from accord.service._host import BoardHost
from accord.service._releases import Timings
from accord.testing import SimulatedTDX
from tests.support.live import (
    Hardware,
    make_genesis,
    make_service,
    reference,
    running_app,
    terms,
)

BOTH = {"policy.enact": {"all": ["role:data-owner", "role:code-owner"]}}


@dataclass(frozen=True)
class Shield:
    """An honest shield's keys; what is sealed to it can be opened."""

    attester: SimulatedTDX
    signer: KeySigner = field(default_factory=lambda: KeySigner(Ed25519PrivateKey.generate()))
    seal_key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    @property
    def keyset(self) -> Keyset:
        public = SealKey(self.seal_key.public_key().public_bytes_raw())
        return Keyset(self.signer.verify_key, public)


@dataclass
class Served:
    """The service, its board of ann (data owner) and bob (code owner), and what they do."""

    hardware: Hardware
    root: Path
    constitution: Mapping[str, Any] = field(default_factory=lambda: BOTH)
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    store: MemoryStore = field(default_factory=MemoryStore)
    ahead: timedelta = timedelta(0)
    counter: MonotonicCounter | None = None
    tls: TLSIdentity = field(default_factory=TLSIdentity.generate)

    def __post_init__(self) -> None:
        self.genesis, self.envelope = make_genesis(
            self.root, self.hardware, constitution=self.constitution, extra=self.extra
        )
        self.service = self.start()
        self.host = asyncio.run(self.service.found(self.envelope))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def start(self) -> TrustService:
        return make_service(
            self.hardware.attester(Role.SERVICE),
            store=self.store,
            tls_spki_sha256=self.tls.spki_sha256,
            clock=self.now,
            counter=self.counter,
        )

    @contextlib.contextmanager
    def over_http(self) -> Iterator[str]:
        """Inside, the service answers at the URL, in a thread, and must not be used otherwise."""
        with running_app(create_app(self.service), self.tls) as url:
            yield url

    def restart(self) -> None:
        """Ends the service and starts it again on the same store."""
        self.service = self.start()
        self.host = asyncio.run(self.service.host(self.board))

    @property
    def board(self) -> Digest:
        return self.genesis.digest

    def identity(self, name: str) -> FileIdentity:
        return FileIdentity.load(self.root / name)

    # --- members ---------------------------------------------------------------------------

    def policy(self, **changes: Any) -> Policy:
        """A policy ``job`` with one service ``train``; ``train`` in changes adds to that."""
        train = {
            "attestation": reference(self.hardware, Role.SHIELD)["attestation"],
            "command": ["true"],
            "inputs": [],
            "outputs": [],
            **changes.pop("train", {}),
        }
        document = {
            "schema": "accord.policy.v1",
            "name": "job",
            "purpose": "testing",
            "services": {"train": train},
            **changes,
        }
        return Policy.from_json(document)

    def proposal(self, *policies: Policy, by: str = "bob") -> Envelope:
        proposal = Proposal(
            board=self.board,
            author=by,
            title="a job",
            base=self.host.machine.board.charter.digest,
            actions=tuple(map(EnactPolicy, policies)),
            expires=self.now().replace(microsecond=0) + timedelta(days=1),
        )
        return sign_statement("proposal", proposal.to_json(), [self.identity(by).signer])

    def submit(self, envelope: Envelope, **given: Any) -> int:
        sealed_key = given.pop("sealed_key", None)
        return asyncio.run(self.service.submit(self.host, envelope, sealed_key, **given))

    def vote(
        self, proposal: Digest, *names: str, choice: Choice = Choice.APPROVE, sequence: int = 1
    ) -> None:
        for name in names:
            ballot = Ballot(self.board, proposal, name, choice, sequence)
            self.submit(sign_statement("ballot", ballot.to_json(), [self.identity(name).signer]))

    def enact(self, *policies: Policy, by: tuple[str, ...] = ("ann", "bob")) -> Digest:
        envelope = self.proposal(*policies)
        self.submit(envelope)
        self.vote(envelope.statement_digest, *by)
        return envelope.statement_digest

    def deposit(self, name: str, value: bytes, *, max_uses: int = 1000) -> Digest:
        """Ann deposits a secret; returns the digest of her offer."""
        salted = bytes(32) + value
        envelope = self.offer(name, sha256(salted), max_uses=max_uses)
        sealed = seal(
            salted,
            self.service.keyset.seal_key,
            purpose=ASSET_KEY_PURPOSE,
            context=asset_key_context(envelope.statement_digest),
        )
        self.submit(envelope, sealed_key=sealed)
        return envelope.statement_digest

    def offer(self, name: str, tag: Digest, *, max_uses: int = 1000) -> Envelope:
        record = self.host.machine.board.assets.get(f"ann/{name}")
        offer = AssetOffer(
            board=self.board,
            name=f"ann/{name}",
            kind=AssetKind.SECRET,
            tag=tag,
            terms=terms(max_uses=max_uses),
            predecessor=record.latest if record else None,
        )
        return sign_statement("asset", offer.to_json(), [self.identity("ann").signer])

    # --- shields ---------------------------------------------------------------------------

    def shield(self, **registers: bytes) -> Shield:
        return Shield(self.hardware.attester(Role.SHIELD, **registers))

    def request(self, shield: Shield, **given: Any) -> ReleaseRequest:
        policy = given.pop("policy", "job")
        nonce = given.pop("nonce", None) or self.service.challenge(self.host)[0]
        plain = ReleaseRequest(
            self.board,
            policy,
            "train",
            shield.keyset,
            nonce,
            evidence=None,  # type: ignore[arg-type]
            **given,
        )
        binding = shield_binding(
            self.board,
            policy,
            "train",
            shield.keyset,
            nonce,
            token_sha256=plain.token_sha256,
            tls_spki_sha256=plain.tls_spki_sha256,
        )
        evidence = shield.attester.collect(binding.report_data())
        return ReleaseRequest(self.board, policy, "train", shield.keyset, nonce, evidence, **given)

    def ask(self, request: ReleaseRequest) -> bytes:
        return asyncio.run(self.service.release(self.host, request, Timings()))

    def release(self, shield: Shield | None = None, **given: Any) -> Grant:
        """What an honest shield is granted."""
        shield = shield or self.shield()
        request = self.request(shield, **given)
        message = open_sealed(
            self.ask(request),
            shield.seal_key,
            purpose=GRANT_PURPOSE,
            context=grant_context(self.board, request.nonce, shield.keyset),
        )
        statement = self.said_by_service("grant", Envelope.from_bytes(message, what="grant"))
        return Grant.from_fields(statement.fields())

    def renew(self, shield: Shield, run: str) -> Lease:
        nonce, _ = self.service.challenge(self.host, Purpose.LEASE)
        binding = lease_binding(self.board, run, shield.keyset, nonce)
        evidence = shield.attester.collect(binding.report_data())
        request = LeaseRequest.make(
            board=self.board, run=run, nonce=nonce, evidence=evidence, signer=shield.signer
        )
        envelope = asyncio.run(self.service.renew(self.host, request))
        return Lease.from_fields(self.said_by_service("lease", envelope).fields())

    def said_by_service(self, kind: str, envelope: Envelope) -> Any:
        key = self.service.keyset.verify_key
        return verify_statement(envelope, kind, {key.key_id: key})

    # --- looking ---------------------------------------------------------------------------

    def statements(self, kind: str) -> list[Any]:
        """The bodies of all entries of this kind."""
        host: BoardHost = self.host
        found = []
        for data in asyncio.run(host.entries(0, host.durable_size)):
            envelope = Entry.from_bytes(data).envelope
            if f"accord.{kind}.v1" in envelope.payload_type:
                found.append(self.said_by_service(kind, envelope).body)
        return found
