# SPDX-License-Identifier: Apache-2.0
"""What every suite writes: machine, load, rows. Noise is shown, not hidden."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass
class Row:
    """One measured figure; ``ratio`` is ours over the reference of the same run."""

    id: str
    ours: float
    reference: float | None
    ratio: float | None
    unit: str
    target: float | None
    met: bool | None
    samples: int
    note: str = ""


@dataclass
class Report:
    """The rows of one suite and the machine they were measured on."""

    suite: str
    rows: list[Row] = field(default_factory=list)
    load_before: tuple[float, float, float] = field(default_factory=os.getloadavg)

    def add(
        self,
        name: str,
        ours: float,
        *,
        unit: str,
        samples: int,
        reference: float | None = None,
        target: float | None = None,
        at_least: bool = False,
        note: str = "",
    ) -> None:
        """Adds a row; a target bounds ``ours``, or the ratio if there is one, from above."""
        ratio = None if reference is None else ours / reference
        met = _met(ours if ratio is None else ratio, target, at_least=at_least)
        self.rows.append(
            Row(name, round(ours, 3), reference, ratio, unit, target, met, samples, note)
        )

    def add_timing(
        self,
        name: str,
        ours: float,
        *,
        unit: str,
        samples: int,
        reference: float | None,
        target: float | None,
        at_least: bool = False,
        note: str = "",
    ) -> None:
        """Adds a row whose target bounds ``ours`` itself; the ratio is for information."""
        ratio = None if reference is None else ours / reference
        met = _met(ours, target, at_least=at_least)
        self.rows.append(
            Row(name, round(ours, 3), reference, ratio, unit, target, met, samples, note)
        )

    def document(self) -> dict[str, Any]:
        return {
            "schema": "accord.bench.v1",
            "suite": self.suite,
            "assurance": "simulated",
            "measured": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "machine": {
                "processor": _processor(),
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "load": {"before": self.load_before, "after": os.getloadavg()},
            "rows": [asdict(row) for row in self.rows],
        }

    def write(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.suite}.json"
        path.write_text(json.dumps(self.document(), indent=2) + "\n")
        for row in self.rows:
            bound = "" if row.target is None else f"  target {row.target:g}  met {row.met}"
            against = "" if row.ratio is None else f"  x{row.ratio:.2f} of {row.reference:.3f}"
            print(f"{row.id:<28}{row.ours:>10.3f} {row.unit}{against}{bound}  {row.note}")
        before, after = self.load_before[0], os.getloadavg()[0]
        print(f"load {before:.2f} before, {after:.2f} after; written to {path.name}")


def _met(judged: float, target: float | None, *, at_least: bool) -> bool | None:
    if target is None:
        return None
    return judged >= target if at_least else judged <= target


def percentile(values: Sequence[float], fraction: float) -> float:
    """The value below which ``fraction`` of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
