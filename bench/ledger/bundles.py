# SPDX-License-Identifier: Apache-2.0
"""Verifying a bundle whose log is long: one release, and offers of assets for the rest."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

from tests.support.live import Hardware, terms

from accord.board import AssetKind, AssetOffer
from accord.bundle import verify_bundle_log
from accord.client import MemberHome
from accord.encoding import Digest
from accord.identity import sign_statement
from accord.jobs import create_bundle
from bench.report import Report, median
from bench.trust.scene import MEMBERS, Members, Scene
from bench.trust.server import Server, unserved

SAMPLES = 3
OWNER = MEMBERS[1]
AT_ONCE = 64
"""Offers in flight."""


def run(report: Report, folder: Path, hardware: Hardware, *, entries: int) -> None:
    where = f"sqlite:{folder / 'bundles.db'}"
    server = Server(hardware.trust_host, where, folder / "bundles").start()
    scene = Scene(hardware, folder / "scene-bundles", server.url)
    scene.place().shield().arrive()
    server.stop()
    asyncio.run(_fill(where, hardware, scene.members, entries))
    server.start()
    bundle = folder / "bundle"
    try:
        member = MemberHome.load(scene.root / MEMBERS[0], service=server.url)
        with member.connect() as session:
            _, machine, _ = member.read(session)
            create_bundle(member, session, run=next(iter(machine.runs)), path=bundle)
    finally:
        server.stop()
    times = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        verify_bundle_log(bundle, genesis=scene.members.genesis.digest)
        times.append(time.perf_counter() - start)
    report.add(
        "bundle.verify",
        median(times),
        unit="s",
        samples=SAMPLES,
        target=5.0,
        note=f"{entries} entries, offline; every signature, hash and transition",
    )


async def _fill(where: str, hardware: Hardware, members: Members, entries: int) -> None:
    """Offers until the log is that long: signed, applied and made durable as ever, without TLS."""
    async with unserved(where, hardware.trust_host) as (service, _):
        host = await service.host(members.genesis.digest)
        signer, latest = members.signer(OWNER), None
        for number in range(entries - host.head.size - 1):
            body = _offer(host.board, number, latest).to_json()
            envelope = sign_statement("asset", body, [signer])
            host.stage(envelope)
            latest = envelope.statement_digest
            if number % AT_ONCE == 0:
                await host.settled()
        await host.settled()


def _offer(board: Digest, number: int, predecessor: Digest | None) -> AssetOffer:
    tag = Digest(f"sha256:{hashlib.sha256(number.to_bytes(8)).hexdigest()}")
    return AssetOffer(
        board=board,
        name=f"{OWNER}/fill",
        kind=AssetKind.VOLUME,
        tag=tag,
        terms=terms(),
        predecessor=predecessor,
        volume_id="vol-" + 32 * "0",
        key_commitment=tag,
    )
