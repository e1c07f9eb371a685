# SPDX-License-Identifier: Apache-2.0
"""A trust service and witnesses that are killed often: forked from a process that has the code.

Run as a program, this module waits for lines on standard input: ``service …`` and ``witness …``
fork one and print its process id, ``reap ID`` waits for its end. What a new interpreter takes to
load the code is left out so; everything that they do with their disks is not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from accord.cli import main as command
from accord.evidence import Attester, Role
from accord.service import STORE_LABEL, SQLiteStore, open_postgres, serve
from accord.testing import SimulatedPlatform, simulated_measurements
from accord.witness.replay import Replay

TIMEOUT_S = 30.0
LOADED = (Replay,)
"""What a witness imports only where it is asked to replay: before it is forked, here."""

PORTS = range(18_000, 30_000)
"""Below those that the kernel gives to connections, which could take one between two lives."""


def free_port() -> int:
    """One that nobody listens at."""
    while True:
        port = random.choice(PORTS)  # noqa: S311 - a port, not a secret
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


@dataclass
class Child:
    """A service or a witness at an address that stays, from one life to the next."""

    nursery: Nursery
    folder: Path
    command: tuple[str, ...]
    port: int = field(default_factory=free_port)
    pid: int = 0
    url: str = ""

    def start(self) -> str:
        """Returns its URL once it accepts connections: it has opened all that is on its disk."""
        url = self.folder / "url"
        url.unlink(missing_ok=True)
        start = time.perf_counter()
        self.pid = int(self.nursery.ask([*self.command, str(self.port)]))
        while not url.exists():
            if time.perf_counter() - start > TIMEOUT_S:
                message = f"{self.folder} did not open: {self.nursery.log.read_text()}"
                raise RuntimeError(message)
            time.sleep(0.001)
        self.url = url.read_text()
        return self.url

    def kill(self) -> None:
        """Ends it without warning. Raises ``RuntimeError`` where it had ended by itself."""
        pid, self.pid = self.pid, 0
        os.kill(pid, signal.SIGKILL)
        if (status := self.nursery.ask(["reap", str(pid)])) != str(-signal.SIGKILL):
            message = f"ended with {status}: {self.nursery.log.read_text()}"
            raise RuntimeError(message)


@dataclass
class Nursery:
    """Starts and kills a service over one store, and witnesses in folders of their own."""

    host: Path
    """Folder of the simulated machine that the services run on."""

    folder: Path
    database: str = ""
    """PostgreSQL's connection string; otherwise the store is an SQLite file in the folder."""

    opened: list[float] = field(default_factory=list)
    """Of each start of the service, the seconds until it accepted connections."""

    witnesses: list[Child] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.service = Child(self, self.folder, ("service",))
        with self.log.open("ab") as log:
            self._parent = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.crash_process"),
                    *(self.host, self.folder, self.database),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for child in (self.service, *self.witnesses):
                if child.pid:
                    child.kill()
        finally:
            self._parent.communicate(timeout=TIMEOUT_S)

    def start(self) -> str:
        """Starts the service; `Child.start`."""
        start = time.perf_counter()
        url = self.service.start()
        self.opened.append(time.perf_counter() - start)
        return url

    def kill(self) -> None:
        """Kills the service; `Child.kill`."""
        self.service.kill()

    def witness(self, home: Path, *options: str) -> Child:
        """`accord witness serve` on a folder; not started."""
        child = Child(self, home, ("witness", str(home), *options))
        self.witnesses.append(child)
        return child

    def ask(self, words: list[str]) -> str:
        """The answer of the process that all others are forked from."""
        stdin, stdout = self._parent.stdin, self._parent.stdout
        if stdin is None or stdout is None:
            message = "the process has no pipes"
            raise RuntimeError(message)
        stdin.write(json.dumps(words) + "\n")
        stdin.flush()
        return stdout.readline().strip()


def _serve(attester: Attester, folder: Path, database: str, port: int) -> None:
    key = attester.seal_key(STORE_LABEL)
    store = open_postgres(database, key) if database else SQLiteStore(folder / "state.db", key)

    def ready(url: str) -> None:
        new = folder / "url.new"
        new.write_text(url)
        new.rename(folder / "url")

    serve(
        store=store,
        attester=attester,
        host="127.0.0.1",
        port=port,
        ready=ready,
        allow_private_peers=True,
    )


def _witness(home: str, *options: str, port: int) -> None:
    os.dup2(2, 1)  # Standard output is for answers.
    place = ("--listen", f"127.0.0.1:{port}", "--url-file", str(Path(home) / "url"))
    sys.argv[1:] = ["witness", "serve", home, *place, *options]
    command()


def main(host: str, folder: str, database: str) -> None:
    measured = simulated_measurements(Role.SERVICE)
    attester = SimulatedPlatform.load(Path(host)).attester(measured)
    for line in sys.stdin:
        what, *words = json.loads(line)
        if what == "reap":
            _, status = os.waitpid(int(words[0]), 0)
            print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer
            continue
        *words, port = words
        pid = os.fork()
        if pid == 0:
            if what == "service":
                _serve(attester, Path(folder), database, int(port))
            else:
                _witness(*words, port=int(port))
            os._exit(0)
        print(pid, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
