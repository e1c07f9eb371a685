# SPDX-License-Identifier: Apache-2.0
"""The trust service: releases, policy updates, load, a full store, a soak; SQLite, PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.live import Hardware
from tests.support.postgres import running_postgres

from accord.policy import Channel
from bench.report import Report, median
from bench.trust import main_job
from bench.trust.latency import Samples, Updates, Visits, keep, update
from bench.trust.load import Watched, visit
from bench.trust.plot import plot
from bench.trust.scene import Scene
from bench.trust.server import Server


def _given(name: str, default: int) -> int:
    return int(os.environ.get(f"ACCORD_BENCH_{name}", default))


SOAK_S = _given("SOAK_S", 300)
LOAD_S = _given("LOAD_S", 20)
POLICIES = _given("POLICIES", 10_000)
RELEASES = _given("RELEASES", 100_000)
"""For trying: all of it takes twelve minutes."""

ROUNDS, SAMPLES = 8, 25
UPDATES = 20
FULL_SAMPLES = 1000
SOAK_PER_S = 50

SQLITE, POSTGRES = "sqlite", "postgres"


@dataclass
class Stage:
    """One service over one store, with its board."""

    server: Server
    scene: Scene
    visits: Visits


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if _given("DEMO", 1):
            main_job.run(report, folder)
        hardware = Hardware.create(folder / "hardware")
        with (
            running_postgres() as postgres,
            _stages(
                folder,
                hardware,
                {
                    SQLITE: f"sqlite:{folder / 'state.db'}",
                    POSTGRES: f"postgres:{postgres.database()}",
                },
            ) as stages,
        ):
            _latency(report, stages)
            _updates(report, stages)
            _load(report, stages)
            stages[POSTGRES].server.stop()
            _full(report, folder, hardware, stages[SQLITE])


@contextmanager
def _stages(
    folder: Path, hardware: Hardware, stores: Mapping[str, str]
) -> Iterator[dict[str, Stage]]:
    started: list[Server] = []
    stages = {}
    try:
        for kind, where in stores.items():
            server = Server(hardware.trust_host, where, folder / kind).start()
            started.append(server)
            scene = Scene(hardware, folder / f"scene-{kind}", server.url)
            stages[kind] = Stage(server, scene, Visits(scene.place()))
        yield stages
    finally:
        for server in started:
            server.stop()


def _latency(report: Report, stages: Mapping[str, Stage]) -> None:
    """Both stores in turn, ABBA: what slows the machine down slows both."""
    for number in range(ROUNDS):
        order = list(stages.values())
        for stage in order if number % 2 == 0 else reversed(order):
            stage.visits.round(SAMPLES)
    visits = {kind: stage.visits for kind, stage in stages.items()}
    for level in (Channel.L1, Channel.L2):
        for how, targets in (("new", (10.0, None)), ("kept", (4.0, None))):
            for fraction, target in zip((0.5, 0.99), targets, strict=True):
                found = {kind: getattr(visit_, how)[level] for kind, visit_ in visits.items()}
                _pair(
                    report,
                    f"release.{level.value}.{how}.p{int(fraction * 100)}",
                    {kind: samples.at(fraction) for kind, samples in found.items()},
                    unit="ms",
                    samples=len(found[SQLITE].totals),
                    target=target if level is Channel.L1 else None,
                )
    fresh, postgres = visits[SQLITE].new[Channel.L1], visits[POSTGRES].new[Channel.L1]
    steps = fresh.medians()
    for step, taken in steps.items():
        _pair(
            report,
            f"release.step.{step}",
            {SQLITE: taken, POSTGRES: postgres.medians()[step]},
            unit="ms",
            samples=len(fresh.totals),
        )
    plot(steps, {kind: visit_.kept[Channel.L1].totals for kind, visit_ in visits.items()})


def _pair(
    report: Report,
    name: str,
    found: Mapping[str, float],
    *,
    unit: str,
    samples: int,
    target: float | None = None,
    at_least: bool = False,
    note: str = "",
) -> None:
    """SQLite is ours, PostgreSQL the reference; the target bounds SQLite itself."""
    report.add_timing(
        name,
        found[SQLITE],
        unit=unit,
        samples=samples,
        reference=found[POSTGRES],
        target=target,
        at_least=at_least,
        note=note or "against PostgreSQL",
    )


def _updates(report: Report, stages: Mapping[str, Stage]) -> None:
    found = {kind: Updates() for kind in stages}
    for number in range(4):
        order = list(stages)
        for kind in order if number % 2 == 0 else reversed(order):
            stage = stages[kind]
            update(stage.server, stage.scene.members, UPDATES // 4, found[kind])
    note = "a proposal and five ballots; processor time of the service, against PostgreSQL"
    busy = {kind: sum(item.busy) / len(item.busy) for kind, item in found.items()}
    _pair(report, "update.service", busy, unit="ms", samples=UPDATES, target=30.0, note=note)
    wall = {kind: median(item.wall) for kind, item in found.items()}
    _pair(report, "update.wall", wall, unit="ms", samples=UPDATES)


def _load(report: Report, stages: Mapping[str, Stage]) -> None:
    found: dict[str, list[Watched]] = {kind: [] for kind in stages}
    for kind in (SQLITE, POSTGRES, POSTGRES, SQLITE):
        stage = stages[kind]
        found[kind].append(visit(stage.server, stage.scene.place(), LOAD_S / 2))
    per_s = {kind: median([item.per_s for item in items]) for kind, items in found.items()}
    samples = sum(len(item.outcome.milliseconds) for item in found[SQLITE])
    _pair(report, "load.releases", per_s, unit="/s", samples=samples, target=200, at_least=True)
    cpu = {
        kind: 1000 * sum(i.cpu_s for i in items) / sum(i.per_s * i.seconds for i in items)
        for kind, items in found.items()
    }
    _pair(report, "load.service", cpu, unit="ms", samples=samples, note="processor time each")


def _full(report: Report, folder: Path, hardware: Hardware, stage: Stage) -> None:
    """What 100,000 releases cost; with an empty store beside it for comparison."""
    resident = stage.server.resident_mb
    stage.server.stop()
    start = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "bench.trust.fill", stage.server.where, hardware.root),
            *(stage.scene.root, str(POLICIES), str(RELEASES)),
        ],
        check=True,
    )
    report.add("full.fill", time.perf_counter() - start, unit="s", samples=1)
    stage.server.start()
    report.add("full.start", stage.server.started_in, unit="s", samples=1)
    note = f"with {POLICIES} policies and {RELEASES} releases"
    report.add_timing(
        "full.resident",
        stage.server.resident_mb,
        unit="MB",
        samples=1,
        reference=resident,
        target=None,
        note=note,
    )
    empty = {"empty": f"sqlite:{folder / 'empty.db'}"}
    with _stages(folder, hardware, empty) as others:
        shields = (
            stage.scene.place(stage.server.url).shield(),
            others["empty"].scene.place().shield(),
        )
        full, fresh = found = (Samples(), Samples())
        for _ in range(10):
            for one in (0, 1, 1, 0):
                keep(shields[one], found[one], FULL_SAMPLES // 20)
    for fraction, target in ((0.5, None), (0.99, 2.0)):
        report.add(
            f"full.release.p{int(fraction * 100)}",
            full.at(fraction),
            unit="ms",
            samples=len(full.totals),
            reference=fresh.at(fraction),
            target=target,
            note=f"{RELEASES} releases, {POLICIES} policies; against an empty store",
        )
    _soak(report, stage)


def _soak(report: Report, stage: Stage) -> None:
    """A minute of all that the service can do, then mixed requests for the rest."""
    place, fast_s = stage.scene.place(stage.server.url), SOAK_S / 5
    fast = visit(stage.server, place, fast_s)
    done = len(fast.outcome.milliseconds)
    per_s, note = fast.per_s, f"sustained for {fast_s:g} s on the full store"
    report.add(
        "soak.releases", per_s, unit="/s", samples=done, target=200, at_least=True, note=note
    )
    report.add("soak.p99", Samples(fast.outcome.milliseconds).at(0.99), unit="ms", samples=done)
    grown = fast.memory[-1][1] - fast.memory[len(fast.memory) // 4][1]
    report.add(
        "soak.memory_per_1000",
        1000 * grown / max(done * 3 / 4, 1),
        unit="MB",
        samples=done,
        target=1.0,
        note="after the first quarter",
    )
    slow = visit(stage.server, place, SOAK_S - fast_s, per_s=SOAK_PER_S)
    errors = fast.outcome.errors + slow.outcome.errors
    report.add(
        "soak.errors", len(errors), unit="", samples=done, target=0, note="; ".join(errors[:3])
    )
    done = len(slow.outcome.milliseconds)
    report.add(
        "soak.memory",
        slow.growth(),
        unit="MB/min",
        samples=done,
        target=3.0,
        note=f"{slow.per_s:.0f} releases/s, new connections and {slow.outcome.refused} refusals",
    )
