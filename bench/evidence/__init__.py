# SPDX-License-Identifier: Apache-2.0
"""How long verifying one piece of evidence takes, by family: `make bench SUITE=evidence`.

Every module here has a function ``cases`` that yields `Case`s.
"""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from bench.report import RESULTS, Report, median

ROUNDS = 30


@dataclass(frozen=True)
class Case:
    """One verification: ours, and the same by a reference library where there is one.

    ``ours`` must do the whole work at every call: clear our caches in it where they would
    help. ``target`` is in milliseconds.
    """

    name: str
    ours: Callable[[], object]
    target: float | None = None
    reference: Callable[[], object] | None = None
    note: str = ""
    rounds: int = ROUNDS


def run(report: Report) -> None:
    for module in pkgutil.iter_modules(__path__):
        for case in import_module(f"bench.evidence.{module.name}").cases():
            _measure(report, case)
    _plot(report)


def _plot(report: Report) -> None:
    """One bar a case, with its target and, where there is one, the reference library."""
    rows = report.rows[::-1]
    places = range(len(rows))
    figure, axes = plt.subplots(figsize=(8, 0.28 * len(rows) + 1))
    axes.barh(places, [row.ours for row in rows], color="#4c72b0", label="accord")
    theirs = [(at, row.reference) for at, row in enumerate(rows) if row.reference is not None]
    targets = [(at, row.target) for at, row in enumerate(rows) if row.target is not None]
    for points, marker, label in ((theirs, "D", "reference library"), (targets, "|", "target")):
        axes.plot([x for _, x in points], [y for y, _ in points], marker, color="k", label=label)
    axes.set_yticks(places, [row.id.removeprefix("verify.") for row in rows], fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("ms per verification, median, one thread (simulated evidence)")
    axes.legend(fontsize=7)
    figure.tight_layout()
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "evidence.svg", metadata={"Date": None})


def _measure(report: Report, case: Case) -> None:
    """Interleaved ABBA where there is a reference; medians in milliseconds."""
    ours: list[float] = []
    theirs: list[float] = []
    case.ours()  # loaded and warm: what imports cost is not what verification costs
    for _ in range(case.rounds):
        if case.reference is None:
            ours.append(_time(case.ours))
            continue
        ours.append(_time(case.ours))
        theirs += [_time(case.reference), _time(case.reference)]
        ours.append(_time(case.ours))
    report.add_timing(
        f"verify.{case.name}",
        median(ours),
        reference=median(theirs) if theirs else None,
        unit="ms",
        samples=len(ours),
        target=case.target,
        note=case.note,
    )


def _time(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1000
