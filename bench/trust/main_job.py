# SPDX-License-Identifier: Apache-2.0
"""The main job's wall time, and what the shield adds to a program."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from accord.demo import run_hospitals
from accord.shield import Confinement, run_confined
from bench.report import Report, median

DEMOS = 2
PAIRS = 8


def run(report: Report, folder: Path) -> None:
    _demo(report, folder)
    _program(report, folder / "demo-0")


def _demo(report: Report, folder: Path) -> None:
    times = []
    for number in range(DEMOS):
        start = time.perf_counter()
        run_hospitals(folder / f"demo-{number}", lambda _words: None)
        times.append(time.perf_counter() - start)
    report.add("demo.wall", median(times), unit="s", samples=DEMOS, target=15.0)


def _program(report: Report, root: Path) -> None:
    """The lab's program alone and confined, in turn (ABBA), on the same records."""
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
