# SPDX-License-Identifier: Apache-2.0
"""Proofs for those who are offline: as text of C2SP, and as receipts of COSE."""

from __future__ import annotations

import hashlib

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.errors import (
    AccordError,
    CheckpointOriginError,
    InclusionError,
    MalformedError,
    SignatureInvalidError,
    TooLargeError,
)
from accord.identity import KeySigner
from accord.ledger import (
    Checkpoint,
    LogProof,
    MerkleTree,
    add_signatures,
    cose_receipt,
    cosign,
    cosignatures,
    leaf,
    leaf_hash,
    sign_checkpoint,
    verify_cose_receipt,
)

LOG = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
WITNESS = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
KEYS = {"w1": WITNESS.verify_key}
ORIGIN = "example.com/log"
SIZE, INDEX = 11, 5
ENTRIES = [b"entry %d" % number for number in range(SIZE)]
TREE = MerkleTree()
for _entry in ENTRIES:
    TREE.append(leaf_hash(leaf(_entry)))
CHECKPOINT = Checkpoint(ORIGIN, SIZE, TREE.root())
PATH = TREE.inclusion_proof(INDEX)
SIGNED = sign_checkpoint(CHECKPOINT, name=ORIGIN, signer=LOG)
NOTE = add_signatures(SIGNED, [cosign(SIGNED, name="w1", signer=WITNESS, time=7)])
PROOF = LogProof(INDEX, PATH, NOTE)
RECEIPT = cose_receipt(CHECKPOINT, index=INDEX, proof=PATH, signer=LOG)


def verified(data: bytes, entry: bytes = ENTRIES[INDEX]) -> Checkpoint:
    proof = LogProof.from_bytes(data)
    assert proof.to_bytes() == data
    checkpoint = proof.verify(entry, origin=ORIGIN, name=ORIGIN, key=LOG.verify_key)
    assert list(cosignatures(proof.note, KEYS, strict=True)) == ["w1"]
    return checkpoint


def receipted(data: bytes, entry: bytes = ENTRIES[INDEX], origin: str = ORIGIN) -> Checkpoint:
    return verify_cose_receipt(data, entry, origin=origin, key=LOG.verify_key)


def test_a_proof_has_the_lines_of_the_standard() -> None:
    """Header, index, path, empty line, checkpoint; extra data before the index."""
    lines = PROOF.to_bytes().decode().split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 5"]
    assert len(lines[2]) == 44
    assert lines[2 + len(PATH)] == ""
    extra = LogProof(INDEX, PATH, NOTE, b"more").to_bytes()
    assert extra.startswith(b"c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 5\n")
    assert LogProof.from_bytes(extra).extra == b"more"


def test_a_proof_shows_its_entry_and_no_other() -> None:
    """The bytes of the entry are hashed anew."""
    assert verified(PROOF.to_bytes()) == CHECKPOINT
    with pytest.raises(InclusionError):
        verified(PROOF.to_bytes(), ENTRIES[0])


def test_every_flipped_bit_of_a_proof_is_refused() -> None:
    """With cosignatures by known witnesses only; a proof without extra data has no idle byte."""
    data = PROOF.to_bytes()
    for position in range(8 * len(data)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(AccordError):
            verified(bytes(changed))


TEXT = PROOF.to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        TEXT.replace(b"v1\n", b"v2\n"),
        TEXT.replace(b"index 5", b"index 05"),
        TEXT.replace(b"index 5\n", b""),
        TEXT.replace(b"index 5", b"extra AAAA"),
        TEXT.replace(b"index 5", b"extra AAAA\nextra AAAA\nindex 5"),
        TEXT.replace(b"index 5", b"extra AAA\nindex 5"),
        TEXT.replace(b"index 5\n", b"index 5\nAAAA\n"),
        b"c2sp.org/tlog-proof@v1\n\n" + NOTE,
    ],
)
def test_other_spellings_of_a_proof_are_refused(data: bytes) -> None:
    """Each line has its place."""
    with pytest.raises(MalformedError):
        LogProof.from_bytes(data)


def test_proofs_are_bounded() -> None:
    """Before anything of them is read."""
    with pytest.raises(TooLargeError):
        LogProof.from_bytes(bytes(1 << 19))
    with pytest.raises(RuntimeError):
        LogProof(-1, (), NOTE).to_bytes()


def test_a_receipt_shows_its_entry_and_no_other() -> None:
    """And tells the tree in which it stands."""
    assert receipted(RECEIPT) == CHECKPOINT
    with pytest.raises(SignatureInvalidError):
        receipted(RECEIPT, ENTRIES[0])
    with pytest.raises(CheckpointOriginError):
        receipted(RECEIPT, origin="example.com/other")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 256, 300])
