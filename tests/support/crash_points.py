# SPDX-License-Identifier: Apache-2.0
"""A service that ends at its n-th write to the disk: before that write or right after it.

Run as a program, it does the same small piece of work once for every write in it, each time in a
process of its own over a copy of the same disk, and prints what became of each.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accord.encoding import sha256
from accord.evidence import Role
from accord.service import STORE_LABEL, SQLiteStore
from accord.service._sqlite_file import SQLiteFile
from tests.support.live import Hardware
from tests.support.served import Served

DIED = 9
WRITES = ("BEGIN", "INSERT", "UPDATE", "COMMIT")


class Fuse:
    """Ends the process at its write number ``at``, as abruptly as a power cut ends it."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._left, self._after, self._query = at, after, SQLiteFile.query

    def __call__(self, file: SQLiteFile, statement: str, *values: Any) -> Any:
        counts = statement.startswith(WRITES)
        self._left -= counts
        burnt = counts and self._left == 0
        if burnt and not self._after:
            os._exit(DIED)
        found = self._query(file, statement, *values)
        if burnt:
            os._exit(DIED)
        return found


def _child(work: Callable[[], None]) -> int:
    """How a process that does ``work`` ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - told by the parent
            print(repr(exc), file=sys.stderr, flush=True)  # noqa: T201
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _store(disk: Path, hardware: Hardware) -> SQLiteStore:
    return SQLiteStore(disk / "state.db", hardware.attester(Role.SERVICE).seal_key(STORE_LABEL))


def _reopen(disk: Path, root: Path, hardware: Hardware) -> Served:
    """The same board and members, at a service over ``disk``."""
    served = Served.__new__(Served)
    served.__dict__.update(_founded(root, hardware).__dict__)
    served.store = _store(disk, hardware)  # type: ignore[assignment]
    served.restart()
    return served


_FOUNDED: list[Served] = []


def _founded(root: Path, hardware: Hardware) -> Served:
    if not _FOUNDED:
        disk = root / "disk"
        disk.mkdir()
        store: Any = _store(disk, hardware)
        served = Served(hardware, root, store=store)
        served.enact(served.policy())
        served.service.close()
        store.close()
        _FOUNDED.append(served)
    return _FOUNDED[0]


def _work(disk: Path, root: Path, hardware: Hardware, told: Path, fuse: Fuse) -> None:
    """Opens, then a secret, a release, a release; each acknowledgment goes into ``told``."""

    def query(file: SQLiteFile, statement: str, *values: Any) -> Any:
        return fuse(file, statement, *values)

    SQLiteFile.query = query  # type: ignore[method-assign, assignment]
    with told.open("a") as file:

        def tell(kind: str, what: str) -> None:
            file.write(f"{kind} {what}\n")
            file.flush()

        served = _reopen(disk, root, hardware)
        tell("secret", served.deposit("word", b"a word"))
        tell("run", served.release().run)
        tell("run", served.release().run)
        served.service.close()
        served.store.close()


def _check(disk: Path, root: Path, hardware: Hardware, told: Path) -> None:
    """The service opens by itself, knows all that it acknowledged, and goes on."""
    served = _reopen(disk, root, hardware)
    machine, store = served.host.machine, served.store
    for line in told.read_text().splitlines():
        kind, what = line.split(" ")
        if kind == "run" and what not in machine.runs:
            message = f"run {what} is lost"
            raise RuntimeError(message)
        if kind == "secret" and not any(what == a.latest for a in machine.board.assets.values()):
            message = f"offer {what} is lost"
            raise RuntimeError(message)
    entries = list(store.entries(served.board))
    if len({sha256(entry) for entry in entries}) != served.host.durable_size:
        message = "the log and its size differ"
        raise RuntimeError(message)
    served.release()
    served.service.close()
    store.close()


def main(hardware: str, root: str) -> None:
    machines, home = Hardware(Path(hardware)), Path(root)
    _founded(home, machines)
    results = []
    for after in (False, True):
        for at in range(1, 1000):
            disk, told = home / f"{at}-{after}", home / f"told-{at}-{after}"
            shutil.copytree(home / "disk", disk)
            told.touch()
            fuse = Fuse(at, after=after)
            ended = _child(lambda: _work(disk, home, machines, told, fuse))  # noqa: B023
            checked = _child(lambda: _check(disk, home, machines, told))  # noqa: B023
            told_of = len(told.read_text().splitlines())
            results.append(
                {"at": at, "after": after, "ended": ended, "checked": checked, "told": told_of}
            )
            shutil.rmtree(disk)
            if ended != DIED:
                break
    print(json.dumps(results))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
