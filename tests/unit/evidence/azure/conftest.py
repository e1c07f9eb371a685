# SPDX-License-Identifier: Apache-2.0
"""One simulated machine for all tests of the family: its RSA keys take seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from accord.evidence import Evidence, Purpose, Role
from accord.evidence._binding import Binding
from accord.testing import SimulatedAzure, SimulatedTDX

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BINDING = Binding(
    purpose=Purpose.RELEASE,
    role=Role.SHIELD,
    nonce=b"n" * 32,
    spki_sha256=b"k" * 32,
    tls_exporter=None,
    claims_digest=b"c" * 32,
)
REPORT_DATA = BINDING.report_data()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the machine."""
    folder = tmp_path_factory.mktemp("azure")
    SimulatedAzure.create(folder, now=NOW)
    return folder


@pytest.fixture(scope="session")
def machine(home: Path) -> SimulatedAzure:
    """A VM on AMD's hardware."""
    return SimulatedAzure.load(home, now=NOW)


@pytest.fixture(scope="session")
def tdx(tmp_path_factory: pytest.TempPathFactory) -> SimulatedTDX:
    """Intel's hardware, for the same VM."""
    return SimulatedTDX.create(tmp_path_factory.mktemp("tdx"), now=NOW)


@pytest.fixture(scope="session")
def evidence(machine: SimulatedAzure) -> Evidence:
    """Evidence in which everything is right, on AMD's hardware."""
    return machine.collect(REPORT_DATA)


@pytest.fixture(scope="session")
def on_intel(machine: SimulatedAzure, tdx: SimulatedTDX) -> Evidence:
    """Evidence in which everything is right, on Intel's hardware."""
    return machine.collect(REPORT_DATA, tdx=tdx)
