# SPDX-License-Identifier: Apache-2.0
"""What a log of anybody's signed about itself, as far as a witness has to understand it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from accord.encoding import base64_decode
from accord.errors import (
    AccordError,
    CheckpointNotSignedError,
    MalformedError,
    WitnessRequestError,
)
from accord.identity import VerifyKey
from accord.ledger import EMPTY_ROOT, open_note

MAX_SIZE = 2**63 - 1
"""Largest log: what a row of SQLite holds, and proofs of 63 hashes show."""

_HEAD_LINES = 3
_ROOT_BYTES = 32
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Head:
    """The first three lines of a checkpoint. Extension lines are signed and not read."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def claimed(cls, note: bytes) -> Head:
        """What ``note`` says; no signature is verified. Raises ``WitnessRequestError``.

        Wider than `Checkpoint`: other people's origins hold spaces, their checkpoints more
        lines.
        """
        try:
            text = note.decode()
        except UnicodeDecodeError as exc:
            raise WitnessRequestError(detail="the checkpoint is not UTF-8") from exc
        head, separator, _ = text.rpartition("\n\n")
        lines = head.split("\n")
        if not separator or len(lines) < _HEAD_LINES or not all(lines):
            raise WitnessRequestError(detail="the checkpoint has no three lines and signatures")
        if not _SIZE.fullmatch(lines[1]) or int(lines[1]) > MAX_SIZE:
            raise WitnessRequestError(detail="the checkpoint has no size")
        try:
            root = base64_decode(lines[2], what="root")
        except MalformedError as exc:
            raise WitnessRequestError(detail="the checkpoint has no root") from exc
        found = cls(lines[0], int(lines[1]), root)
        if len(root) != _ROOT_BYTES or (found.size == 0 and root != EMPTY_ROOT):
            raise WitnessRequestError(detail="the root of the checkpoint is not of such a log")
        return found


_LATER = re.compile(r"(.+)/g([1-9][0-9]{0,6})")


def earlier_origin(origin: str) -> str | None:
    """What the log ``origin`` was called before a fork of it was resolved, if it ever was."""
    found = _LATER.fullmatch(origin)
    return None if found is None else f"{found[1]}/g{int(found[2]) - 1}".removesuffix("/g0")


def origin_digest(origin: str) -> str:
    """How a log is named in an address: SHA-256 of its origin, in hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


def signed_note(note: bytes, *, origin: str, name: str, key: VerifyKey) -> bytes:
    """``note`` with the one signature by ``name`` and ``key``; others are left out.

    The other lines could be anybody's, so they are neither kept nor passed on.
    Raises ``CheckpointNotSignedError``.
    """
    head, _, signatures = note.rpartition(b"\n\n")
    prefix = f"\N{EM DASH} {name} ".encode()
    for line in signatures.split(b"\n"):
        if not line.startswith(prefix):
            continue
        alone = head + b"\n\n" + line + b"\n"
        try:
            open_note(alone, name=name, key=key, what="checkpoint")
        except AccordError:
            continue  # "MUST ignore signatures from unknown keys", also under this name.
        return alone
    raise CheckpointNotSignedError(origin=origin)
