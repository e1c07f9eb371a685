# SPDX-License-Identifier: Apache-2.0
"""Cosignatures agree with the form of the standard, and each byte of them counts."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.encoding import base64_decode, base64_encode
from accord.errors import (
    AccordError,
    CosignatureUnknownError,
    MalformedError,
    SignatureInvalidError,
    TooLargeError,
)
from accord.identity import KeySigner
from accord.ledger import (
    AddCheckpoint,
    Checkpoint,
    add_signatures,
    cosign,
    cosignatures,
    cosigner_vkey,
    parse_cosigner_vkey,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    verify_checkpoint,
)

LOG = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
W1 = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
W2 = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32))
ORIGIN = "example.com/behind-the-sofa"
ROOT = base64_decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", what="root")
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 20852163, ROOT), name=ORIGIN, signer=LOG)
TIME = 1679315147
KEYS = {"w1": W1.verify_key, "w2": W2.verify_key}
LINES = [cosign(NOTE, name=name, signer=key, time=TIME) for name, key in (("w1", W1), ("w2", W2))]
COSIGNED = add_signatures(NOTE, LINES)


def test_the_signed_message_is_that_of_the_standard() -> None:
    """The example of tlog-cosignature, verified by its words with another library call."""
    name, _, encoded = LINES[0].removeprefix("— ").rstrip("\n").partition(" ")
    blob = base64_decode(encoded, what="line")
    raw = W1.verify_key.raw
    assert hashlib.sha256(name.encode() + b"\n\x04" + raw).digest()[:4] == blob[:4]
    assert blob[4:12] == TIME.to_bytes(8, "big")
    message = (
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )
    W1.private_key.public_key().verify(blob[12:], message.encode())
    assert len(blob) == 76


def test_cosignatures_are_found_with_their_times() -> None:
    """Of those who are known; the others are ignored."""
    assert dict(cosignatures(COSIGNED, KEYS, strict=True)) == {"w1": TIME, "w2": TIME}
    assert dict(cosignatures(COSIGNED, {"w2": W2.verify_key})) == {"w2": TIME}
    assert dict(cosignatures(NOTE, KEYS, strict=True)) == {}


def test_a_line_of_nobody_is_refused_where_all_must_be_known() -> None:
    """It could say anything."""
    with pytest.raises(CosignatureUnknownError):
        cosignatures(COSIGNED, {"w1": W1.verify_key}, strict=True)


def read_all(note: bytes) -> None:
    verify_checkpoint(note, origin=ORIGIN, name=ORIGIN, key=LOG.verify_key)
    cosignatures(note, KEYS, strict=True)


def test_every_flipped_bit_of_a_cosigned_checkpoint_is_refused() -> None:
    """The log's line by the log's key, all others by their cosigners' keys."""
    for position in range(8 * len(COSIGNED)):
        changed = bytearray(COSIGNED)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(AccordError):
            read_all(bytes(changed))


def test_a_cosignature_of_another_tree_is_refused() -> None:
    """A line moved from one checkpoint to the next."""
    other = sign_checkpoint(Checkpoint(ORIGIN, 20852164, ROOT), name=ORIGIN, signer=LOG)
    with pytest.raises(SignatureInvalidError):
        cosignatures(add_signatures(other, LINES), KEYS)


def test_a_plain_signature_is_no_cosignature() -> None:
    """The same key under type 1 signs something else."""
    plain = sign_note(NOTE.decode().split("\n\n")[0] + "\n", name="w1", signer=W1)
    line = plain.decode().split("\n\n")[1]
    assert dict(cosignatures(add_signatures(NOTE, [line]), KEYS)) == {}


def _blob(blob: bytes) -> str:
    identifier = hashlib.sha256(b"w1\n\x04" + W1.verify_key.raw).digest()[:4]
    return f"— w1 {base64_encode(identifier + blob)}\n"


@pytest.mark.parametrize("blob", [bytes(71), bytes(73), b"\x80" + bytes(71)])
def test_impossible_cosignatures_are_refused(blob: bytes) -> None:
    """Too short, too long, or at a time past 2^63 - 1."""
    with pytest.raises(MalformedError):
        cosignatures(add_signatures(NOTE, [_blob(blob)]), KEYS)


def test_two_cosignatures_of_one_witness_are_refused() -> None:
    """Which of the times would hold?"""
    later = cosign(NOTE, name="w1", signer=W1, time=TIME + 1)
    with pytest.raises(MalformedError):
        cosignatures(COSIGNED + later.encode(), KEYS)
    assert cosignatures(add_signatures(COSIGNED, [later]), KEYS)["w1"] == TIME + 1


@pytest.mark.parametrize("time", [-1, 2**63])
def test_a_time_that_cannot_be_written_is_a_bug(time: int) -> None:
    """The caller has a clock."""
    with pytest.raises(RuntimeError):
        cosign(NOTE, name="w1", signer=W1, time=time)


def test_keys_of_witnesses_have_a_type_of_their_own() -> None:
    """Neither kind of verifier key is taken for the other."""
    text = cosigner_vkey("w1", W1.verify_key)
    assert parse_cosigner_vkey(text) == ("w1", W1.verify_key)
    with pytest.raises(MalformedError):
        parse_vkey(text)


PROOF = (bytes(32), bytes([255]) * 32)
BODY = (
    b"old 20852014\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    b"//////////////////////////////////////////8=\n\n" + NOTE
)


def test_a_request_to_a_witness_has_the_form_of_the_standard() -> None:
    """Old size, proof, empty line, checkpoint."""
    assert AddCheckpoint(20852014, PROOF, NOTE).to_bytes() == BODY
    assert AddCheckpoint.from_bytes(BODY) == AddCheckpoint(20852014, PROOF, NOTE)
    assert AddCheckpoint.from_bytes(b"old 0\n\n" + NOTE) == AddCheckpoint(0, (), NOTE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1\n",
        BODY.replace(b"old ", b"new "),
        BODY.replace(b"old ", b"old 0"),
        BODY.replace(b"old 20852014", b"old 9223372036854775808"),
        BODY.replace(b"8=\n", b"8=\r\n"),
        BODY.replace(b"AA=", b"AB="),
        BODY.replace(b"AAAA", b"", 1),
        BODY.replace(b"old 2", b"old \xc3"),
        b"old 1\n" + BODY.split(b"\n")[1] * 64,
        b"old 1\n" + (BODY.split(b"\n")[1] + b"\n") * 64 + b"\n",
    ],
)
def test_other_requests_are_refused(body: bytes) -> None:
    """One spelling, and at most 63 hashes."""
    with pytest.raises(MalformedError):
        AddCheckpoint.from_bytes(body)


def test_requests_are_bounded() -> None:
    """A witness is open to everybody."""
    with pytest.raises(TooLargeError):
        AddCheckpoint.from_bytes(bytes(1 << 18))
    with pytest.raises(RuntimeError):
        AddCheckpoint(-1, (), NOTE).to_bytes()
