# SPDX-License-Identifier: Apache-2.0
"""Untrusted object stores: immutable objects under content addresses, and one mutable head."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Protocol

from accord.errors import ObjectMissingError, StoreError, VolumeTamperedError

MAX_HEAD_BYTES = 4096
"""Largest head read: a tag has 71 bytes, and the store may put anything there."""

_NAME = re.compile(r"[0-9a-f]{64}")


class ObjectStore(Protocol):
    """Where sealed volumes lie. Nothing that it returns is believed before it is verified."""

    def put(self, name: str, data: bytes) -> None:
        """Creates an object, atomically and durably; the same bytes again are fine.

        Raises ``VolumeTamperedError`` where ``name`` already holds other bytes, ``StoreError``.
        """
        ...

    def get(self, name: str, *, limit: int) -> bytes:
        """The bytes of an object; at most ``limit`` of them are ever held in memory.

        Raises ``ObjectMissingError``, ``VolumeTamperedError`` (too large), ``StoreError``.
        """
        ...

    def read_head(self) -> bytes | None:
        """The claimed tag of the latest version, or ``None`` in a store without versions."""
        ...

    def write_head(self, data: bytes) -> None:
        """Replaces the head, atomically and durably."""
        ...


def check_object_name(name: str) -> None:
    """Raises ``RuntimeError`` unless ``name`` is 64 lower-case hex digits: a caller's bug."""
    if not _NAME.fullmatch(name):
        message = f"not an object name: {name!r}"
        raise RuntimeError(message)


def _too_large(what: str, limit: int) -> VolumeTamperedError:
    return VolumeTamperedError(what=what, detail=f"it is larger than {limit} bytes")


def _holds_other_bytes(name: str) -> VolumeTamperedError:
    return VolumeTamperedError(what=f"object {name}", detail="it holds other bytes than its name")


class MemoryStore:
    """An object store in this process's memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.head: bytes | None = None

    def put(self, name: str, data: bytes) -> None:
        check_object_name(name)
        if self.objects.setdefault(name, bytes(data)) != data:
            raise _holds_other_bytes(name)

    def get(self, name: str, *, limit: int) -> bytes:
        check_object_name(name)
        if name not in self.objects:
            raise ObjectMissingError(what=f"object {name}")
        data = self.objects[name]
        if len(data) > limit:
            raise _too_large(f"object {name}", limit)
        return data

    def read_head(self) -> bytes | None:
        if self.head is not None and len(self.head) > MAX_HEAD_BYTES:
            raise _too_large("the head", MAX_HEAD_BYTES)
        return self.head

    def write_head(self, data: bytes) -> None:
        self.head = bytes(data)


class LocalStore:
    """A directory: ``objects/<first two digits>/<name>``, ``head``, and ``incoming/`` for parts.

    A file appears under its final name only when all its bytes are on the disk: it is written
    in ``incoming``, synced, renamed, and its directory synced. A process that is killed leaves
    at most a file in ``incoming``, which no reader looks at.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, name: str) -> Path:
        check_object_name(name)
        return self.root / "objects" / name[:2] / name

    def put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            found = _read(path, limit=len(data), what=f"object {name}")
        except VolumeTamperedError as exc:
            raise _holds_other_bytes(name) from exc
        if found is not None and found != data:
            raise _holds_other_bytes(name)
        try:
            if found is None:
                self._publish(path, data)
            else:
                # An earlier writer may have been killed between its rename and its sync.
                _sync_directory(path.parent)
        except OSError as exc:
            raise StoreError(path=self.root, detail=exc.strerror) from exc

    def get(self, name: str, *, limit: int) -> bytes:
        data = _read(self._path(name), limit=limit, what=f"object {name}")
        if data is None:
            raise ObjectMissingError(what=f"object {name}")
        return data

    def read_head(self) -> bytes | None:
        return _read(self.root / "head", limit=MAX_HEAD_BYTES, what="the head")

    def write_head(self, data: bytes) -> None:
        try:
            self._publish(self.root / "head", data)
        except OSError as exc:
            raise StoreError(path=self.root, detail=exc.strerror) from exc

    def _publish(self, path: Path, data: bytes) -> None:
        incoming = self.root / "incoming"
        _make_directory(incoming)
        _make_directory(path.parent)
        part = incoming / secrets.token_hex(16)
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def _read(path: Path, *, limit: int, what: str) -> bytes | None:
    """The bytes of a regular file, ``None`` where there is none; never waits on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise StoreError(path=path, detail=exc.strerror) from exc
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise VolumeTamperedError(what=what, detail="it is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise _too_large(what, limit)
        try:
            # One byte more, to see a file that grew since; the size was checked before.
            data = file.read(status.st_size + 1)
        except OSError as exc:
            raise StoreError(path=path, detail=exc.strerror) from exc
    if len(data) != status.st_size:
        raise VolumeTamperedError(what=what, detail="it changed while being read")
    return data


def _make_directory(path: Path) -> None:
    """Creates ``path`` with its parents, each durably entered into the one above."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
