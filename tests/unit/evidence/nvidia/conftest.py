# SPDX-License-Identifier: Apache-2.0
"""One simulated GPU for all tests of the family."""

from pathlib import Path

import pytest

from accord.testing import SimulatedNVIDIA


@pytest.fixture(scope="session")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNVIDIA:
    """A GPU, and the maker that signed for it."""
    home: Path = tmp_path_factory.mktemp("gpu")
    return SimulatedNVIDIA.create(home)
