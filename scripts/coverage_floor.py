# SPDX-License-Identifier: Apache-2.0
"""Fails where the core's branch coverage is below its floor (data of the last test run)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import coverage

FLOOR = 95.0
CORE = (
    "errors",
    "encoding",
    "identity",
    "policy",
    "board",
    "ledger",
    "evidence",
    "release",
    "volumes",
    "channel",
    "bundle",
    "client",
)


def main() -> int:
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        data.json_report(outfile=str(report), pretty_print=False)
        files = json.loads(report.read_text())["files"]
    low = []
    for part in CORE:
        covered = total = 0
        for name, measured in files.items():
            if f"/accord/{part}" in f"/{name}":
                summary = measured["summary"]
                covered += summary["covered_lines"] + summary["covered_branches"]
                total += summary["num_statements"] + summary["num_branches"]
        percent = 100.0 * covered / total if total else 0.0
        sys.stdout.write(f"{part:<12} {percent:6.2f} %\n")
        if percent < FLOOR:
            low.append(part)
    if low:
        sys.stdout.write(f"below {FLOOR} %: {', '.join(low)}\n")
    return bool(low)


if __name__ == "__main__":
    sys.exit(main())
