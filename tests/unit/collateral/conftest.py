# SPDX-License-Identifier: Apache-2.0
"""Simulated vendors, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.collateral.vendors import Intel

from accord.collateral import CollateralCache
from accord.testing import SimulatedNVIDIA, SimulatedSNP


@pytest.fixture(scope="session")
def intel(tmp_path_factory: pytest.TempPathFactory) -> Intel:
    return Intel(tmp_path_factory.mktemp("intel"))


@pytest.fixture(scope="session")
def amd(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSNP:
    return SimulatedSNP.create(tmp_path_factory.mktemp("amd") / "snp")


@pytest.fixture(scope="session")
def nvidia(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNVIDIA:
    return SimulatedNVIDIA.create(tmp_path_factory.mktemp("nvidia") / "gpu")


@pytest.fixture
def cache(tmp_path: Path) -> CollateralCache:
    return CollateralCache(tmp_path / "cache")
