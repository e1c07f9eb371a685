# SPDX-License-Identifier: Apache-2.0
"""Signed notes agree with the published one, and have one spelling."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.encoding import base64_encode
from accord.errors import AccordError, MalformedError, SignatureInvalidError, TooLargeError
from accord.identity import KeySigner, VerifyKey
from accord.ledger import add_signatures, open_note, parse_vkey, sign_note, vkey

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNATURE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
    "otpRZb6KE6RyyBwJnAM=\n"
)
"""The example of golang.org/x/mod/sumdb/note, which the C2SP standard describes."""

NOTE = f"{TEXT}\n{SIGNATURE}".encode()
SIGNER = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
NAME = "trust.example/log"


def opened(note: bytes) -> str:
    name, key = parse_vkey(PETER)
    return open_note(note, name=name, key=key, what="note")


def test_the_published_note_verifies() -> None:
    """Key, key ID and signature of the well-known example."""
    assert opened(NOTE) == TEXT


def test_the_published_key_has_one_spelling() -> None:
    """A verifier key is written as it was read."""
    assert vkey(*parse_vkey(PETER)) == PETER


def test_a_note_is_read_as_it_was_signed() -> None:
    """Empty lines belong to the text; only the last one separates."""
    text = "first\n\n— second\n\n\nlast\n"
    note = sign_note(text, name=NAME, signer=SIGNER)
    assert open_note(note, name=NAME, key=SIGNER.verify_key, what="note") == text


def test_every_flipped_bit_of_a_note_is_refused() -> None:
    """No byte of a note is without meaning."""
    for position in range(8 * len(NOTE)):
        changed = bytearray(NOTE)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(AccordError):
            opened(bytes(changed))


SECOND_SPELLINGS = {
    "newline added": NOTE + b"\n",
    "newline missing": NOTE[:-1],
    "newline before": b"\n" + NOTE,
    "carriage returns": NOTE.replace(b"\n", b"\r\n"),
    "third newline": NOTE.replace(b"\n\n", b"\n\n\n"),
    "no empty line": NOTE.replace(b"\n\n", b"\n"),
    "tab": NOTE.replace(b"PeterNeumann ", b"PeterNeumann\t"),
    "two spaces": NOTE.replace(b"PeterNeumann ", b"PeterNeumann  "),
    "hyphen": NOTE.replace("—".encode(), b"-"),
    "unused bits": NOTE.replace(b"nAM=", b"nAN="),
    "base64 without padding": NOTE.replace(b"nAM=", b"nAM"),
    "base64 of URLs": NOTE.replace(b"/", b"_"),
    "signature twice": NOTE + SIGNATURE.encode(),
    "no name in a further line": NOTE + "—  AAAAAAA=\n".encode(),
    "no signature in a further line": NOTE + "— other AAAAAA==\n".encode(),
    "no base64 in a further line": NOTE + "— other AAAAAAB=\n".encode(),
    "a further line that is none": NOTE + b"other\n",
    "too many signatures": NOTE + "— other AAAAAAA=\n".encode() * 128,
    "only another signature": sign_note(TEXT, name=NAME, signer=SIGNER),
    "same name, another key": sign_note(TEXT, name="PeterNeumann", signer=SIGNER),
    "no signature": TEXT.encode() + b"\n",
    "empty": b"",
    "not UTF-8": NOTE.replace(b"If", b"\xff\xfe"),
    "null": NOTE.replace(b"If", b"\0f"),
    "short signature": f"{TEXT}\n— PeterNeumann {base64_encode(bytes(67))}\n".encode(),
    "long signature": f"{TEXT}\n— PeterNeumann {base64_encode(bytes(69))}\n".encode(),
}


@pytest.mark.parametrize("note", SECOND_SPELLINGS.values(), ids=SECOND_SPELLINGS.keys())
def test_anything_but_the_one_spelling_is_refused(note: bytes) -> None:
    """Forms that another reader might take for the same note."""
    with pytest.raises((MalformedError, SignatureInvalidError)):
        opened(note)


def test_signatures_of_others_are_ignored() -> None:
    """ "Verifiers MUST ignore signatures from unknown keys, even if they share a name"."""
    other = sign_note(TEXT, name=NAME, signer=SIGNER)
    namesake = sign_note(TEXT, name="PeterNeumann", signer=SIGNER)
    long = f"— later.example/type {base64_encode(bytes(4900))}\n".encode()
    for further in (other[len(TEXT) + 1 :], namesake[len(TEXT) + 1 :], long * 16):
        assert opened(NOTE + further) == TEXT
    assert opened(other + SIGNATURE.encode()) == TEXT


def test_a_wrong_signature_under_a_known_key_is_refused() -> None:
    """Another good one beside it does not make up for it."""
    wrong = SIGNATURE.replace("ZJku", "ZJkv").encode()
    for note in (NOTE + wrong, f"{TEXT}\n".encode() + wrong + SIGNATURE.encode()):
        with pytest.raises(MalformedError):
            opened(note)
    with pytest.raises(SignatureInvalidError):
        opened(f"{TEXT}\n".encode() + wrong)


def test_a_new_signature_of_a_key_takes_the_place_of_the_old_one() -> None:
    """So that a note has one line of each key, however often it is asked."""
    other = sign_note(TEXT, name=NAME, signer=SIGNER)[len(TEXT) + 1 :].decode()
    both = add_signatures(NOTE, [other])
    assert both == NOTE + other.encode()
    assert add_signatures(both, [other, SIGNATURE]) == both


@pytest.mark.parametrize("line", ["", "\n", "— a AAAAAAA=", "— a AAAAAAA=\n\n", "- a AAAAAAA=\n"])
def test_only_signature_lines_are_added(line: str) -> None:
    """Whatever a witness answers, the note can still be read."""
    with pytest.raises(MalformedError):
        add_signatures(NOTE, [line])


def test_the_malleable_form_of_a_signature_is_refused() -> None:
    """Adding the group order to S gives other bytes; Ed25519 readers must refuse them."""
    order = 2**252 + 27742317777372353535851937790883648493
    note = sign_note("text\n", name=NAME, signer=SIGNER)
    key = SIGNER.verify_key
    prefix = f"text\n\n— {NAME} ".encode()
    signature = SIGNER.sign(b"text\n")
    s = int.from_bytes(signature[32:], "little") + order
    key_id = bytes.fromhex(vkey(NAME, key).split("+")[1])
    forged = key_id + signature[:32] + s.to_bytes(32, "little")
    assert note == prefix + base64_encode(key_id + signature).encode() + b"\n"
    with pytest.raises(SignatureInvalidError):
        open_note(prefix + base64_encode(forged).encode() + b"\n", name=NAME, key=key, what="note")


def test_a_note_is_bounded() -> None:
    """Nothing of a note that is too large is parsed."""
    with pytest.raises(TooLargeError):
        opened(bytes((1 << 17) + 1))


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u2028b", "a\u200bb", "\ud800", "x" * 513]
)
def test_names_that_could_mislead_are_refused(name: str) -> None:
    """A key name has no space, no plus and nothing that is not seen."""
    with pytest.raises(MalformedError):
        vkey(name, SIGNER.verify_key)
    with pytest.raises(MalformedError):
        sign_note("text\n", name=name, signer=SIGNER)


@pytest.mark.parametrize("text", ["", "no newline", "tab\tin it\n", "return\r\n"])
def test_texts_that_are_no_note_are_bugs(text: str) -> None:
    """Signing what nobody could read is a mistake of the program."""
    with pytest.raises(RuntimeError):
        sign_note(text, name=NAME, signer=SIGNER)


@pytest.mark.parametrize(
    "text",
    [
        "PeterNeumann",
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER.replace("+ARpc", "+BRpc"),
        PETER[:-4],
        PETER.replace("Peter", "Paul"),
        PETER.replace("Peter", "Peter "),
        PETER + "=",
        PETER[:-1] + "X",
        "",
    ],
)
def test_false_verifier_keys_are_refused(text: str) -> None:
    """Type, length, ID and spelling of a verifier key are checked."""
    with pytest.raises(MalformedError):
        parse_vkey(text)


def test_a_key_without_a_point_signs_nothing() -> None:
    """Any 32 bytes may be offered as a key; a signature under them still has to verify."""
    key = VerifyKey(b"\xff" * 32)
    prefix = f"text\n\n— {NAME} ".encode()
    key_id = bytes.fromhex(vkey(NAME, key).split("+")[1])
    note = prefix + base64_encode(key_id + bytes(64)).encode() + b"\n"
    with pytest.raises(AccordError):
        open_note(note, name=NAME, key=key, what="note")


@pytest.mark.parametrize("character", ["\0", "\t", "\r", "\x1b"])
def test_signed_control_characters_are_refused(character: str) -> None:
    """A genuine signature does not make them harmless on somebody's terminal."""
    text = f"a{character}b\n"
    key_id = bytes.fromhex(vkey(NAME, SIGNER.verify_key).split("+")[1])
    signature = base64_encode(key_id + SIGNER.sign(text.encode()))
    with pytest.raises(MalformedError):
        open_note(
            f"{text}\n— {NAME} {signature}\n".encode(),
            name=NAME,
            key=SIGNER.verify_key,
            what="note",
        )


@pytest.mark.parametrize(
    "data", [b"\1" + bytes(31), b"\1" + bytes(33), b"\2" + bytes(32), b"\4" + bytes(32), b""]
)
def test_verifier_keys_of_other_types_and_sizes_are_refused(data: bytes) -> None:
    """Their ID may be right: the type and the length are checked by themselves."""
    key_id = hashlib.sha256(NAME.encode() + b"\n" + data).hexdigest()[:8]
    with pytest.raises(MalformedError):
        parse_vkey(f"{NAME}+{key_id}+{base64_encode(data)}")


@pytest.mark.parametrize("name", ["x", "x" * 512])
def test_the_shortest_and_the_longest_name_are_taken(name: str) -> None:
    """One character, and as many as the limit says."""
    assert parse_vkey(vkey(name, SIGNER.verify_key)) == (name, SIGNER.verify_key)
