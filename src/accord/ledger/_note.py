# SPDX-License-Identifier: Apache-2.0
"""Signed notes (c2sp.org/signed-note) with Ed25519 signatures."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from accord.encoding import base64_decode, base64_encode
from accord.errors import MalformedError, SignatureInvalidError, TooLargeError
from accord.identity import Signer, VerifyKey

MAX_NOTE_BYTES = 1 << 17
"""Largest note read: the standard asks for 16 signatures, and those of later types take 5 kB."""

MAX_SIGNATURES = 128
"""Most signature lines read: a log, 64 witnesses, and as many again that nobody here knows."""

MAX_NAME = 512
"""Longest key name or origin, in characters: a host name and a board's digest, with room."""

KEY_ID_BYTES = 4
SIGNATURE_BYTES = 64
_KEY_BYTES = 32
_ED25519 = b"\x01"
"""The signature type of plain Ed25519 (section "Signature types")."""

_DASH = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteSigner(Signer, Protocol):
    """A signer that also knows its public key, from which a note's key ID is made."""

    @property
    def verify_key(self) -> VerifyKey: ...


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note, as it stands there: nobody has verified it yet."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64_encode(self.key_id + self.signature)}\n"

    @classmethod
    def from_text(cls, text: str, *, what: str) -> SignatureLine:
        """Reads a line without its newline. Raises ``MalformedError``."""
        name, separator, encoded = text.removeprefix(_DASH).partition(" ")
        # The name has no space of any alphabet and no plus.
        if not text.startswith(_DASH) or not separator or "+" in name or name.split() != [name]:
            raise MalformedError(what=what, detail="a signature line is not: dash, name, base64")
        data = base64_decode(encoded, what=f"signature of {what}")
        if len(data) <= KEY_ID_BYTES:
            raise MalformedError(what=what, detail="a signature line holds no signature")
        return cls(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


def check_name(name: str, *, what: str) -> str:
    """``name`` if it can name a key or a log in a note. Raises ``MalformedError``."""
    if not 1 <= len(name) <= MAX_NAME:
        raise MalformedError(what=what, detail=f"expected 1 to {MAX_NAME} characters")
    # Stricter than the standard: nothing invisible either, so that two names look different.
    if "+" in name or not name.isascii() or not name.isprintable() or " " in name:
        raise MalformedError(what=what, detail="holds a space, a plus or an invisible character")
    return name


def key_id(name: str, key: VerifyKey, *, kind: bytes = _ED25519) -> bytes:
    """What a signature line calls the key: four bytes, no protection against a second one."""
    return hashlib.sha256(name.encode() + b"\n" + kind + key.raw).digest()[:KEY_ID_BYTES]


def vkey(name: str, key: VerifyKey, *, kind: bytes = _ED25519) -> str:
    """The verifier key that tools for signed notes take: ``name+id+base64(type, key)``."""
    check_name(name, what="key name")
    return f"{name}+{key_id(name, key, kind=kind).hex()}+{base64_encode(kind + key.raw)}"


def parse_vkey(text: str, *, kind: bytes = _ED25519) -> tuple[str, VerifyKey]:
    """The name and the key of a verifier key. Raises ``MalformedError``."""
    what = "verifier key"
    parts = text.split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004 - name, id, key
        raise MalformedError(what=what, detail="expected name+id+key")
    data = base64_decode(parts[2], what=what)
    if len(data) != 1 + _KEY_BYTES or data[:1] != kind:
        raise MalformedError(what=what, detail=f"expected an Ed25519 key of type {kind[0]}")
    name, key = check_name(parts[0], what=what), VerifyKey(data[1:])
    if vkey(name, key, kind=kind) != text:
        raise MalformedError(what=what, detail="its id does not belong to its name and key")
    return name, key


def sign_note(text: str, *, name: str, signer: NoteSigner) -> bytes:
    """``text``, which ends in a newline, with the signature of ``name``."""
    check_name(name, what="key name")
    if not text.endswith("\n") or _CONTROL.search(text):
        message = "the text of a note ends in a newline and holds no other control character"
        raise RuntimeError(message)
    line = SignatureLine(name, key_id(name, signer.verify_key), signer.sign(text.encode()))
    return f"{text}\n{line}".encode()


def split_note(note: bytes, *, what: str) -> tuple[str, tuple[SignatureLine, ...]]:
    """The text and the signature lines of a note. No signature is verified.

    Raises ``TooLargeError`` or ``MalformedError``.
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
    # (2) Text, blank line, signature lines: the last empty line separates.
    head, separator, tail = decoded.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise MalformedError(what=what, detail="expected text, an empty line and signatures")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(what=what, detail=f"more than {MAX_SIGNATURES} signatures")
    return head + "\n", tuple(SignatureLine.from_text(line, what=what) for line in lines)


def one_by(
    lines: Iterable[SignatureLine], *, name: str, identifier: bytes, what: str
) -> SignatureLine | None:
    """The line of the key that is called so, if there is one. Raises ``MalformedError`` for two."""
    found = [line for line in lines if (line.name, line.key_id) == (name, identifier)]
    if len(found) > 1:
        raise MalformedError(what=what, detail=f"{name} signed it twice")
    return found[0] if found else None


def open_note(note: bytes, *, name: str, key: VerifyKey, what: str) -> str:
    """The text of a note that ``name`` signed with ``key``.

    Further signature lines must be well-formed; nothing else about them is checked, and whoever
    handed over the note can have added them.

    Raises ``TooLargeError``, ``MalformedError`` or ``SignatureInvalidError``.
    """
    text, lines = split_note(note, what=what)
    # (3) "Verifiers MUST ignore signatures from unknown keys, even if they share a name".
    line = one_by(lines, name=name, identifier=key_id(name, key), what=what)
    if line is None:
        raise SignatureInvalidError(what=what, expected=name)
    if len(line.signature) != SIGNATURE_BYTES:
        raise MalformedError(what=what, detail="expected an Ed25519 signature of 64 bytes")
    # (4) It signs the text with its final newline, without the blank line.
    key.verify(line.signature, text.encode(), what=what)
    return text


def add_signatures(note: bytes, lines: Iterable[str]) -> bytes:
    """``note`` with these signature lines; one by a key that had signed takes the old one's place.

    No signature is verified: whoever reads the note decides whom to believe.
    Raises ``TooLargeError`` or ``MalformedError``.
    """
    what = "note"
    text, found = split_note(note, what=what)
    kept = {(line.name, line.key_id): line for line in found}
    for line in lines:
        if not line.endswith("\n"):
            raise MalformedError(what=what, detail="a signature line has no newline")
        added = SignatureLine.from_text(line[:-1], what=what)
        kept[added.name, added.key_id] = added
    whole = f"{text}\n{''.join(map(str, kept.values()))}".encode()
    split_note(whole, what=what)
    return whole
