# SPDX-License-Identifier: Apache-2.0
"""Running commands in this process: their words are captured, their exit codes returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.live import Board, Finished

from accord.cli._main import run
from accord.evidence import Evidence
from accord.policy import Family

Command = Callable[..., Finished]

ASKED = "5a" * 64


@dataclass(frozen=True)
class Collected:
    """Evidence in a file, and the anchors of its test root as options."""

    path: Path
    anchors: tuple[str, ...]

    @property
    def evidence(self) -> Evidence:
        return Evidence.from_bytes(self.path.read_bytes())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCORD_COLLATERAL", str(tmp_path / "collateral-cache"))


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Collected]:
    """Evidence of every family, made once by `accord attest get --simulated`."""
    from accord.testing import create_simulated

    root = tmp_path_factory.mktemp("simulated")
    found = {}
    for family in Family:
        path = root / f"{family.value}.json"
        simulator = create_simulated(family, root / family.value)
        arguments = ["attest", "get", "--family", family.value, "--report-data", ASKED]
        place = ["--simulated", str(root / family.value), "--out", str(path)]
        assert run([*arguments, *place]) == 0
        anchors = tuple(f"--anchor={digest}" for digest in simulator.anchors)
        found[family.value] = Collected(path, anchors)
    return found


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one command line in this process."""

    def call(*arguments: object) -> Finished:
        capsys.readouterr()
        exit_code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Finished(exit_code, said.out, said.err)

    return call


@pytest.fixture
def voted(board: Board) -> Board:
    """A board with an asset and a proposal that ann has approved and bob has not."""
    tag = board.offer("ann", "data")
    proposal = board.propose("bob", board.policy({"ann/data": tag}))
    board.vote(proposal, "ann")
    return board
