# SPDX-License-Identifier: Apache-2.0
"""Numbers and hashes as the text formats of C2SP write them, in one spelling each."""

from __future__ import annotations

import re
from collections.abc import Iterable

from accord.encoding import base64_decode, base64_encode
from accord.errors import MalformedError
from accord.ledger._merkle import HASH_BYTES

MAX_PROOF_HASHES = 63
"""Longest proof: no tree has 2^63 leaves (c2sp.org/tlog-witness says the same)."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


def parse_number(text: str, *, what: str, detail: str) -> int:
    """A decimal number below 2^63 without leading zeros. Raises ``MalformedError``."""
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 63:
        raise MalformedError(what=what, detail=detail)
    return int(text)


def hash_lines(hashes: Iterable[bytes]) -> str:
    """The hashes of a proof, one on each line."""
    return "".join(f"{base64_encode(each)}\n" for each in hashes)


def parse_hash_lines(lines: list[str], *, what: str) -> tuple[bytes, ...]:
    """The hashes of a proof. Raises ``MalformedError``."""
    if len(lines) > MAX_PROOF_HASHES:
        raise MalformedError(what=what, detail=f"a proof of more than {MAX_PROOF_HASHES} hashes")
    hashes = tuple(base64_decode(line, what=f"proof in {what}") for line in lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise MalformedError(what=what, detail=f"a hash of a proof has not {HASH_BYTES} bytes")
    return hashes


def split_at_empty_line(data: bytes, *, what: str) -> tuple[list[str], bytes]:
    """The lines before the first empty line, and the bytes after it. Raises ``MalformedError``."""
    head, separator, note = data.partition(b"\n\n")
    if not separator or not head.isascii():
        raise MalformedError(what=what, detail="expected ASCII lines, an empty line and a note")
    return head.decode("ascii").split("\n"), note
