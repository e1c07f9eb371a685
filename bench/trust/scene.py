# SPDX-License-Identifier: Apache-2.0
"""One board of five members with one policy, at one trust service; and its shields."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.support.live import Board, Hardware, make_genesis, reference, service_pins

from accord.board import Ballot, Choice, EnactPolicy, Genesis, Proposal
from accord.client import AttestedService, Founding, MemberHome, TrustSession
from accord.encoding import Digest, Envelope
from accord.evidence import Role
from accord.identity import FileIdentity, Keyset, KeySigner, SealKey, open_sealed, sign_statement
from accord.policy import Channel, Policy
from accord.release import GRANT_PURPOSE, ReleaseRequest, grant_context, shield_binding
from accord.testing import SimulatedPlatform, SimulatedTDX, simulated_measurements

MEMBERS = ("ann", "bob", "cat", "dan", "eve")
EVERYBODY = {"policy.enact": {"all": ["role:data-owner", "role:code-owner"]}}
USES = 10_000_000
_STEP = re.compile(r"(\w+);dur=([0-9.]+)")


@dataclass(frozen=True)
class Place:
    """What a process that sends requests has to know; plain, so that it can be passed on."""

    url: str
    board: Digest
    hardware: Path

    def shield(self, channel: Channel = Channel.L1) -> Shield:
        platform = SimulatedPlatform.load(self.hardware / "compute-host")
        return Shield(self, channel, platform.attester(simulated_measurements(Role.SHIELD)))


@dataclass(frozen=True)
class Members:
    """What the five members sign."""

    root: Path
    hardware: Hardware
    genesis: Genesis

    @classmethod
    def load(cls, root: Path, hardware: Path) -> Members:
        return cls(root, Hardware(hardware), MemberHome.load(root / MEMBERS[0]).genesis)

    def signer(self, name: str) -> KeySigner:
        return FileIdentity.load(self.root / name).signer

    def policy(self, name: str, number: int, predecessor: Digest | None = None) -> Policy:
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
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        base, actions = self.genesis.charter.digest, tuple(map(EnactPolicy, policies))
        proposal = Proposal(self.genesis.digest, "bob", "a policy", base, actions, expires)
        return sign_statement("proposal", proposal.to_json(), [self.signer("bob")])

    def ballots(self, proposal: Digest) -> list[Envelope]:
        """Everybody's approval."""
        found = []
        for name in MEMBERS:
            ballot = Ballot(self.genesis.digest, proposal, name, Choice.APPROVE, 1)
            found.append(sign_statement("ballot", ballot.to_json(), [self.signer(name)]))
        return found


@dataclass
class Scene:
    """A claimed service, a board, its one asset and its policy ``job``, enacted by all five."""

    hardware: Hardware
    root: Path
    url: str
    members: Members = field(init=False)

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
        self.members = Members(self.root, self.hardware, genesis)
        board = Board(self.root, self.hardware, self.url, genesis, MEMBERS, envelope)
        board.enact({"ann/records": board.offer("ann", "records", max_uses=USES)})

    def place(self, url: str | None = None) -> Place:
        return Place(url or self.url, self.members.genesis.digest, self.hardware.root)


@dataclass
class Shield:
    """An honest shield: with a new connection for each release, or with a kept one."""

    place: Place
    channel: Channel
    attester: SimulatedTDX

    def connect(self) -> TrustSession:
        return TrustSession.open(self.place.url, self.place.board, channel=self.channel)

    def release(self, session: TrustSession, *, policy: str = "job") -> Mapping[str, float]:
        """Nonce, keys, evidence, release, opening: the milliseconds of each, and the service's."""
        clock = [time.perf_counter()]

        def lap() -> float:
            clock.append(time.perf_counter())
            return (clock[-1] - clock[-2]) * 1000

        board, keys, seal_key = self.place.board, _keys(), X25519PrivateKey.generate()
        keyset = Keyset(keys.verify_key, SealKey(seal_key.public_key().public_bytes_raw()))
        nonce = session.challenge()
        steps = {"client.nonce": lap()}
        exporter = session.binder(nonce)
        binding = shield_binding(board, policy, "train", keyset, nonce, exporter=exporter)
        evidence = self.attester.collect(binding.report_data())
        steps["client.evidence"] = lap()
        request = ReleaseRequest(board, policy, "train", keyset, nonce, evidence, self.channel)
        sealed, timing = session.release(request, another=True)
        steps["client.release"] = lap()
        context = grant_context(board, nonce, keyset)
        open_sealed(sealed, seal_key, purpose=GRANT_PURPOSE, context=context)
        steps["client.open"] = lap()
        steps.update((f"service.{step}", float(taken)) for step, taken in _STEP.findall(timing))
        return steps

    def arrive(self) -> Mapping[str, float]:
        """`release` over a connection of its own, from the handshake on."""
        start = time.perf_counter()
        with self.connect() as session:
            attested = (time.perf_counter() - start) * 1000
            return {"client.attest_service": attested, **self.release(session)}


def _keys() -> KeySigner:
    return KeySigner(Ed25519PrivateKey.generate())
