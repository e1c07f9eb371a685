# SPDX-License-Identifier: Apache-2.0
"""Signed notes (c2sp.org/signed-note) with exactly one Ed25519 signature."""

from __future__ import annotations

import hashlib
import re
from typing import Protocol

from accord.encoding import base64_decode, base64_encode
from accord.errors import MalformedError, SignatureInvalidError, TooLargeError
from accord.identity import Signer, VerifyKey

MAX_NOTE_BYTES = 8192
"""Largest note read. Ours have a few hundred bytes; a name may take some more."""

MAX_NAME = 512
"""Longest key name or origin, in characters: a host name and a board's digest, with room."""

_ED25519 = b"\x01"
"""The signature type of plain Ed25519 (section "Signature types")."""

_SIGNATURE_BYTES = 64
_KEY_BYTES = 32
_DASH = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteSigner(Signer, Protocol):
    """A signer that also knows its public key, from which a note's key ID is made."""

    @property
    def verify_key(self) -> VerifyKey: ...


def check_name(name: str, *, what: str) -> str:
    """``name`` if it can name a key or a log in a note. Raises ``MalformedError``."""
    if not 1 <= len(name) <= MAX_NAME:
        raise MalformedError(what=what, detail=f"expected 1 to {MAX_NAME} characters")
    # Stricter than the standard: nothing invisible either, so that two names look different.
    if "+" in name or not name.isascii() or not name.isprintable() or " " in name:
        raise MalformedError(what=what, detail="holds a space, a plus or an invisible character")
    return name


def _key_id(name: str, key: VerifyKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.raw).digest()[:4]


def vkey(name: str, key: VerifyKey) -> str:
    """The verifier key that tools for signed notes take: ``name+id+base64(type, key)``."""
    check_name(name, what="key name")
    return f"{name}+{_key_id(name, key).hex()}+{base64_encode(_ED25519 + key.raw)}"


def parse_vkey(text: str) -> tuple[str, VerifyKey]:
    """The name and the key of a verifier key. Raises ``MalformedError``."""
    what = "verifier key"
    parts = text.split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004 - name, id, key
        raise MalformedError(what=what, detail="expected name+id+key")
    data = base64_decode(parts[2], what=what)
    if len(data) != 1 + _KEY_BYTES or data[:1] != _ED25519:
        raise MalformedError(what=what, detail="expected an Ed25519 key (type 1)")
    name, key = check_name(parts[0], what=what), VerifyKey(data[1:])
    if vkey(name, key) != text:
        raise MalformedError(what=what, detail="its id does not belong to its name and key")
    return name, key


def sign_note(text: str, *, name: str, signer: NoteSigner) -> bytes:
    """``text``, which ends in a newline, with the signature of ``name``."""
    check_name(name, what="key name")
    if not text.endswith("\n") or _CONTROL.search(text):
        message = "the text of a note ends in a newline and holds no other control character"
        raise RuntimeError(message)
    signature = _key_id(name, signer.verify_key) + signer.sign(text.encode())
    return f"{text}\n{_DASH}{name} {base64_encode(signature)}\n".encode()


def open_note(note: bytes, *, name: str, key: VerifyKey, what: str) -> str:
    """The text of a note that ``name`` signed with ``key``.

    Stricter than the standard in one point: a second signature line is refused, not ignored,
    because nobody here could vouch for its bytes (docs/spec/ledger.md).

    Raises ``TooLargeError``, ``MalformedError`` or ``SignatureInvalidError``.
    """
    # (1) Bounded, UTF-8, without control characters.
    if len(note) > MAX_NOTE_BYTES:
        raise TooLargeError(what=what, limit=MAX_NOTE_BYTES)
    try:
        decoded = note.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MalformedError(what=what, detail=f"not UTF-8 at byte {exc.start}") from exc
    if _CONTROL.search(decoded):
        raise MalformedError(what=what, detail="holds a control character")
    # (2) Text, blank line, one signature line: the last empty line separates.
    head, separator, tail = decoded.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise MalformedError(what=what, detail="expected text, an empty line and a signature")
    lines = tail[:-1].split("\n")
    if len(lines) != 1:
        raise MalformedError(what=what, detail=f"expected one signature, found {len(lines)}")
    # (3) The signature is by the name and the key that the caller trusts.
    prefix = f"{_DASH}{name} "
    if not lines[0].startswith(prefix):
        raise SignatureInvalidError(what=what, expected=name)
    data = base64_decode(lines[0].removeprefix(prefix), what=f"signature of {what}")
    if len(data) != 4 + _SIGNATURE_BYTES:
        raise MalformedError(what=what, detail="expected an Ed25519 signature of 64 bytes")
    if data[:4] != _key_id(name, key):
        raise SignatureInvalidError(what=what, expected=name)
    # (4) It signs the text with its final newline, without the blank line.
    text = head + "\n"
    key.verify(data[4:], text.encode(), what=what)
    return text
