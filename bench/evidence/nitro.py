# SPDX-License-Identifier: Apache-2.0
"""A Nitro document with a chain of five certificates, as AWS sends it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from accord.evidence import verify_unbound
from accord.evidence._certificate import parse_certificate
from accord.evidence._chain import _verify_issued
from accord.testing import SimulatedNitro
from bench.evidence import Case

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cases() -> Iterator[Case]:
    """Every certificate is parsed and verified anew, and then none but the document."""
    with tempfile.TemporaryDirectory() as folder:
        nitro = SimulatedNitro.create(Path(folder), now=_NOW)
    evidence = nitro.collect(bytes(64), now=_NOW)

    def known() -> object:
        return verify_unbound(evidence, anchors=nitro.anchors, now=_NOW)

    def fresh() -> object:
        parse_certificate.cache_clear()
        _verify_issued.cache_clear()
        return known()

    yield Case("nitro", fresh, target=4.0)
    yield Case("nitro-again", known, note="the same chain again")
