# SPDX-License-Identifier: Apache-2.0
"""A folder of attributes as the kernel makes them: every read asks, every write tells.

Files are named pipes that one thread serves. A read blocks until the thread answers it, with
what is true at that moment, after all writes before it: as with sysfs and configfs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

Read = Callable[[], bytes]
Write = Callable[[bytes], None]


class Attributes:
    """Serves ``readable`` and ``writable`` attributes below ``folder`` until it is closed."""

    def __init__(
        self, folder: Path, *, readable: Mapping[str, Read], writable: Mapping[str, Write]
    ) -> None:
        self._readable = {folder / name: read for name, read in readable.items()}
        self._writable: dict[int, Write] = {}
        for path in self._readable:
            os.mkfifo(path)
        for name, write in writable.items():
            os.mkfifo(folder / name)
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK)
            self._writable[descriptor] = write
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        for descriptor in self._writable:
            os.close(descriptor)

    def _serve(self) -> None:
        while not self._stop.is_set():
            for path, read in self._readable.items():
                try:
                    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                except OSError as exc:
                    if exc.errno not in (errno.ENXIO, errno.ENOENT):
                        raise
                    continue  # nobody reads it
                self._answer(path, descriptor, read)
            self._drain()
            time.sleep(0.0005)

    def _answer(self, path: Path, descriptor: int, read: Read) -> None:
        """Answers one reader: from when it has the file open until it has it no more.

        Otherwise it might be taken for the next one, who waits in open() without a descriptor.
        """
        self._drain()
        os.set_blocking(descriptor, True)
        _wait(lambda: _times_open(path) > 1)
        with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as file:
            file.write(read())
        _wait(lambda: _times_open(path) == 0)

    def _drain(self) -> None:
        for descriptor, write in self._writable.items():
            with contextlib.suppress(BlockingIOError):
                while data := os.read(descriptor, 1 << 16):
                    write(data)


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.0002)


def _times_open(path: Path) -> int:
    """How many descriptors of this process, in which the collector runs, are for ``path``."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += descriptor.readlink() == path
    return count


class FakeConfigfs:
    """configfs-tsm: `make` and `remove` are mkdir and rmdir of a report's folder.

    ``others`` lets somebody else write to the same report so many times.
    """

    def __init__(
        self,
        root: Path,
        *,
        provider: str = "tdx_guest",
        report: Callable[[bytes], bytes] = lambda data: b"report of " + data,
        auxblob: bytes | None = None,
        others: int = 0,
        generation: bytes | None = None,
    ) -> None:
        self.root = root
        self.written: list[tuple[str, bytes]] = []
        self.removed: list[Path] = []
        self.others = others
        self._provider, self._report, self._auxblob = provider, report, auxblob
        self._generation_text = generation
        self._generation = 7
        self._served: dict[Path, Attributes] = {}
        root.mkdir(parents=True)

    def make(self, path: Path) -> None:
        path.mkdir()
        readable: dict[str, Read] = {
            "provider": lambda: self._provider.encode() + b"\n",
            "generation": self._read_generation,
            "outblob": self._outblob,
        }
        if self._auxblob is not None:
            auxblob = self._auxblob
            readable["auxblob"] = lambda: auxblob
        writable = {name: self._writer(name) for name in ("inblob", "privlevel")}
        self._served[path] = Attributes(path, readable=readable, writable=writable)

    def remove(self, path: Path) -> None:
        self._served.pop(path).close()
        shutil.rmtree(path)
        self.removed.append(path)

    def _writer(self, name: str) -> Write:
        def write(data: bytes) -> None:
            self._generation += 1
            self.written.append((name, data))

        return write

    def _read_generation(self) -> bytes:
        return self._generation_text or f"{self._generation}\n".encode()

    def _outblob(self) -> bytes:
        if self.others:
            self.others -= 1
            self._generation += 1
        return self._report(self.written[-1][1])
