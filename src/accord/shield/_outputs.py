# SPDX-License-Identifier: Apache-2.0
"""Taking what a program left behind, without believing anything about it."""

import os
import stat
from pathlib import Path

from accord.errors import OutputRefusedError

_MAX_DEPTH = 32
"""Directories below the output directory; also keeps recursion short."""


def collect_outputs(root: Path, *, max_files: int, max_bytes: int) -> list[Path]:
    """The regular files below ``root``, sorted, after the program has ended.

    Everything else is refused: links (symbolic, and a second name of the same file), devices,
    pipes, sockets, other mounts, names that are not printable text, more files or bytes than
    allowed. No link is followed on the way. Not checked: what the files contain, and that nobody
    writes to ``root`` meanwhile (after ``run_confined`` the program is gone).

    Raises ``OutputRefusedError``.
    """
    collector = _Collector(max_files=max_files, max_bytes=max_bytes)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(root, flags)
    except OSError as error:
        raise OutputRefusedError(name=root.name, detail=error.strerror) from error
    try:
        collector.walk(descriptor, Path(), device=os.fstat(descriptor).st_dev)
    finally:
        os.close(descriptor)
    return [root / name for name in sorted(collector.found)]


class _Collector:
    def __init__(self, *, max_files: int, max_bytes: int) -> None:
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._entries = 0
        self._bytes = 0
        self.found: list[Path] = []

    def walk(self, directory: int, at: Path, *, device: int) -> None:
        if len(at.parts) > _MAX_DEPTH:
            raise OutputRefusedError(name=at, detail="it lies too deep")
        with os.scandir(directory) as entries:
            # One by one: a directory of a billion names must not be listed first.
            for entry in entries:
                self._take(directory, entry.name, at, device=device)

    def _take(self, directory: int, name: str, at: Path, *, device: int) -> None:
        if not name.isprintable():
            raise OutputRefusedError(name=ascii(name), detail="its name is not printable text")
        path = at / name
        self._entries += 1
        if self._entries > self._max_files:
            detail = f"there are more than {self._max_files} files and directories"
            raise OutputRefusedError(name=path, detail=detail)
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if status.st_dev != device:
            raise OutputRefusedError(name=path, detail="it is on another file system")
        if stat.S_ISDIR(status.st_mode):
            self._descend(directory, name, path, device=device)
            return
        if not stat.S_ISREG(status.st_mode):
            raise OutputRefusedError(name=path, detail=f"it is a {_kind(status.st_mode)}")
        if status.st_nlink != 1:
            raise OutputRefusedError(name=path, detail="it is a file with more than one name")
        self._bytes += status.st_size
        if self._bytes > self._max_bytes:
            detail = f"all files together are larger than {self._max_bytes} bytes"
            raise OutputRefusedError(name=path, detail=detail)
        self.found.append(path)

    def _descend(self, directory: int, name: str, path: Path, *, device: int) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=directory)
        except OSError as error:
            raise OutputRefusedError(name=path, detail=error.strerror) from error
        try:
            self.walk(descriptor, path, device=device)
        finally:
            os.close(descriptor)


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "symbolic link"),
        (stat.S_ISFIFO, "pipe"),
        (stat.S_ISSOCK, "socket"),
    )
    return next((name for test, name in kinds if test(mode)), "device")
