# SPDX-License-Identifier: Apache-2.0
"""Fills a store: policies through every vote, releases through the state machine and the store.

A release is decided, signed, applied, and made durable as ever. What is left out is what leaves
nothing behind: TLS, verifying one and the same evidence again, and sealing the grant.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.evidence import Evidence, Role
from accord.identity import Keyset, KeySigner, SealKey, sign_statement
from accord.policy import Assurance
from accord.release import ReleaseRequest, attest_requester, decide
from accord.service import TrustService
from accord.service._host import BoardHost
from accord.service._keys import ServiceKeys
from accord.testing import SimulatedPlatform, simulated_measurements
from bench.trust.scene import Members
from bench.trust.server import unserved

AT_ONCE = 64
"""Policies in a proposal, and releases in flight."""

PER_EVIDENCE = 100
"""Releases that share a body of evidence in the store; in truth each has its own 16 kB."""


async def _policies(service: TrustService, host: BoardHost, members: Members, count: int) -> None:
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        proposal = members.proposal(*(members.policy(f"fill-{one}", one) for one in numbers))
        await service.submit(host, proposal, None)
        for ballot in members.ballots(proposal.statement_digest):
            await service.submit(host, ballot, None)


def _request(host: BoardHost, nonce: bytes, evidence: Evidence) -> ReleaseRequest:
    seal = SealKey(X25519PrivateKey.generate().public_key().public_bytes_raw())
    keyset = Keyset(KeySigner(Ed25519PrivateKey.generate()).verify_key, seal)
    return ReleaseRequest(host.board, "job", "train", keyset, nonce, evidence)


async def _releases(
    service: TrustService, host: BoardHost, signer: KeySigner, hardware: Path, count: int
) -> None:
    platform = SimulatedPlatform.load(hardware / "compute-host")
    attester = platform.attester(simulated_measurements(Role.SHIELD))
    challenges = service._parts.challenges  # noqa: SLF001 - a shortcut, see above
    nonce, _ = service.challenge(host)
    request = _request(host, nonce, attester.collect(bytes(64)))
    evidence = attester.collect(request.binding().report_data())
    request = replace(request, evidence=evidence)
    attested = attest_requester(
        host.machine, request, challenges=challenges, now=host.now(), exporter=None
    )
    body: dict[str, bytes] = {}
    for number in range(count):
        if number % PER_EVIDENCE == 0:
            evidence = replace(evidence, aux={"number": number.to_bytes(8)})
            body = {evidence.digest: evidence.to_bytes()}
        decision = decide(
            host.machine,
            _request(host, os.urandom(32), evidence),
            attested,
            service_assurance=Assurance.SIMULATED,
            now=host.now(),
            entropy=os.urandom,
            check_password=lambda *_: 0,
        )
        envelope = sign_statement("release", decision.release.to_json(), [signer])
        host.stage(envelope, objects=body)
        if number % AT_ONCE == 0:
            await host.settled()
    await host.settled()


async def _fill(where: str, hardware: Path, root: Path, policies: int, releases: int) -> None:
    async with unserved(where, hardware / "trust-host") as (service, store):
        members = Members.load(root, hardware)
        host = await service.host(members.genesis.digest)
        await _policies(service, host, members, policies)
        signer = ServiceKeys.load_or_create(store).signer
        await _releases(service, host, signer, hardware, releases)


if __name__ == "__main__":
    _where, _hardware, _root, _policies_, _releases_ = sys.argv[1:]
    asyncio.run(_fill(_where, Path(_hardware), Path(_root), int(_policies_), int(_releases_)))
