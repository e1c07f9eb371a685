# SPDX-License-Identifier: Apache-2.0
"""Runs one suite, writes ``bench/results/SUITE.json`` and a plot, and prints the table."""

from __future__ import annotations

import sys

from bench import evidence
from bench.ledger import suite as ledger
from bench.report import Report
from bench.trust import suite as trust

SUITES = {"evidence": evidence.run, "ledger": ledger.run, "trust": trust.run}


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else "trust"
    if name not in SUITES:
        sys.stderr.write(f"no suite {name}; there are: {', '.join(sorted(SUITES))}\n")
        return 2
    report = Report(name)
    SUITES[name](report)
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
