# SPDX-License-Identifier: Apache-2.0
"""One simulated machine for all tests of the family: its RSA keys take seconds."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from accord.testing import SimulatedSNP

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def now() -> datetime:
    """The moment of every verification."""
    return NOW


@pytest.fixture(scope="session")
def snp_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the machine."""
    home = tmp_path_factory.mktemp("snp")
    SimulatedSNP.create(home, now=NOW)
    return home


@pytest.fixture(scope="session")
def machine(snp_home: Path) -> SimulatedSNP:
    """A machine of each product line."""
    return SimulatedSNP.load(snp_home, now=NOW)
