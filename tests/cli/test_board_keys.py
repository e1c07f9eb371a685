# SPDX-License-Identifier: Apache-2.0
"""A new root secret by vote, and a board that is being recovered, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command
from tests.support.backups import root_of, secrets_in, shares_of
from tests.support.live import Finished, Hardware
from tests.support.recovering import NAMES, Elsewhere, Planned, prepared, recovered

from accord.errors import BackupDamagedError, ExitCode
from accord.service._root import ROOT_NAME


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """A board of three, of whom two bring it back."""
    return prepared(tmp_path)


def ok(done: Finished) -> Any:
    assert done.exit_code == 0, done.stderr
    return done.document


def test_members_rotate_the_root_secret(
    planned: Planned, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proposed, voted for, split anew: the old shares open the old backup and no later one."""
    before = shares_of(planned)
    older = planned.back_up(tmp_path / "older" / "b.backup")
    kept = planned.store.secret(planned.board, ROOT_NAME)
    with planned.over_http() as url:
        for name in NAMES:
            planned.member(name, url)
        monkeypatch.setenv("ACCORD_SERVICE", url)
        home = ("--home", planned.root / "bob", "--json")
        said = ok(command("board", "rotate-keys", "--threshold", "3", *home))
        assert said["missing"]
        assert shares_of(planned) == before
        proposal = said["proposal"]
        approve = ("--approve", "--digest", proposal, "--home", planned.root / "ann", "--json")
        assert ok(command("proposal", "vote", proposal, *approve))["status"] == "enacted"
        checked = ok(command("recovery", "check", *home))
        assert (checked["epoch"], checked["threshold"]) == (2, 3)
    after = shares_of(planned)
    assert (after.epoch, after.rotation, after.threshold) == (2, 2, 3)
    assert planned.store.secret(planned.board, ROOT_NAME) != kept

    newer = planned.back_up(tmp_path / "newer" / "b.backup")
    old, new = root_of(planned, before, "ann", "bob"), root_of(planned, after, *NAMES)
    assert secrets_in(planned, older, old).keys() == secrets_in(planned, newer, new).keys() != set()
    with pytest.raises(BackupDamagedError):
        secrets_in(planned, newer, old)


def test_a_rotation_keeps_the_threshold_unless_told(
    planned: Planned, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many members as before, in words that whoever votes reads."""
    with planned.over_http() as url:
        planned.member("bob", url)
        monkeypatch.setenv("ACCORD_SERVICE", url)
        said = command("board", "rotate-keys", "--home", planned.root / "bob")
    assert said.exit_code == ExitCode.OK, said.stderr
    assert "of which 2 are needed" in said.stdout


def test_a_board_without_shares_is_told_to_name_a_threshold(board: Any, command: Command) -> None:
    """There is none to be kept."""
    done = command("board", "rotate-keys", "--home", board.home("ann"))
    assert "accord-RCV-001" in done.stderr
    assert "--threshold" in done.stderr


def test_status_of_a_board_that_is_recovered_says_what_is_missing(
    planned: Planned, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first look, through the first share, to a board that is as fresh as it can be."""
    planned.back_up(tmp_path / "restoring" / "b.backup")
    with Elsewhere(planned.hardware, tmp_path / "restoring").running() as (_, url):
        for name in NAMES:
            planned.member(name, url)
        monkeypatch.setenv("ACCORD_SERVICE", url)
        status = ("board", "status", "--home", planned.root / "ann")
        shown = ok(command(*status, "--json"))
        assert shown["freshness"] == {"state": "recovering", "opened": False}
        assert "accord recovery show" in command(*status).stdout
        assert command("recovery", "share", "--home", planned.root / "bob").exit_code == ExitCode.OK
        shown = ok(command(*status, "--json"))
        assert (shown["given"], shown["missing"][0]) == (["bob"], "1 of 2 shares")
        assert "missing    1 of 2 shares" in command(*status).stdout
        recovered(planned, url, "ann", "cid")
        assert ok(command(*status, "--json"))["freshness"] == {"state": "solo"}


def test_status_of_a_board_that_nobody_has_is_an_error(
    planned: Planned, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that neither has nor restores the board does not know it."""
    with Elsewhere(Hardware(planned.hardware.root), tmp_path / "none").running() as (_, url):
        planned.member("ann", url)
        monkeypatch.setenv("ACCORD_SERVICE", url)
        done = command("board", "status", "--home", planned.root / "ann")
    assert "accord-CHN-003" in done.stderr