def test_every_entry_of_a_small_log_can_be_receipted(size: int) -> None:
    """Also the only one, whose path is empty."""
    tree = MerkleTree()
    for number in range(size):
        tree.append(leaf_hash(leaf(b"%d" % number)))
    checkpoint = Checkpoint(ORIGIN, size, tree.root())
    for index in {0, size // 2, size - 1}:
        path = tree.inclusion_proof(index)
        receipt = cose_receipt(checkpoint, index=index, proof=path, signer=LOG)
        assert receipted(receipt, b"%d" % index) == checkpoint


def test_every_flipped_bit_of_a_receipt_is_refused() -> None:
    """Size and index, too, which the standard leaves unsigned."""
    for position in range(8 * len(RECEIPT)):
        changed = bytearray(RECEIPT)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(AccordError):
            receipted(bytes(changed))


def test_a_receipt_is_what_rfc_9942_says() -> None:
    """Read with another CBOR library, verified with the words of the RFCs."""
    message = cbor2.loads(RECEIPT)
    protected, unprotected, payload, signature = message.value
    assert message.tag == 18
    assert payload is None
    header = cbor2.loads(protected)
    assert (header[1], header[395]) == (-8, 1)
    assert header[15] == {1: ORIGIN, 2: "5/11"}
    (proof,) = unprotected[396][-1]
    assert cbor2.loads(proof) == [SIZE, INDEX, list(PATH)]
    signed = cbor2.dumps(["Signature1", protected, b"", TREE.root()], canonical=True)
    LOG.private_key.public_key().verify(signature, signed)
    assert cbor2.dumps(message, canonical=True) == RECEIPT


def test_an_independent_reader_accepts_a_receipt() -> None:
    """A package that shares no line with ours; and refuses it for another entry."""
    scitt_cose = pytest.importorskip("scitt_cose.receipt")
    key = LOG.private_key.public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def read(entry: bytes) -> bool:
        leaf_hex = leaf(entry).hex()
        return bool(
            scitt_cose.verify_receipt(RECEIPT, leaf_entry_hex=leaf_hex, log_public_key_pem=pem).ok
        )

    assert read(ENTRIES[INDEX])
    assert not read(ENTRIES[0])


def changed_receipt(**parts: object) -> bytes:
    """A receipt with other parts, which the log's key did sign."""
    protected = cbor2.loads(cbor2.loads(RECEIPT).value[0])
    protected = parts.get("protected", protected)
    raw = cbor2.dumps(protected, canonical=True)
    signature = LOG.sign(cbor2.dumps(["Signature1", raw, b"", TREE.root()], canonical=True))
    proof = cbor2.dumps(parts.get("proof", [SIZE, INDEX, list(PATH)]), canonical=True)
    value = [raw, {396: {-1: [proof]}}, parts.get("payload"), parts.get("signature", signature)]
    return cbor2.dumps(cbor2.CBORTag(18, parts.get("value", value)), canonical=True)


@pytest.mark.parametrize(
    "parts",
    [
        {"payload": TREE.root()},
        {"signature": bytes(63)},
        {"value": []},
        {"value": {}},
        {"protected": {}},
        {"protected": {15: {1: 5}}},
        {"protected": {15: {1: ORIGIN}}},
        {"proof": [SIZE, INDEX]},
        {"proof": [SIZE, INDEX, [b"short"]]},
        {"proof": [SIZE, INDEX, [1]]},
        {"proof": [SIZE, INDEX, [bytes(32)] * 64]},
        {"proof": [SIZE, True, list(PATH)]},
        {"proof": [SIZE, -1, list(PATH)]},
        {"proof": [2**63, INDEX, list(PATH)]},
    ],
    ids=str,
)
def test_other_receipts_are_refused(parts: dict[str, object]) -> None:
    """A signature by the right key does not make a receipt of any message."""
    assert changed_receipt() == RECEIPT
    with pytest.raises(MalformedError):
        receipted(changed_receipt(**parts))


def test_another_encoding_of_a_receipt_is_refused() -> None:
    """CBOR has many spellings of a number; a receipt has one."""
    longer = RECEIPT.replace(b"\xd2\x84", b"\xd8\x12\x84", 1)
    assert hashlib.sha256(longer).digest() != hashlib.sha256(RECEIPT).digest()
    with pytest.raises(MalformedError):
        receipted(longer)
