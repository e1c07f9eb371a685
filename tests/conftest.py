# SPDX-License-Identifier: Apache-2.0
"""What whole runs of the suite share: one set of machines, one trust service, one demo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from accord.testing import SoftwareTPM
from tests.support.live import Board, Hardware, ServiceProcess, accord, found_board
from tests.support.postgres import Postgres, running_postgres

# How long one example takes says more about the machine than about us: what a test says about
# time is its bound on the number of examples.
settings.register_profile("accord", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("accord")


@dataclass(frozen=True)
class FinishedDemo:
    """The folder of a demo that ran to its end, and what it printed."""

    folder: Path
    result: dict[str, Any]
    shown: str

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def board(self) -> str:
        return str(self.result["board"])


@pytest.fixture(scope="session")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    """Simulated machines of one vendor."""
    return Hardware.create(tmp_path_factory.mktemp("hardware"))


@pytest.fixture(scope="session")
def shared_service(
    hardware: Hardware, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """One trust service for all tests that do not harm it; each founds a board of its own."""
    service = ServiceProcess(hardware, tmp_path_factory.mktemp("shared-service")).start()
    yield service
    service.stop()


@pytest.fixture
def service(hardware: Hardware, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A trust service of the test's own, to be killed, rolled back and so on; not started."""
    service = ServiceProcess(hardware, tmp_path / "service")
    yield service
    service.kill()


@pytest.fixture
def board(hardware: Hardware, shared_service: ServiceProcess, tmp_path: Path) -> Board:
    """A new board of ann (data owner) and bob (code owner) at the shared service."""
    return found_board(tmp_path / "board", hardware, shared_service.url)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> FinishedDemo:
    """The two hospitals' job, run once; do not change anything in its folder."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    finished = accord("demo", "hospitals", "--out", folder, "--json")
    if finished.exit_code != 0:
        pytest.fail(f"the demo ended with {finished.exit_code}: {finished.stderr[-4000:]}")
    return FinishedDemo(folder, json.loads(finished.stdout), finished.stderr)


@pytest.fixture
def bundle(demo: FinishedDemo, tmp_path: Path) -> Path:
    """A copy of the demo's bundle, to be damaged."""
    return Path(shutil.copytree(demo.bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; ask it for a database of the test's own."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def software_tpm(tmp_path: Path) -> Iterator[SoftwareTPM]:
    """A TPM 2.0 that is switched on; `SoftwareTPM.transmit` stands for /dev/tpmrm0."""
    with SoftwareTPM(tmp_path / "tpm") as machine:
        yield machine
