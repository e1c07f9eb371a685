# SPDX-License-Identifier: Apache-2.0
"""Verifying a bundle whose log is long."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.support.live import Hardware

from accord.bundle import verify_bundle_log
from accord.client import MemberHome
from accord.jobs import create_bundle
from bench.report import Report, median
from bench.trust.scene import MEMBERS, Scene
from bench.trust.server import Server

SAMPLES = 3


def run(report: Report, folder: Path, hardware: Hardware, *, entries: int) -> None:
    where = f"sqlite:{folder / 'bundles.db'}"
    server = Server(hardware.trust_host, where, folder / "bundles").start()
    scene = Scene(hardware, folder / "scene-bundles", server.url)
    server.stop()
    subprocess.run(
        [
            *(sys.executable, "-m", "bench.trust.fill", where, hardware.root, scene.root),
            *("0", str(entries)),
        ],
        check=True,
    )
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
