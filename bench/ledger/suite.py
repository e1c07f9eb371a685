# SPDX-License-Identifier: Apache-2.0
"""Appends, strict releases, tags of volumes, bundles, and opening after a crash."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.support.live import Hardware

from bench.ledger import appends, bundles, crash, strict, tags
from bench.ledger.plot import plot
from bench.report import Report


def _given(name: str, default: int) -> int:
    return int(os.environ.get(f"ACCORD_BENCH_{name}", default))


STATEMENTS = _given("STATEMENTS", 4400)
ENTRIES = _given("ENTRIES", 1_000_000)
ROUNDS = _given("ROUNDS", 2)
KILLS = _given("KILLS", 20)
BUNDLE = _given("BUNDLE", 10_000)
"""For trying: all of it takes six minutes."""


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hardware = Hardware.create(folder / "hardware")
        appends.run(report, folder, hardware, count=STATEMENTS, largest=ENTRIES)
        added = strict.run(report, folder, hardware, rounds=ROUNDS)
        tags.tags(report)
        crash.run(report, folder, hardware, kills=KILLS)
        bundles.run(report, folder, hardware, entries=BUNDLE)
        plot(added, report.rows)
