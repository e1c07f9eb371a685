# SPDX-License-Identifier: Apache-2.0
"""A trust service that is killed often: each a process, forked from one that has its code.

Run as a program, this module waits for lines on standard input: ``start`` forks a service and
prints its process id, ``reap`` waits for its end. What a new interpreter takes to load the code
is left out so; everything that the service does with its disk is not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from accord.evidence import Attester, Role
from accord.service import STORE_LABEL, SQLiteStore, serve
from accord.testing import SimulatedPlatform, simulated_measurements

TIMEOUT_S = 30.0


@dataclass
class Nursery:
    """Starts and kills services over one SQLite file."""

    host: Path
    """Folder of the simulated machine that the services run on."""

    folder: Path
    opened: list[float] = field(default_factory=list)
    """Of each start, the seconds until it accepted connections."""

    url: str = ""
    pid: int = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.support.crash_process", self.host, self.folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.pid:
                self.kill()
        finally:
            self._parent.communicate(timeout=TIMEOUT_S)

    def start(self) -> str:
        """Returns its URL once it accepts connections: it has opened its store and its boards."""
        url = self.folder / "url"
        url.unlink(missing_ok=True)
        start = time.perf_counter()
        self.pid = int(self._ask("start"))
        while not url.exists():
            if time.perf_counter() - start > TIMEOUT_S:
                message = f"the service did not open: {(self.folder / 'log').read_text()}"
                raise RuntimeError(message)
            time.sleep(0.001)
        self.opened.append(time.perf_counter() - start)
        self.url = url.read_text()
        return self.url

    def kill(self) -> None:
        """Ends it without warning. Raises ``RuntimeError`` where it had ended by itself."""
        os.kill(self.pid, signal.SIGKILL)
        self.pid = 0
        if (status := self._ask("reap")) != str(-signal.SIGKILL):
            message = f"ended with {status}: {(self.folder / 'log').read_text()}"
            raise RuntimeError(message)

    def _ask(self, line: str) -> str:
        stdin, stdout = self._parent.stdin, self._parent.stdout
        if stdin is None or stdout is None:
            message = "the process has no pipes"
            raise RuntimeError(message)
        stdin.write(line + "\n")
        stdin.flush()
        return stdout.readline().strip()


def _serve(attester: Attester, folder: Path) -> None:
    store = SQLiteStore(folder / "state.db", attester.seal_key(STORE_LABEL))

    def ready(url: str) -> None:
        new = folder / "url.new"
        new.write_text(url)
        new.rename(folder / "url")

    serve(
        store=store,
        attester=attester,
        host="127.0.0.1",
        port=0,
        ready=ready,
        allow_private_peers=True,
    )


def main(host: str, folder: str) -> None:
    pid, measured = 0, simulated_measurements(Role.SERVICE)
    attester = SimulatedPlatform.load(Path(host)).attester(measured)
    for line in sys.stdin:
        if line == "start\n":
            pid = os.fork()
            if pid == 0:
                _serve(attester, Path(folder))
                os._exit(0)
            print(pid, flush=True)  # noqa: T201 - the answer
        else:
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
