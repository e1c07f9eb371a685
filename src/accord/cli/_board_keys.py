# SPDX-License-Identifier: Apache-2.0
"""`accord board`: a new root secret, in new shares."""

from __future__ import annotations

from pathlib import Path

import click

from accord.board import MAX_HOLDERS, RotateKeys
from accord.cli._options import home_option, with_output
from accord.cli._output import Output
from accord.cli._proposing import make_proposal, proposing_options
from accord.errors import NoRecoveryPlanError
from accord.release import Machine


@click.command("rotate-keys")
@click.option(
    "--threshold",
    type=click.IntRange(2, MAX_HOLDERS),
    help="How many members bring the board back. [default: as many as now]",
)
@proposing_options
@home_option
@with_output
def rotate_keys(
    out: Output,
    threshold: int | None,
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
) -> None:
    """Propose a new root secret of the board, split anew among its members.

    Backups that are made later open with the new shares alone; backups that exist already still
    open with the old ones. A board that had no shares gets its first.

    \b
    Example: accord board rotate-keys --threshold 3 --home lab
    """
    make_proposal(
        out,
        home,
        lambda machine: [RotateKeys(threshold or _threshold(machine))],
        title=title or "a new root secret in new shares",
        days=days,
        offline_out=offline_out,
    )


def _threshold(machine: Machine) -> int:
    """As many as are needed now. Raises ``NoRecoveryPlanError``."""
    plan = machine.board.charter.recovery
    if plan is None:
        raise NoRecoveryPlanError(board=machine.board.board)
    return plan.threshold
