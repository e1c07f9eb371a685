# SPDX-License-Identifier: Apache-2.0
"""One simulated device of each kind for all tests."""

import pytest

from accord.testing import SimulatedCCA, SimulatedPSA


@pytest.fixture(scope="session")
def psa(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPSA:
    """A PSA device."""
    return SimulatedPSA.create(tmp_path_factory.mktemp("psa"))


@pytest.fixture(scope="session")
def cca(tmp_path_factory: pytest.TempPathFactory) -> SimulatedCCA:
    """A CCA machine with a realm."""
    return SimulatedCCA.create(tmp_path_factory.mktemp("cca"))
