# SPDX-License-Identifier: Apache-2.0
"""Azure: an SNP report with its certificates, runtime data, a vTPM's quote and its logs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from accord.evidence import _certificate as certificate
from accord.evidence import _chain as chain
from accord.evidence.azure import verify_azure
from accord.testing import SimulatedAzure
from bench.evidence import Case

_DATA = bytes(range(64))


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        machine = SimulatedAzure.create(Path(folder) / "azure")
        evidence, now = machine.collect(_DATA), datetime.now(UTC)

        def cold() -> None:
            certificate.parse_certificate.cache_clear()
            chain._verify_issued.cache_clear()  # noqa: SLF001 - nothing may be remembered
            verify_azure(evidence, anchors=machine.anchors, now=now)

        yield Case("azure", cold, note="SNP hardware, vTPM quote and both logs; nothing remembered")
