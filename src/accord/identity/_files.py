# SPDX-License-Identifier: Apache-2.0
"""Files that people keep: written whole or not at all, secrets for their owner's eyes only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from accord.errors import IdentityExposedError, IdentityNotFoundError

PRIVATE = 0o600


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replaces ``path`` durably; killed at any moment, it is the old file or the new one.

    The bytes are never readable for more than ``mode`` allows, not even before the rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A name of its own for every writer: two at once must not publish one another's half.
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_private(path: Path) -> bytes:
    """The bytes of a secret file.

    Raises ``IdentityNotFoundError``, or ``IdentityExposedError`` where others may read it.
    """
    try:
        data, mode = path.read_bytes(), path.stat().st_mode & 0o777
    except OSError as exc:
        raise IdentityNotFoundError(path=path) from exc
    if mode & 0o077:
        raise IdentityExposedError(path=path, mode=f"{mode:04o}")
    return data
