# SPDX-License-Identifier: Apache-2.0
"""A member follows the history that a vote chose, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.support.forks import forked, founded, grow, head
from tests.support.recovering import Planned

from accord.board import ResolveFork
from accord.errors import ExitCode


@pytest.fixture
def board(tmp_path: Path) -> Planned:
    return founded(tmp_path)


def test_accept_fork_shows_the_vote_and_then_follows_it(
    board: Planned, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads, approvals and digest first; with the digest the home reads the survivor again."""
    other = forked(board)
    survivor, abandoned = head(board), head(other)
    board.amend(ResolveFork(survivor, abandoned))
    home = ("--home", board.root / "ann")
    with board.over_http() as url:
        monkeypatch.setenv("ACCORD_SERVICE", url)
        assert command("board", "status", *home).exit_code == ExitCode.INTEGRITY
        shown = command("board", "accept-fork", *home, "--json")
        assert shown.exit_code == ExitCode.OK, shown.stderr
        document = shown.document
        assert document["survivor"] == survivor.to_json()
        assert document["abandoned"] == abandoned.to_json()
        assert document["seen"] == [{"size": abandoned.size, "root": abandoned.root.hex()}]
        assert (document["approved"], document["accepted"]) == (["ann"], False)
        said = command("board", "accept-fork", *home)
        assert f"abandoned  {abandoned.size}:{abandoned.root.hex()}" in said.stdout
        assert "nothing has changed" in said.stderr
        wrong = command("board", "accept-fork", "--vote", "sha256:" + "0" * 64, *home)
        assert "accord-CLI-002" in wrong.stderr
        done = command("board", "accept-fork", "--vote", document["vote"], *home, "--json")
        assert (done.exit_code, done.document["accepted"]) == (ExitCode.OK, True)
        assert command("board", "status", *home).exit_code == ExitCode.OK
        again = command("board", "accept-fork", *home)
        assert (again.exit_code, "accord-LED-033" in again.stderr) == (ExitCode.FAILURE, True)


def test_accept_fork_asks_a_service_that_still_shows_the_other_history(
    board: Planned, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The member saw less of it than the vote named."""
    other = forked(board)
    grow(other, "later")
    board.amend(ResolveFork(head(board), head(other)))
    home = ("--home", board.root / "ann", "--json")
    with board.over_http() as url, other.over_http() as abandoned:
        monkeypatch.setenv("ACCORD_SERVICE", url)
        refused = command("board", "accept-fork", *home)
        assert (refused.exit_code, "--abandoned-from" in refused.stderr) == (
            ExitCode.INTEGRITY,
            True,
        )
        place = ("--abandoned-from", abandoned)
        shown = command("board", "accept-fork", *place, *home)
        assert shown.exit_code == ExitCode.OK, shown.stderr
        vote = ("--vote", shown.document["vote"])
        assert command("board", "accept-fork", *place, *vote, *home).exit_code == ExitCode.OK
