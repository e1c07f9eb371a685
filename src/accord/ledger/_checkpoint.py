# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: what a log signs about itself (c2sp.org/tlog-checkpoint)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accord.encoding import base64_decode, base64_encode
from accord.errors import CheckpointOriginError, MalformedError
from accord.identity import VerifyKey
from accord.ledger._merkle import EMPTY_ROOT, HASH_BYTES
from accord.ledger._note import NoteSigner, check_name, open_note, sign_note

MAX_SIZE = 2**53 - 1
"""Largest log: an index has to be an integer of canonical JSON."""

_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log, how many entries it has, and the Merkle root over them."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_name(self.origin, what="checkpoint origin")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_BYTES:
            raise MalformedError(what="checkpoint", detail="size or root is out of range")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedError(what="checkpoint", detail="an empty log has another root")

    def to_text(self) -> str:
        """The text of its note: three lines, no extension lines."""
        return f"{self.origin}\n{self.size}\n{base64_encode(self.root)}\n"

    @classmethod
    def from_text(cls, text: str) -> Checkpoint:
        """Reads the text of a note; extension lines are refused. Raises ``MalformedError``."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:  # noqa: PLR2004 - three lines, each with its newline
            raise MalformedError(what="checkpoint", detail="expected exactly three lines")
        if not _SIZE.fullmatch(lines[1]):
            raise MalformedError(what="checkpoint", detail="the second line is not a size")
        root = base64_decode(lines[2], what="checkpoint root")
        return cls(lines[0], int(lines[1]), root)


def sign_checkpoint(checkpoint: Checkpoint, *, name: str, signer: NoteSigner) -> bytes:
    """The checkpoint as a note signed by ``name``; logs are named like their origin."""
    return sign_note(checkpoint.to_text(), name=name, signer=signer)


def verify_checkpoint(note: bytes, *, origin: str, name: str, key: VerifyKey) -> Checkpoint:
    """The checkpoint in ``note``, if it is of log ``origin`` and ``name`` signed it with ``key``.

    Whether it is the *latest* one, or the only one of its size, is *not* checked.

    Raises ``CheckpointOriginError``, ``SignatureInvalidError`` or what parsing raises.
    """
    # (1) The note is signed by the key of the log, and every byte of it is accounted for.
    text = open_note(note, name=name, key=key, what="checkpoint")
    # (2) Only then is the text read.
    checkpoint = Checkpoint.from_text(text)
    # (3) It speaks of this log.
    if checkpoint.origin != origin:
        raise CheckpointOriginError(found=checkpoint.origin, expected=origin)
    return checkpoint
