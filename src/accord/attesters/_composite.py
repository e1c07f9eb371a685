# SPDX-License-Identifier: Apache-2.0
"""One machine as a whole: its CPU, and parts that are asked with the same report data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from accord.evidence import Evidence


class Asked(Protocol):
    """Whatever answers for one part: a collector, or a simulation."""

    def collect(self, report_data: bytes) -> Evidence:
        """Evidence that carries these 64 bytes."""
        ...


def collect_composite(cpu: Asked, parts: Mapping[str, Asked], report_data: bytes) -> Evidence:
    """Evidence of ``cpu`` with that of each part below its name (``vtpm``, ``gpu0``, ...).

    Every part derives its nonce from ``report_data`` (`accord.evidence.link`): that proves
    that all were asked together, *not* that they sit in the same machine.

    Raises what the collectors raise; parts are not left out.
    """
    whole = cpu.collect(report_data)
    collected = {name: part.collect(report_data) for name, part in parts.items()}
    return replace(whole, parts=MappingProxyType(collected))
