# SPDX-License-Identifier: Apache-2.0
"""The parsers of NVIDIA reports, device identities and reference manifests."""

from __future__ import annotations

from collections.abc import Callable

from accord.evidence.nvidia._dice import parse_dice
from accord.evidence.nvidia._opaque import parse_opaque
from accord.evidence.nvidia._rim import load_manifest
from accord.evidence.nvidia._spdm import parse_report
from accord.evidence.nvidia._xml import canonicalize, parse_xml

TARGETS: dict[str, Callable[[bytes], object]] = {
    "nvidia-report": parse_report,
    "nvidia-opaque": parse_opaque,
    "nvidia-dice": parse_dice,
    "nvidia-rim": lambda data: load_manifest(data, what="fuzz"),
    "nvidia-xml": lambda data: canonicalize(parse_xml(data, what="fuzz")),
}
