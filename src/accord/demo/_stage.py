# SPDX-License-Identifier: Apache-2.0
"""What the job and the attacks on it share: folders, commands, data, and the running service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from accord.demo._commands import Commands
from accord.demo._data import HospitalSplit, split
from accord.demo._layout import COMPUTE_HOST, POLICY, Layout


@dataclass
class Stage:
    """One demo in the folder ``layout.root``."""

    layout: Layout
    show: Callable[[str], None]
    data: HospitalSplit = field(default_factory=split)
    url: str = ""
    """Of the trust service, once it runs."""

    board: str = ""
    """The genesis digest, once the board is founded."""

    commands: Commands = field(init=False)

    def __post_init__(self) -> None:
        self.commands = Commands(self.layout.root, self.show)

    def heading(self, words: str) -> None:
        self.show("")
        self.show(f"── {words}")

    def launch(self, *, expect: int = 0) -> Any:
        """The operator starts a shield on the compute host."""
        return self.commands.accord(
            f"shield run --service-url {self.url} --board {self.board} --policy {POLICY}"
            f" --service train --storage operator/storage --simulated {COMPUTE_HOST}",
            expect=expect,
            environment={"TMPDIR": str(self.layout.compute_host)},
        )
