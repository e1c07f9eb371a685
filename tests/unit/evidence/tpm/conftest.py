# SPDX-License-Identifier: Apache-2.0
"""Simulated machines whose software TPMs are started once, and a TPM whose key tests hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.tpm import ForgedTPM

from accord.evidence import Evidence
from accord.testing import SimulatedTPM, SimulatedTXT

NOW = datetime(2026, 1, 15, tzinfo=UTC)
REPORT_DATA = bytes(range(64))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> SimulatedTPM:
    """A machine with a TPM and a P-256 attestation key."""
    return SimulatedTPM.create(tmp_path_factory.mktemp("tpm"), now=NOW)


@pytest.fixture(scope="session")
def evidence(machine: SimulatedTPM) -> Evidence:
    """Evidence of its boot, with both logs."""
    return machine.collect(REPORT_DATA)


@pytest.fixture(scope="session")
def launched(machine: SimulatedTPM) -> Evidence:
    """Evidence of a late launch on the same machine."""
    return SimulatedTXT.load(machine.home).collect(REPORT_DATA)


@pytest.fixture(scope="session")
def forger() -> ForgedTPM:
    """A key that signs anything."""
    return ForgedTPM()


def changed(evidence: Evidence, **aux: bytes | None) -> Evidence:
    """``evidence`` with other attachments; None takes one away."""
    kept = {name: data for name, data in evidence.aux.items() if name not in aux}
    given = {name: data for name, data in aux.items() if data is not None}
    return replace(evidence, aux=kept | given)
