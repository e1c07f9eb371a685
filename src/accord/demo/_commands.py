# SPDX-License-Identifier: Apache-2.0
"""Running the commands that a reader could type, as separate processes, and showing them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accord.errors import StepFailedError

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended: its exit code and the JSON that it printed."""

    exit_code: int
    document: Any


class Commands:
    """Runs ``accord …`` in ``folder``; each command is shown before it runs."""

    def __init__(self, folder: Path, show: Callable[[str], None]) -> None:
        self._folder, self._show = folder, show
        thread = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self.environment = {**os.environ, **dict.fromkeys(thread, "1")}

    def accord(
        self, *arguments: str, expect: int = 0, environment: dict[str, str] | None = None
    ) -> Finished:
        """One command, which must end with the exit code ``expect``.

        Raises ``StepFailedError`` with the command and what it ended with.
        """
        self._show("$ accord " + shlex.join(arguments))
        words = [sys.executable, "-m", "accord", *arguments, "--json"]
        finished = self._run(words, environment or {})
        if finished.exit_code != expect:
            raise StepFailedError(
                command="accord " + shlex.join(arguments),
                exit_code=f"{finished.exit_code} ({_reason(finished.document)})",
                expected=expect,
            )
        return finished

    def together(self, commands: Iterable[Sequence[str]]) -> list[Finished]:
        """Commands of different people that do not depend on one another, side by side."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            return list(pool.map(lambda command: self.accord(*command), commands))

    def python(self, *arguments: str) -> Any:
        """A program of a stakeholder's own, outside of accord; the JSON that it prints, if any."""
        self._show("$ python " + shlex.join(arguments))
        finished = self._run([sys.executable, *arguments], {})
        if finished.exit_code != 0:
            raise StepFailedError(
                command="python " + shlex.join(arguments), exit_code=finished.exit_code, expected=0
            )
        return finished.document

    def _run(self, words: list[str], environment: dict[str, str]) -> Finished:
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
        return Finished(done.returncode, document)


def _reason(document: Any) -> str:
    return str(document.get("message", "")) if isinstance(document, dict) else ""
