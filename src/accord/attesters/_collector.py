# SPDX-License-Identifier: Apache-2.0
"""What every collector is, and the file operations that they share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from accord.errors import InterfaceFailedError, InterfaceMissingError
from accord.evidence import Evidence
from accord.policy import Family

REPORT_DATA_BYTES = 64
"""Size of the report data that every collector is given (`Binding.report_data`)."""

MAX_READ_BYTES = 16 << 20
"""Most that one file of an interface may hold: as much as an attachment of evidence."""

_CHUNK_BYTES = 1 << 16


class Collector(Protocol):
    """One interface to a TEE of this machine: report data in, evidence out, nothing verified."""

    @property
    def family(self) -> Family:
        """What its evidence is."""
        ...

    def collect(self, report_data: bytes) -> Evidence:
        """Fresh evidence that carries these 64 bytes.

        Raises ``InterfaceMissingError``, ``InterfaceFailedError`` or ``ReportRaceError``.
        """
        ...


def check_report_data(report_data: bytes) -> None:
    """Raises ``ValueError`` for another size than 64 bytes: a bug of the caller."""
    if len(report_data) != REPORT_DATA_BYTES:
        message = f"report data must be {REPORT_DATA_BYTES} bytes"
        raise ValueError(message)


def reason(exc: OSError) -> str:
    """What the kernel said, in words."""
    return exc.strerror or type(exc).__name__


def missing_or_failed(
    exc: OSError, what: str, path: Path
) -> InterfaceMissingError | InterfaceFailedError:
    """The error for ``exc``: not being there is something else than not working."""
    if isinstance(exc, (FileNotFoundError, NotADirectoryError)):
        return InterfaceMissingError(what=what, detail=f"{path} does not exist")
    return InterfaceFailedError(what=what, detail=f"{path}: {reason(exc)}")


def read_all(path: Path, *, limit: int = MAX_READ_BYTES) -> bytes:
    """All of a file whose size the file system does not know. Raises ``OSError``.

    Files of sysfs, configfs and securityfs say that they hold 0 or 4096 bytes, or nothing.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = bytearray()
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            data += chunk
            if len(data) > limit:
                raise OSError(None, f"it holds more than {limit} bytes")
        return bytes(data)
    finally:
        os.close(descriptor)


def write_all(path: Path, data: bytes) -> None:
    """``data`` in one write, as an attribute of the kernel must be. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        written = os.write(descriptor, data)
    finally:
        os.close(descriptor)
    if written != len(data):
        raise OSError(None, f"it took {written} of {len(data)} bytes")


def read_optional(path: Path) -> bytes | None:
    """All of a file, None where there is none. Raises ``InterfaceFailedError``."""
    try:
        return read_all(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise InterfaceFailedError(what=path.name, detail=f"{path}: {reason(exc)}") from exc
