# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: a witness says that it saw a log grow (c2sp.org/tlog-cosignature, Ed25519)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from accord.errors import CosignatureUnknownError, MalformedError
from accord.identity import VerifyKey
from accord.ledger._note import (
    SIGNATURE_BYTES,
    NoteSigner,
    SignatureLine,
    check_name,
    key_id,
    one_by,
    parse_vkey,
    split_note,
    vkey,
)

_COSIGNATURE = b"\x04"
"""The signature type of timestamped Ed25519 cosignatures (signed-note, "Signature types")."""

_TIME_BYTES = 8
_MAX_TIME = 2**63 - 1
_WHAT = "cosignature"


def cosigner_vkey(name: str, key: VerifyKey) -> str:
    """The verifier key of a witness, for tools and trust policies (type 4)."""
    return vkey(name, key, kind=_COSIGNATURE)


def parse_cosigner_vkey(text: str) -> tuple[str, VerifyKey]:
    """The name and the key of a witness. Raises ``MalformedError``."""
    return parse_vkey(text, kind=_COSIGNATURE)


def cosign(note: bytes, *, name: str, signer: NoteSigner, time: int) -> str:
    """The signature line, with its newline, by which ``name`` cosigns the checkpoint ``note``.

    ``time`` is POSIX time. Neither what the note says nor who signed it is checked: by this
    line a witness says that it is the largest tree that it has seen of the log.

    Raises ``TooLargeError`` or ``MalformedError``.
    """
    check_name(name, what="key name")
    if not 0 <= time <= _MAX_TIME:
        message = "a cosignature has a POSIX time from 0 to 2^63 - 1"
        raise RuntimeError(message)
    text, _ = split_note(note, what="checkpoint")
    signature = time.to_bytes(_TIME_BYTES, "big") + signer.sign(_message(text, time))
    identifier = key_id(name, signer.verify_key, kind=_COSIGNATURE)
    return str(SignatureLine(name, identifier, signature))


def cosignatures(
    note: bytes, keys: Mapping[str, VerifyKey], *, strict: bool = False
) -> Mapping[str, int]:
    """Who of ``keys`` cosigned ``note``, and when by the clock of each (POSIX time).

    Lines of other keys are ignored. ``strict`` refuses them, but for one: the log's own, which
    is not a cosignature. It is *not* verified here: see `verify_checkpoint`, which finds no
    other line in its place. Neither is the time compared with any clock.

    Raises ``SignatureInvalidError`` where a line of one of ``keys`` is not by that key,
    ``CosignatureUnknownError``, ``TooLargeError`` or ``MalformedError``.
    """
    text, lines = split_note(note, what="checkpoint")
    found: dict[str, int] = {}
    for name, key in keys.items():
        identifier = key_id(name, key, kind=_COSIGNATURE)
        line = one_by(lines, name=name, identifier=identifier, what="checkpoint")
        if line is not None:
            found[name] = _verified_time(text, line, key)
    if strict and len(lines) > len(found) + 1:
        raise CosignatureUnknownError(found=len(lines) - 1, known=len(found))
    return MappingProxyType(found)


def _verified_time(text: str, line: SignatureLine, key: VerifyKey) -> int:
    if len(line.signature) != _TIME_BYTES + SIGNATURE_BYTES:
        raise MalformedError(what=_WHAT, detail="expected a time and an Ed25519 signature")
    time = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    if time > _MAX_TIME:
        raise MalformedError(what=_WHAT, detail="its time is out of range")
    what = f"{_WHAT} of {line.name}"
    key.verify(line.signature[_TIME_BYTES:], _message(text, time), what=what)
    return time


def _message(text: str, time: int) -> bytes:
    """What is signed: not the note itself, so that no log signature is a cosignature."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()
