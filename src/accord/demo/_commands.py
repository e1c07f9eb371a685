# SPDX-License-Identifier: Apache-2.0
"""Running the commands that a reader could type, as separate processes, and showing them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from accord.errors import StepFailedError

TIMEOUT_S = 120
SIDE_BY_SIDE = 3
"""Processes at once: their starts and waits overlap also on two cores."""


class Commands:
    """Runs ``accord …`` in ``folder``; each command is shown before it runs."""

    def __init__(self, folder: Path, show: Callable[[str], None]) -> None:
        self._folder, self._show = folder, show
        thread = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self.environment = {**os.environ, **dict.fromkeys(thread, "1")}

    def accord(
        self, command: str, *, expect: int = 0, environment: dict[str, str] | None = None
    ) -> Any:
        """Runs ``accord COMMAND`` and returns the JSON that it prints.

        Raises ``StepFailedError`` unless it ends with the exit code ``expect``.
        """
        words = [sys.executable, "-m", "accord", *shlex.split(command), "--json"]
        return self._run(f"accord {command}", words, expect, environment or {})

    def python(self, program: str) -> Any:
        """A stakeholder's own program, outside of accord; the JSON that it prints, if any."""
        return self._run(f"python {program}", [sys.executable, *shlex.split(program)], 0, {})

    def together(self, commands: Iterable[str]) -> list[Any]:
        """Runs `accord` or `python` commands that do not depend on one another, side by side."""
        runners: dict[str, Callable[[str], Any]] = {"accord": self.accord, "python": self.python}
        with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
            split = (command.partition(" ") for command in commands)
            return list(pool.map(lambda item: runners[item[0]](item[2]), split))

    def _run(self, command: str, words: list[str], expect: int, environment: dict[str, str]) -> Any:
        self._show(f"$ {command}")
        done = subprocess.run(
            words,
            cwd=self._folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = {"message": done.stderr.decode(errors="replace").strip()[-500:]}
        if done.returncode != expect:
            said = [document.get("message", "no error"), document.get("hint", "")]
            found = f"{done.returncode} ({'; '.join(filter(None, said))})"
            raise StepFailedError(command=command, exit_code=found, expected=expect)
        return document
