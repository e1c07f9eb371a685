# SPDX-License-Identifier: Apache-2.0
"""PSA and CCA tokens of simulated devices, of the sizes that real ones have."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from accord.encoding import Digest
from accord.evidence import Evidence, verify_unbound
from accord.evidence._cose import load_cose_key, load_raw_point
from accord.evidence.arm import read_trust_anchors
from accord.testing import SimulatedCCA, SimulatedPSA
from bench.evidence import Case

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_CACHES = (read_trust_anchors, load_cose_key, load_raw_point)


def cases() -> Iterator[Case]:
    """One token per family and encoding; keys are loaded anew at every call."""
    with tempfile.TemporaryDirectory() as folder:
        psa = SimulatedPSA.create(Path(folder) / "psa")
        yield Case("psa", _verification(psa.collect(bytes(64)), psa.anchors), target=0.3)
        cca = SimulatedCCA.create(Path(folder) / "cca")
        yield Case("cca", _verification(cca.collect(bytes(64)), cca.anchors), target=1.5)
        legacy = _verification(cca.collect(bytes(64), legacy=True), cca.anchors)
        yield Case("cca-legacy", legacy, target=1.5, note="encoding of RMM 1.0")


def _verification(evidence: Evidence, anchors: Sequence[Digest]) -> Callable[[], object]:
    def verified() -> object:
        for function in _CACHES:
            function.cache_clear()
        return verify_unbound(evidence, anchors=anchors, now=_NOW)

    return verified
