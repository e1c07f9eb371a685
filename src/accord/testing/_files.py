# SPDX-License-Identifier: Apache-2.0
"""The simulators' state on disk: whole files, private from the first byte on."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from accord.encoding import Fields, parse_json
from accord.errors import EncodingError, IdentityExposedError, SimulatorStateError


def write_once(path: Path, data: bytes) -> None:
    """Writes ``path`` unless it exists: of two at the same time the first wins, whole."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = _write_part(path, data)
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def replace(path: Path, data: bytes) -> None:
    """Writes ``path`` anew, whole or not at all."""
    _write_part(path, data).replace(path)


def _write_part(path: Path, data: bytes) -> Path:
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return part


def read_fields(path: Path, *, what: str) -> Fields:
    """The object in a file that nobody else can read.

    Raises ``SimulatorStateError`` or ``IdentityExposedError``.
    """
    try:
        data, mode = path.read_bytes(), path.stat().st_mode & 0o777
    except OSError as exc:
        raise SimulatorStateError(what=what, path=path, detail=str(exc.strerror)) from exc
    if mode & 0o077:
        raise IdentityExposedError(path=path, mode=f"{mode:04o}")
    try:
        return Fields(parse_json(data, what=str(path)), str(path))
    except EncodingError as exc:
        raise SimulatorStateError(what=what, path=path, detail=str(exc)) from exc
