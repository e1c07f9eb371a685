# SPDX-License-Identifier: Apache-2.0
"""HCL reports, TDREPORTs and runtime data."""

from __future__ import annotations

from collections.abc import Callable

from accord.evidence import Evidence, parse
from accord.evidence.azure import parse_runtime_data
from accord.evidence.azure._tdreport import parse_td_report
from accord.policy import Family
from accord.testing._azure import write_hcl_report


def _runtime(data: bytes) -> None:
    """JSON behind headers that are right."""
    parse(Evidence(Family.AZURE, write_hcl_report(Family.SNP, bytes(1184), data)))


TARGETS: dict[str, Callable[[bytes], object]] = {
    "azure": lambda data: parse(Evidence(Family.AZURE, data)),
    "azure-runtime": parse_runtime_data,
    "azure-json": _runtime,
    "azure-td-report": parse_td_report,
}
