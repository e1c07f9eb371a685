# SPDX-License-Identifier: Apache-2.0
"""What Go's own transparency log wrote: we read it, and write the same bytes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.encoding import base64_decode
from accord.identity import KeySigner
from accord.ledger import (
    Checkpoint,
    MerkleTree,
    leaf_hash,
    parse_vkey,
    sign_checkpoint,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
    vkey,
)

FILE = Path(__file__).parents[2] / "vectors" / "ledger" / "vectors.json"


def decoded(items: list[str] | None) -> tuple[bytes, ...]:
    return tuple(base64_decode(item, what="hash") for item in items or [])


def leaf_of(index: int) -> bytes:
    return leaf_hash(f"leaf {index}".encode())


@pytest.fixture(scope="module")
def vectors() -> Any:
    """The recorded log."""
    return json.loads(FILE.read_bytes())


@pytest.fixture(scope="module")
def roots(vectors: Any) -> dict[int, bytes]:
    """Of each size, the root by Go."""
    return {head["size"]: base64_decode(head["root"], what="root") for head in vectors["heads"]}


@pytest.fixture(scope="module")
def tree(roots: dict[int, bytes]) -> MerkleTree:
    """Our tree over the same records."""
    tree = MerkleTree()
    for index in range(max(roots)):
        tree.append(leaf_of(index))
    return tree


def test_our_roots_are_the_same(tree: MerkleTree, roots: dict[int, bytes]) -> None:
    """Of every size from 1 to 40."""
    assert roots == {size: tree.root(size) for size in range(1, 41)}


def test_our_signed_checkpoints_are_the_same_bytes(vectors: Any, tree: MerkleTree) -> None:
    """With the same key we write the note that Go wrote, and read what it says."""
    signer = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vectors["seed"])))
    name, key = parse_vkey(vectors["vkey"])
    assert (vectors["vkey"], key) == (vkey(name, signer.verify_key), signer.verify_key)
    for head in vectors["heads"]:
        note = head["note"].encode()
        ours = Checkpoint(name, head["size"], tree.root(head["size"]))
        assert ours == verify_checkpoint(note, origin=name, name=name, key=key)
        assert note == sign_checkpoint(ours, name=name, signer=signer)


def test_our_inclusion_proofs_are_the_same(
    vectors: Any, tree: MerkleTree, roots: dict[int, bytes]
) -> None:
    """Each proof by Go is ours, hash for hash, and verifies."""
    assert len(vectors["inclusions"]) > 100
    for item in vectors["inclusions"]:
        index, size, proof = item["index"], item["size"], decoded(item["proof"])
        assert proof == tree.inclusion_proof(index, size)
        verify_inclusion(leaf_of(index), index=index, size=size, root=roots[size], proof=proof)


def test_our_consistency_proofs_are_the_same(
    vectors: Any, tree: MerkleTree, roots: dict[int, bytes]
) -> None:
    """Each proof by Go is ours, hash for hash, and verifies."""
    assert len(vectors["consistencies"]) > 100
    for item in vectors["consistencies"]:
        old, size, proof = item["old"], item["size"], decoded(item["proof"])
        assert proof == tree.consistency_proof(old, size)
        verify_consistency(
            old_size=old, old_root=roots[old], new_size=size, new_root=roots[size], proof=proof
        )


def test_the_recorded_log_only_grows(vectors: Any) -> None:
    """The file has each size once."""
    sizes = [head["size"] for head in vectors["heads"]]
    assert {1} == {after - before for before, after in pairwise(sizes)}
