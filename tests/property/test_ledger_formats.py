# SPDX-License-Identifier: Apache-2.0
"""Requests, tiles, proofs, policies and receipts: read as written, in one spelling."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import AccordError
from accord.identity import KeySigner
from accord.ledger import (
    AddCheckpoint,
    Checkpoint,
    LogProof,
    MerkleTree,
    add_signatures,
    cose_receipt,
    cosign,
    cosignatures,
    entry_bundle,
    leaf,
    leaf_hash,
    parse_tile_path,
    read_entry_bundle,
    sign_checkpoint,
    tile_path,
    verify_checkpoint,
    verify_cose_receipt,
)

LOG = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
WITNESS = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
ORIGIN = "example.com/log"
paths = st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple)
sizes = st.integers(0, 2**63 - 1)


def changed(data: bytes, draw: st.DataObject) -> bytes:
    """``data`` with up to three bytes replaced, removed or inserted somewhere."""
    at = draw.draw(st.integers(0, len(data)))
    end = at + draw.draw(st.integers(0, 3))
    return data[:at] + draw.draw(st.binary(max_size=3)) + data[end:]


@settings(max_examples=60)
@given(sizes, paths, st.binary(max_size=50), st.data())
def test_requests_have_one_spelling(
    old: int, proof: tuple[bytes, ...], note: bytes, data: st.DataObject
) -> None:
    """What is read from changed bytes is written as these bytes."""
    request = AddCheckpoint(old, proof, note)
    assert AddCheckpoint.from_bytes(request.to_bytes()) == request
    other = changed(request.to_bytes(), data)
    try:
        found = AddCheckpoint.from_bytes(other)
    except AccordError:
        return
    assert found.to_bytes() == other


@settings(max_examples=60)
@given(sizes, paths, st.none() | st.binary(max_size=50), st.data())
def test_proofs_have_one_spelling(
    index: int, hashes: tuple[bytes, ...], extra: bytes | None, data: st.DataObject
) -> None:
    """What is read from changed bytes is written as these bytes."""
    proof = LogProof(index, hashes, b"note", extra)
    assert LogProof.from_bytes(proof.to_bytes()) == proof
    other = changed(proof.to_bytes(), data)
    try:
        found = LogProof.from_bytes(other)
    except AccordError:
        return
    assert found.to_bytes() == other


@settings(max_examples=60)
@given(st.none() | st.integers(0, 63), st.integers(0, 2**53 - 1), st.integers(1, 256))
def test_paths_of_tiles_are_read_as_written(level: int | None, index: int, width: int) -> None:
    """For every level, index and width."""
    found = parse_tile_path(tile_path(level, index, width))
    assert (found.level, found.index, found.width) == (level, index, width)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_bundles_are_read_as_written(leaves: list[bytes]) -> None:
    """Also with empty leaves."""
    assert read_entry_bundle(entry_bundle(leaves), width=len(leaves)) == tuple(leaves)


@settings(max_examples=80)
@given(st.integers(1, 40), st.data())
def test_changed_proofs_and_receipts_are_refused(size: int, data: st.DataObject) -> None:
    """Of any entry of any log; cosignatures included."""
    tree = MerkleTree()
    for number in range(size):
        tree.append(leaf_hash(leaf(b"%d" % number)))
    index = data.draw(st.integers(0, size - 1))
    checkpoint, path = Checkpoint(ORIGIN, size, tree.root()), tree.inclusion_proof(index)
    note = sign_checkpoint(checkpoint, name=ORIGIN, signer=LOG)
    note = add_signatures(note, [cosign(note, name="w", signer=WITNESS, time=size)])
    proof = LogProof(index, path, note).to_bytes()
    receipt = cose_receipt(checkpoint, index=index, proof=path, signer=LOG)
    entry, key = b"%d" % index, LOG.verify_key

    def read_proof(raw: bytes) -> Checkpoint:
        found = LogProof.from_bytes(raw)
        assert cosignatures(found.note, {"w": WITNESS.verify_key}, strict=True) == {"w": size}
        if found.extra is not None:
            raise AssertionError
        verify_checkpoint(found.note, origin=ORIGIN, name=ORIGIN, key=key)
        return found.verify(entry, origin=ORIGIN, name=ORIGIN, key=key)

    def read_receipt(raw: bytes) -> Checkpoint:
        return verify_cose_receipt(raw, entry, origin=ORIGIN, key=key)

    for raw, read in ((proof, read_proof), (receipt, read_receipt)):
        assert read(raw) == checkpoint
        other = changed(raw, data)
        if other == raw:
            continue
        try:
            read(other)
        except AccordError:
            continue
        raise AssertionError
