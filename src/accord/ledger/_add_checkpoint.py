# SPDX-License-Identifier: Apache-2.0
"""What a log asks a witness: cosign this, it continues what you saw (c2sp.org/tlog-witness)."""

from __future__ import annotations

from dataclasses import dataclass

from accord.errors import MalformedError, TooLargeError
from accord.ledger._lines import (
    MAX_PROOF_HASHES,
    hash_lines,
    parse_hash_lines,
    parse_number,
    split_at_empty_line,
)
from accord.ledger._note import MAX_NOTE_BYTES

_LIMIT = MAX_NOTE_BYTES + 4096  # 63 hashes of 45 characters, and the old size
_OLD = "old "
_WHAT = "add-checkpoint request"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A checkpoint with the proof that it continues the tree of ``old`` entries.

    Nothing of it is verified: not the note, not the proof.
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def to_bytes(self) -> bytes:
        """The body of the request."""
        if self.old < 0 or len(self.proof) > MAX_PROOF_HASHES:
            message = f"a size from 0 on, and a proof of at most {MAX_PROOF_HASHES} hashes"
            raise RuntimeError(message)
        return f"{_OLD}{self.old}\n{hash_lines(self.proof)}\n".encode() + self.note

    @classmethod
    def from_bytes(cls, data: bytes) -> AddCheckpoint:
        """Reads a body. What follows the empty line is not looked at.

        Raises ``TooLargeError`` or ``MalformedError``.
        """
        if len(data) > _LIMIT:
            raise TooLargeError(what=_WHAT, limit=_LIMIT)
        lines, note = split_at_empty_line(data, what=_WHAT)
        if not lines[0].startswith(_OLD):
            raise MalformedError(what=_WHAT, detail="the first line is not the old size")
        old = parse_number(
            lines[0].removeprefix(_OLD), what=_WHAT, detail="the old size is no number"
        )
        return cls(old, parse_hash_lines(lines[1:], what=_WHAT), note)
