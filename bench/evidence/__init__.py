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

from bench.report import Report, median

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
