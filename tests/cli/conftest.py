# SPDX-License-Identifier: Apache-2.0
"""Running commands in this process: their words are captured, their exit codes returned."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.live import Board, Finished

from accord.cli._main import run

Command = Callable[..., Finished]


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
