# SPDX-License-Identifier: Apache-2.0
"""`accord board status` says in one word how a witnessed board stands, and shows both heads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command
from tests.support.forks import cloned
from tests.support.recovering import Planned, prepared
from tests.support.witness import FakeWitness, four_witnesses

from accord.errors import ExitCode, LogForkError, NotCosignedError


@pytest.fixture
def witnesses() -> Iterator[list[FakeWitness]]:
    with four_witnesses() as found:
        yield found


@pytest.fixture
def board(tmp_path: Path, witnesses: list[FakeWitness]) -> Iterator[Planned]:
    """A board whose witnesses have seen everything so far."""
    planned = prepared(tmp_path, witnesses=witnesses)
    with closing(planned.service):
        planned.release()
        yield planned


class Status:
    """The command, asked by bob, whose home is as it was founded."""

    def __init__(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self._command, self._monkeypatch = command, monkeypatch

    def of(self, board: Planned, name: str = "bob") -> tuple[Any, str]:
        """The document, and the words."""
        with board.over_http() as url:
            board.member(name, url)
            self._monkeypatch.setenv("ACCORD_SERVICE", url)
            asked = ("board", "status", "--home", board.root / name)
            document, words = self._command(*asked, "--json"), self._command(*asked)
        assert (document.exit_code, words.exit_code) == (ExitCode.OK, ExitCode.OK)
        return document.document, words.stdout


@pytest.fixture
def status(command: Command, monkeypatch: pytest.MonkeyPatch) -> Status:
    return Status(command, monkeypatch)


def test_status_of_an_open_board_and_of_one_whose_witnesses_left(
    board: Planned, witnesses: list[FakeWitness], status: Status
) -> None:
    """Open, then waiting for witnesses, with who is away."""
    asyncio.run(board.host.confirmed(board.host.head.size - 1))
    document, words = status.of(board)
    assert document["freshness"]["state"] in {"open", "degraded"}
    assert f"cosigned   {document['cosigned']['size']} entries" in words
    for witness in witnesses:
        witness.away = True
    with pytest.raises(NotCosignedError):
        board.release()
    document, words = status.of(board)
    assert document["freshness"]["state"] == "waiting-witness"
    assert "freshness  waiting-witness" in words


def test_status_of_a_board_that_started_anew_is_sealed_first(
    board: Planned, witnesses: list[FakeWitness], status: Status
) -> None:
    """Nobody has seen its start, and nobody was asked to yet."""
    board.service.close()
    for witness in witnesses:
        witness.away = True
    board.restart()
    with closing(board.service):
        document, _ = status.of(board)
        assert document["freshness"]["state"] in {"sealed", "waiting-witness"}


def test_status_of_a_fork_shows_heads_as_resolve_takes_them(board: Planned, status: Status) -> None:
    """Copied from the screen they make the proposal."""
    clone = cloned(board)
    with closing(clone.service):
        board.release()
        with pytest.raises(LogForkError):
            clone.release()
        document, words = status.of(clone)
        assert document["freshness"]["state"] == "halted-fork"
        fork = clone.host.cosigning.fork
        assert fork is not None
        own = f"{fork.own_size}:{clone.host.head.root(fork.own_size).hex()}"
        other = f"{fork.other_size}:{board.host.head.root(fork.other_size).hex()}"
        assert f"fork       {own} here" in words
        assert f"other      {other}, seen by {fork.witness}" in words
