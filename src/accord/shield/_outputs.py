# SPDX-License-Identifier: Apache-2.0
"""Taking what a program left behind, without believing anything about it.

A refusal never repeats what the program chose: a program that has read the data could name a
file after a record, plant a link beside it, and have the shield print the name to the operator.
There is one fixed sentence for each kind of refusal, and no name, number or path in any.
"""

import os
import stat
from pathlib import Path

from accord.errors import OutputRefusedError

_MAX_DEPTH = 32
"""Directories below the output directory; also keeps recursion short."""

_MAX_PATH_BYTES = 4095
"""What a volume holds; its own refusal, later, would name the path."""


def collect_outputs(root: Path, *, max_files: int, max_bytes: int) -> list[Path]:
    """The regular files below ``root``, sorted, after the program has ended.

    Everything else is refused: links (symbolic, and a second name of the same file), devices,
    pipes, sockets, other mounts, names that are not printable text, more files or bytes than
    allowed. No link is followed on the way. Not checked: what the files contain, and that nobody
    writes to ``root`` meanwhile (after ``run_confined`` the program is gone).

    Raises ``OutputRefusedError``.
    """
    collector = _Collector(max_files=max_files, max_bytes=max_bytes)
    try:
        collector.walk(os.open(root, _DIRECTORY), Path())
    except OSError:
        readable = False
    else:
        readable = True
    if not readable:
        # Not inside the handler: an error remembers the one it follows, and that names the file.
        raise OutputRefusedError(detail="a file or directory of it cannot be read")
    return [root / name for name in sorted(collector.found)]


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Collector:
    def __init__(self, *, max_files: int, max_bytes: int) -> None:
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._entries = 0
        self._bytes = 0
        self.found: list[Path] = []

    def walk(self, directory: int, at: Path) -> None:
        """Take everything below the open ``directory``, and close it."""
        try:
            if len(at.parts) > _MAX_DEPTH:
                raise OutputRefusedError(detail="it has directories too deep in one another")
            device = os.fstat(directory).st_dev
            with os.scandir(directory) as entries:
                # One by one: a directory of a billion names must not be listed first.
                for entry in entries:
                    self._take(directory, entry.name, at, device=device)
        finally:
            os.close(directory)

    def _take(self, directory: int, name: str, at: Path, *, device: int) -> None:
        if not name.isprintable():
            raise OutputRefusedError(detail="it has a name that is not printable text")
        if len(os.fsencode(at / name)) > _MAX_PATH_BYTES:
            raise OutputRefusedError(detail="it has a path that is too long")
        self._entries += 1
        if self._entries > self._max_files:
            raise OutputRefusedError(detail="it has more files and directories than allowed")
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if status.st_dev != device:
            raise OutputRefusedError(detail="a part of it is on another file system")
        if stat.S_ISDIR(status.st_mode):
            self.walk(os.open(name, _DIRECTORY, dir_fd=directory), at / name)
            return
        if not stat.S_ISREG(status.st_mode):
            raise OutputRefusedError(detail=f"it has a {_kind(status.st_mode)}")
        if status.st_nlink != 1:
            raise OutputRefusedError(detail="it has a file with more than one name")
        self._bytes += status.st_size
        if self._bytes > self._max_bytes:
            raise OutputRefusedError(detail="all its files together are larger than allowed")
        self.found.append(at / name)


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "symbolic link"),
        (stat.S_ISFIFO, "pipe"),
        (stat.S_ISSOCK, "socket"),
    )
    return next((name for test, name in kinds if test(mode)), "device")
