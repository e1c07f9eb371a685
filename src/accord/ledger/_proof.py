# SPDX-License-Identifier: Apache-2.0
"""Proofs that an entry is in a log, for those who are offline (c2sp.org/tlog-proof)."""

from __future__ import annotations

from dataclasses import dataclass

from accord.encoding import base64_decode, base64_encode
from accord.errors import MalformedError, TooLargeError
from accord.identity import VerifyKey
from accord.ledger._checkpoint import Checkpoint, verify_checkpoint
from accord.ledger._entry import leaf
from accord.ledger._lines import (
    MAX_PROOF_HASHES,
    hash_lines,
    parse_hash_lines,
    parse_number,
    split_at_empty_line,
)
from accord.ledger._merkle import leaf_hash, verify_inclusion
from accord.ledger._note import MAX_NOTE_BYTES

_HEADER = "c2sp.org/tlog-proof@v1"
_EXTRA, _INDEX = "extra ", "index "
_MAX_EXTRA = 1 << 16
_LIMIT = MAX_NOTE_BYTES + 2 * _MAX_EXTRA
_WHAT = "tlog-proof"


@dataclass(frozen=True, slots=True)
class LogProof:
    """The path from an entry to a checkpoint, and the checkpoint with its cosignatures.

    Read or made, nothing of it is verified before `verify`.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None
    """For the application. Nobody signs it: `verify` says nothing about it."""

    def to_bytes(self) -> bytes:
        """The file ``.tlog-proof``."""
        if self.index < 0 or len(self.hashes) > MAX_PROOF_HASHES:
            message = f"an index from 0 on, and a proof of at most {MAX_PROOF_HASHES} hashes"
            raise RuntimeError(message)
        extra = "" if self.extra is None else f"{_EXTRA}{base64_encode(self.extra)}\n"
        head = f"{_HEADER}\n{extra}{_INDEX}{self.index}\n{hash_lines(self.hashes)}\n"
        return head.encode() + self.note

    @classmethod
    def from_bytes(cls, data: bytes) -> LogProof:
        """Reads a file. What follows the empty line is not looked at.

        Raises ``TooLargeError`` or ``MalformedError``.
        """
        if len(data) > _LIMIT:
            raise TooLargeError(what=_WHAT, limit=_LIMIT)
        lines, note = split_at_empty_line(data, what=_WHAT)
        if lines[0] != _HEADER:
            raise MalformedError(what=_WHAT, detail=f"its first line is not {_HEADER}")
        rest = lines[1:]
        extra = None
        if rest and rest[0].startswith(_EXTRA):
            extra = base64_decode(rest[0].removeprefix(_EXTRA), what=f"extra data of {_WHAT}")
            rest = rest[1:]
        if not rest or not rest[0].startswith(_INDEX):
            raise MalformedError(what=_WHAT, detail="it has no index line")
        index = parse_number(
            rest[0].removeprefix(_INDEX), what=_WHAT, detail="its index is no number"
        )
        return cls(index, parse_hash_lines(rest[1:], what=_WHAT), note, extra)

    def verify(self, entry: bytes, *, origin: str, name: str, key: VerifyKey) -> Checkpoint:
        """The checkpoint, if ``name`` signed it with ``key`` and it covers ``entry``.

        Cosignatures are *not* verified: see `cosignatures`.

        Raises ``InclusionError``, or what `verify_checkpoint` raises.
        """
        checkpoint = verify_checkpoint(self.note, origin=origin, name=name, key=key)
        verify_inclusion(
            leaf_hash(leaf(entry)),
            index=self.index,
            size=checkpoint.size,
            root=checkpoint.root,
            proof=self.hashes,
        )
        return checkpoint
