# SPDX-License-Identifier: Apache-2.0
"""One board of five members with one policy, at one trust service; and its shields."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.board import Ballot, Choice, EnactPolicy, Proposal
from accord.client import AttestedService, Founding, MemberHome, TrustSession
from accord.encoding import Digest, Envelope
from accord.evidence import Role
from accord.identity import FileIdentity, Keyset, KeySigner, SealKey, open_sealed, sign_statement
from accord.policy import Channel, Policy
from accord.release import GRANT_PURPOSE, ReleaseRequest, grant_context, shield_binding
from accord.testing import SimulatedPlatform, SimulatedTDX, simulated_measurements
from tests.support.live import Board, Hardware, make_genesis, reference, service_pins

MEMBERS = ("ann", "bob", "cat", "dan", "eve")
EVERYBODY = {"policy.enact": {"all": ["role:data-owner", "role:code-owner"]}}
USES = 10_000_000


@dataclass(frozen=True)
class Place:
    """What a process that sends requests has to know; plain, so that it can be passed on."""

    url: str
    board: Digest
    compute_host: Path

    def attester(self) -> SimulatedTDX:
        return SimulatedPlatform.load(self.compute_host).attester(
            simulated_measurements(Role.SHIELD)
        )


@dataclass
class Scene:
    """A founded board, its one asset and its policy ``job``, enacted by all five members."""

    hardware: Hardware
    root: Path
    url: str
    board: Board = field(init=False)
    policy: Policy = field(init=False)

    def __post_init__(self) -> None:
        owner = FileIdentity.create(self.root / "owner", "owner")
        with AttestedService.attest(self.url, service_pins(self.hardware)) as service:
            service.claim(owner)
            service.configure(
                owner, founding=Founding.ANYONE, max_boards=10, requests_per_s=1_000_000
            )
        genesis, envelope = make_genesis(
            self.root, self.hardware, names=MEMBERS, constitution=EVERYBODY
        )
        with TrustSession.attest(self.url, genesis) as session:
            session.found(envelope)
        for name in MEMBERS:
            MemberHome.join(self.root / name, genesis, self.url)
        self.board = Board(self.root, self.hardware, self.url, genesis, MEMBERS, envelope)
        self.tag = self.board.offer("ann", "records", max_uses=USES)
        self.policy = self.board.enact({"ann/records": self.tag})

    @property
    def place(self) -> Place:
        return Place(self.url, self.board.genesis.digest, self.hardware.compute_host)

    def signer(self, name: str) -> KeySigner:
        return FileIdentity.load(self.root / name).signer

    def small_policy(self, name: str, number: int, predecessor: Digest | None = None) -> Policy:
        """One service without inputs; ``number`` tells versions apart."""
        document: dict[str, Any] = {
            "schema": "accord.policy.v1",
            "name": name,
            "purpose": "testing",
            "services": {
                "train": {
                    "attestation": reference(self.hardware, Role.SHIELD)["attestation"],
                    "command": ["true"],
                    "environment": {"NUMBER": str(number)},
                    "inputs": [],
                    "outputs": [],
                }
            },
        }
        if predecessor is not None:
            document["predecessor"] = predecessor
        return Policy.from_json(document)

    def proposal(self, *policies: Policy) -> Envelope:
        board = self.board.genesis.digest
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        base = self.board.genesis.charter.digest
        actions = tuple(map(EnactPolicy, policies))
        proposal = Proposal(board, "bob", "a policy", base, actions, expires)
        return sign_statement("proposal", proposal.to_json(), [self.signer("bob")])

    def ballots(self, proposal: Digest) -> list[Envelope]:
        board = self.board.genesis.digest
        return [
            sign_statement(
                "ballot",
                Ballot(board, proposal, name, Choice.APPROVE, 1).to_json(),
                [self.signer(name)],
            )
            for name in MEMBERS
        ]


@dataclass
class Shield:
    """An honest shield on one connection; with a new one for each release, or a kept one."""

    place: Place
    channel: Channel
    attester: SimulatedTDX

    def connect(self) -> TrustSession:
        return TrustSession.open(self.place.url, self.place.board, channel=self.channel)

    def release(
        self, session: TrustSession, *, policy: str = "job"
    ) -> tuple[Mapping[str, float], str]:
        """Nonce, keys, evidence, release, opening; how long each took, and the service's own."""
        clock = [time.perf_counter()]

        def lap() -> float:
            clock.append(time.perf_counter())
            return (clock[-1] - clock[-2]) * 1000

        board = self.place.board
        signer, seal_key = KeySigner(Ed25519PrivateKey.generate()), X25519PrivateKey.generate()
        public = SealKey(seal_key.public_key().public_bytes_raw())
        keyset = Keyset(signer.verify_key, public)
        nonce = session.challenge()
        steps = {"client_nonce": lap()}
        binding = shield_binding(
            board, policy, "train", keyset, nonce, exporter=session.binder(nonce)
        )
        evidence = self.attester.collect(binding.report_data())
        steps["client_evidence"] = lap()
        request = ReleaseRequest(board, policy, "train", keyset, nonce, evidence, self.channel)
        sealed, timing = session.release(request)
        steps["client_release"] = lap()
        context = grant_context(board, nonce, keyset)
        open_sealed(sealed, seal_key, purpose=GRANT_PURPOSE, context=context)
        steps["client_open"] = lap()
        return steps, timing
