# SPDX-License-Identifier: Apache-2.0
"""Checkpoints say one thing, in one spelling, about one log."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.errors import (
    AccordError,
    CheckpointOriginError,
    MalformedError,
    SignatureInvalidError,
)
from accord.identity import KeySigner
from accord.ledger import EMPTY_ROOT, Checkpoint, sign_checkpoint, sign_note, verify_checkpoint

SIGNER = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ORIGIN = "trust.example/boards/b1"
CHECKPOINT = Checkpoint(ORIGIN, 20852163, bytes(range(32)))
TEXT = f"{ORIGIN}\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


def verified(note: bytes, *, origin: str = ORIGIN, signer: KeySigner = SIGNER) -> Checkpoint:
    return verify_checkpoint(note, origin=origin, name=ORIGIN, key=signer.verify_key)


def signed(text: str) -> bytes:
    return sign_note(text, name=ORIGIN, signer=SIGNER)


def test_a_checkpoint_is_three_lines() -> None:
    """Origin, size, root: the form of the standard."""
    assert CHECKPOINT.to_text() == TEXT


def test_the_example_of_the_standard_is_read() -> None:
    """The note text shown in tlog-checkpoint."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.from_text(text)
    assert checkpoint.size == 20852163
    assert checkpoint.to_text() == text


def test_a_signed_checkpoint_is_read_back() -> None:
    """What was signed is what is verified."""
    note = sign_checkpoint(CHECKPOINT, name=ORIGIN, signer=SIGNER)
    assert note == signed(TEXT)
    assert verified(note) == CHECKPOINT


def test_every_flipped_bit_is_refused() -> None:
    """No byte of a checkpoint is without meaning."""
    note = sign_checkpoint(CHECKPOINT, name=ORIGIN, signer=SIGNER)
    for position in range(8 * len(note)):
        changed = bytearray(note)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(AccordError):
            verified(bytes(changed))


def test_the_checkpoint_of_another_board_is_refused() -> None:
    """A key that serves several logs does not let one stand for another."""
    other = Checkpoint("trust.example/boards/b2", 1, bytes(32))
    with pytest.raises(CheckpointOriginError):
        verified(sign_checkpoint(other, name=ORIGIN, signer=SIGNER))


def test_the_checkpoint_of_another_key_is_refused() -> None:
    """The same words signed by somebody else."""
    other = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    with pytest.raises(SignatureInvalidError):
        verified(sign_checkpoint(CHECKPOINT, name=ORIGIN, signer=other))


SECOND_SPELLINGS = {
    "extension line": TEXT + "extension\n",
    "empty extension line": TEXT + "\n",
    "leading zero": TEXT.replace("\n2085", "\n02085"),
    "plus": TEXT.replace("\n2085", "\n+2085"),
    "minus": TEXT.replace("\n2085", "\n-2085"),
    "space": TEXT.replace("\n2085", "\n 2085"),
    "hexadecimal": TEXT.replace("\n2085", "\n0x2085"),
    "Arabic digits": TEXT.replace("20852163", "\u0662\u0660"),
    "underscore": TEXT.replace("20852163", "20_852_163"),
    "no size": TEXT.replace("20852163", ""),
    "too large": TEXT.replace("20852163", str(2**53)),
    "far too large": TEXT.replace("20852163", "9" * 400),
    "unused bits": TEXT.replace("Hh8=", "Hh9="),
    "root too short": TEXT.replace("Hh8=", ""),
    "root not base64": TEXT.replace("Hh8=", "H!8="),
    "no root": f"{ORIGIN}\n1\n",
    "empty origin": TEXT.replace(ORIGIN, ""),
    "origin with a space": TEXT.replace(ORIGIN, "go.sum database tree"),
    "empty log with a root": TEXT.replace("20852163", "0"),
}


@pytest.mark.parametrize("text", SECOND_SPELLINGS.values(), ids=SECOND_SPELLINGS.keys())
def test_signed_nonsense_is_refused(text: str) -> None:
    """A genuine signature does not make a checkpoint of any text."""
    with pytest.raises(MalformedError):
        verified(signed(text))


def test_an_empty_log_has_a_checkpoint() -> None:
    """Size nought, and the root that RFC 9162 gives to it."""
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert verified(sign_checkpoint(empty, name=ORIGIN, signer=SIGNER)) == empty


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("a\nb", 1, bytes(32)), ("", 1, bytes(32)), ("a", -1, bytes(32)), ("a", 1, bytes(31))],
)
def test_an_impossible_checkpoint_is_not_made(origin: str, size: int, root: bytes) -> None:
    """Nothing can be signed that could be read as something else."""
    with pytest.raises(MalformedError):
        Checkpoint(origin, size, root)
