# SPDX-License-Identifier: Apache-2.0
"""The main job's wall time, attest-and-release over loopback, and what the shield adds."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.client import MemberHome, TrustSession
from accord.demo import run_hospitals
from accord.encoding import Digest
from accord.evidence import Role
from accord.identity import Keyset, KeySigner, SealKey, open_sealed
from accord.release import GRANT_PURPOSE, ReleaseRequest, grant_context, shield_binding
from accord.testing import SimulatedPlatform, SimulatedTDX, simulated_measurements
from bench.report import RESULTS, Report, median, percentile

DEMOS = 3
RELEASES = 200
PAIRS = 8
_STEP = re.compile(r"(\w+);dur=([0-9.]+)")


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "demo-0"
        _demo(report, Path(folder))
        steps = _releases(report, root)
        _program(report, root)
        _plot(steps)


def _demo(report: Report, folder: Path) -> None:
    times = []
    for number in range(DEMOS):
        start = time.perf_counter()
        run_hospitals(folder / f"demo-{number}", lambda _words: None)
        times.append(time.perf_counter() - start)
    report.add("demo.wall", median(times), unit="s", samples=DEMOS, target=15.0)


@contextmanager
def _service(root: Path) -> Iterator[str]:
    url_file = root / "url"
    command = [sys.executable, "-m", "accord", "service", "run"]
    command += ["--simulated", str(root / "simulated-hardware/trust-host")]
    command += ["--state", str(root / "operator/trust-service")]
    command += ["--listen", "127.0.0.1:0", "--url-file", str(url_file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not url_file.exists():
            if process.poll() is not None:
                message = "the trust service did not start"
                raise RuntimeError(message)
            time.sleep(0.02)
        yield url_file.read_text()
    finally:
        process.terminate()
        process.wait()


def _releases(report: Report, root: Path) -> dict[str, float]:
    """Connect, attest the service, nonce, evidence, release, open: the shield's whole way in."""
    platform = SimulatedPlatform.load(root / "simulated-hardware/compute-host")
    attester = platform.attester(simulated_measurements(Role.SHIELD))
    board = MemberHome.load(root / "clinic").genesis.digest
    totals: list[float] = []
    steps: dict[str, list[float]] = {}
    with _service(root) as url:
        for _ in range(RELEASES):
            start = time.perf_counter()
            client, timing = _one_release(url, board, attester)
            totals.append((time.perf_counter() - start) * 1000)
            for step, duration in (*client.items(), *_STEP.findall(timing)):
                steps.setdefault(step, []).append(float(duration))
    report.add("release.p50", percentile(totals, 0.5), unit="ms", samples=RELEASES, target=15.0)
    report.add("release.p99", percentile(totals, 0.99), unit="ms", samples=RELEASES)
    medians = {step: median(values) for step, values in steps.items()}
    for step, value in medians.items():
        report.add(f"release.step.{step}", value, unit="ms", samples=RELEASES)
    return medians


def _one_release(url: str, board: Digest, attester: SimulatedTDX) -> tuple[dict[str, float], str]:
    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return (clock[-1] - clock[-2]) * 1000

    with TrustSession.open(url, board) as session:
        connected = lap()
        signer, seal_key = KeySigner(Ed25519PrivateKey.generate()), X25519PrivateKey.generate()
        keyset = Keyset(signer.verify_key, SealKey(seal_key.public_key().public_bytes_raw()))
        nonce = session.challenge()
        challenged = lap()
        binding = shield_binding(board, "hospitals", "train", keyset, nonce)
        evidence = attester.collect(binding.report_data())
        collected = lap()
        request = ReleaseRequest(board, "hospitals", "train", keyset, nonce, evidence)
        sealed, timing = session.release(request)
        released = lap()
        context = grant_context(board, nonce, keyset)
        open_sealed(sealed, seal_key, purpose=GRANT_PURPOSE, context=context)
    client = {
        "client_attest_service": connected,
        "client_nonce": challenged,
        "client_evidence": collected,
        "client_release": released,
        "client_open": lap(),
    }
    return client, timing


def _program(report: Report, root: Path) -> None:
    """The lab's program alone and confined, in turn (ABBA), on the same records."""
    from accord.shield import Confinement, run_confined

    program, records = root / "lab/program", root / "hospital-a/records"
    out = root / "bench-out"
    out.mkdir()
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def native() -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, program / "train.py", "--out", out / "a.npz", records / "records.csv"],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - start

    def confined() -> float:
        start = time.perf_counter()
        run_confined(
            Confinement(
                command=("python", "/in/p/train.py", "--out", "/out/a.npz", "/in/r/records.csv"),
                environment=environment,
                workdir="/tmp",  # noqa: S108 - inside the sandbox
                read_only={"/in/p": program, "/in/r": records},
                writable={"/out": out},
                timeout_s=60.0,
                memory_limit_bytes=None,
            )
        )
        return time.perf_counter() - start

    plain: list[float] = []
    shielded: list[float] = []
    for _ in range(PAIRS):
        plain.append(native())
        shielded.extend((confined(), confined()))
        plain.append(native())
    report.add(
        "program.confined",
        median(shielded),
        unit="s",
        samples=2 * PAIRS,
        reference=median(plain),
        note="start and end of the sandbox included",
    )


def _plot(steps: dict[str, float]) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.5))
    axes.barh(list(steps), list(steps.values()), color="#3b6ea5")
    axes.invert_yaxis()
    axes.set_xlabel("ms (median), simulated TEE, loopback")
    axes.set_title("Attest and release: client's view, then the trust service's steps")
    figure.tight_layout()
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "trust.svg", metadata={"Date": None})
    plt.close(figure)
