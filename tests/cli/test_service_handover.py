# SPDX-License-Identifier: Apache-2.0
"""`accord service handover` and `follow`: what is typed, and what is said."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command
from tests.support.moving import Machine, movable

from accord.errors import BoardMovedError, ExitCode, NotHandedOverError


def test_a_founder_moves_the_board_and_another_member_follows(
    command: Command, tmp_path: Path
) -> None:
    """Facts as they are found, the new log key at the end, and one document with --json."""
    board = movable(tmp_path)
    with board.over_http() as old, Machine(board.hardware).running() as (service, new):
        for name in ("ann", "bob"):
            board.member(name, old).join(board.root / name, board.genesis, old)
        early = command("service", "follow", "--home", board.root / "bob")
        assert (early.exit_code, NotHandedOverError.code in early.stderr) == (1, True)
        moved = command(
            *("service", "handover", "--home", board.root / "ann"),
            *("--from", old, "--to", new, "--json"),
        )
        assert moved.exit_code == ExitCode.OK, moved.stderr
        assert moved.document["service"] == new
        assert moved.document["log_key"] == service.keyset.verify_key.key_id
        listed = command("proposal", "list", "--home", board.root / "bob")
        assert (listed.exit_code, BoardMovedError.code in listed.stderr) == (ExitCode.DENIED, True)
        followed = command("service", "follow", "--home", board.root / "bob")
        assert followed.exit_code == ExitCode.OK, followed.stderr
        assert new in followed.stdout
        again = command("proposal", "list", "--home", board.root / "bob")
        assert again.exit_code == ExitCode.OK, again.stderr
