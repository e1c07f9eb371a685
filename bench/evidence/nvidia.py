# SPDX-License-Identifier: Apache-2.0
"""NVIDIA: a GPU's report and its chain of five; then the same with both reference manifests."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from accord.evidence import Evidence, verify_unbound
from accord.evidence._certificate import parse_certificate
from accord.evidence._chain import _verify_issued
from accord.evidence.nvidia._rim import load_manifest
from accord.testing import SimulatedNVIDIA
from bench.evidence import Case


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as home:
        gpu = SimulatedNVIDIA.create(Path(home))
    now, both = datetime.now(UTC), gpu.collect(bytes(64))
    chain = {"certificate_chain": both.endorsements["certificate_chain"]}
    alone = dataclasses.replace(both, endorsements=chain)

    def verify(evidence: Evidence) -> object:
        return verify_unbound(evidence, anchors=gpu.anchors, now=now)

    def forget_device() -> None:
        parse_certificate.cache_clear()
        _verify_issued.cache_clear()

    def report() -> object:
        forget_device()
        return verify(alone)

    def cold() -> object:
        forget_device()
        load_manifest.cache_clear()
        return verify(both)

    yield Case("nvidia", report, target=8.0, note="report and chain")
    yield Case("nvidia.rim", cold, note="and two manifests, seen for the first time")
