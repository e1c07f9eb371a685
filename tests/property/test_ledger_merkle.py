# SPDX-License-Identifier: Apache-2.0
"""A second implementation, written from the recursive definitions of RFC 9162 section 2.1."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import ConsistencyError, InclusionError
from accord.ledger import MerkleTree, leaf_hash, verify_consistency, verify_inclusion

entries = st.lists(st.binary(max_size=4), max_size=70)
hashes = st.binary(min_size=32, max_size=32)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def split(size: int) -> int:
    k = 1
    while 2 * k < size:
        k *= 2
    return k


def mth(d: list[bytes]) -> bytes:
    """MTH(D_n), section 2.1.1."""
    if not d:
        return sha(b"")
    if len(d) == 1:
        return sha(b"\x00" + d[0])
    k = split(len(d))
    return sha(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m: int, d: list[bytes]) -> list[bytes]:
    """PATH(m, D_n), section 2.1.3.1."""
    if len(d) == 1:
        return []
    k = split(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], b: bool) -> list[bytes]:  # noqa: FBT001 - as in the RFC
    """SUBPROOF(m, D_n, b), section 2.1.4.1."""
    if m == len(d):
        return [] if b else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def grown(d: list[bytes]) -> MerkleTree:
    tree = MerkleTree()
    for data in d:
        tree.append(leaf_hash(data))
    return tree


@settings(max_examples=60)
@given(entries)
def test_roots_are_those_of_the_definition(d: list[bytes]) -> None:
    """At every size that the tree ever had."""
    tree = grown(d)
    assert [tree.root(n) for n in range(len(d) + 1)] == [mth(d[:n]) for n in range(len(d) + 1)]


@settings(max_examples=150)
@given(entries.filter(bool), st.data())
def test_inclusion_proofs_are_those_of_the_definition(d: list[bytes], data: st.DataObject) -> None:
    """For any leaf at any size, and they verify."""
    size = data.draw(st.integers(1, len(d)))
    index = data.draw(st.integers(0, size - 1))
    tree = grown(d)
    proof = tree.inclusion_proof(index, size)
    assert list(proof) == path(index, d[:size])
    verify_inclusion(leaf_hash(d[index]), index=index, size=size, root=mth(d[:size]), proof=proof)


@settings(max_examples=150)
@given(entries.filter(bool), st.data())
def test_consistency_proofs_are_those_of_the_definition(
    d: list[bytes], data: st.DataObject
) -> None:
    """Between any two sizes, and they verify."""
    new = data.draw(st.integers(1, len(d)))
    old = data.draw(st.integers(1, new))
    proof = grown(d).consistency_proof(old, new)
    assert list(proof) == subproof(old, d[:new], True)
    verify_consistency(
        old_size=old, old_root=mth(d[:old]), new_size=new, new_root=mth(d[:new]), proof=proof
    )


@settings(max_examples=150)
@given(entries.filter(bool), st.data())
def test_a_changed_inclusion_proof_is_refused(d: list[bytes], data: st.DataObject) -> None:
    """One node replaced, removed or added, the leaf, index or size changed."""
    size, tree = len(d), grown(d)
    index = data.draw(st.integers(0, size - 1))
    leaf, root = leaf_hash(d[index]), tree.root()
    proof = list(tree.inclusion_proof(index))
    kind = data.draw(st.sampled_from(["node", "add", "leaf", "root"]))
    if kind == "node" and proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        proof[at] = data.draw(hashes.filter(lambda value: value != proof[at]))
    elif kind == "add":
        proof.insert(data.draw(st.integers(0, len(proof))), data.draw(hashes))
    elif kind == "leaf":
        leaf = data.draw(hashes)
    else:
        root = data.draw(hashes)
    with pytest.raises(InclusionError):
        verify_inclusion(leaf, index=index, size=size, root=root, proof=proof)


@settings(max_examples=150)
@given(entries.filter(lambda d: len(d) > 1), st.data())
def test_no_proof_joins_a_fork(d: list[bytes], data: st.DataObject) -> None:
    """With one old entry changed, neither log's proof leads from the old root to the new."""
    new = len(d)
    old = data.draw(st.integers(1, new))
    at = data.draw(st.integers(0, old - 1))
    fork = [*d[:at], d[at] + b"x", *d[at + 1 :]]
    for proof in (grown(d).consistency_proof(old, new), grown(fork).consistency_proof(old, new)):
        with pytest.raises(ConsistencyError):
            verify_consistency(
                old_size=old, old_root=mth(d[:old]), new_size=new, new_root=mth(fork), proof=proof
            )


@settings(max_examples=200)
@given(
    sizes=st.tuples(st.integers(-2, 40), st.integers(-2, 40)),
    roots=st.tuples(hashes, hashes),
    proof=st.lists(hashes | st.binary(max_size=40), max_size=8),
)
def test_random_proofs_are_refused(
    sizes: tuple[int, int], roots: tuple[bytes, bytes], proof: list[bytes]
) -> None:
    """Whatever the numbers and nodes are, only our own errors come out."""
    with pytest.raises(InclusionError):
        verify_inclusion(
            roots[0], index=sizes[0], size=sizes[1], root=roots[1], proof=[*proof, b""]
        )
    with pytest.raises(ConsistencyError):
        verify_consistency(
            old_size=sizes[0],
            old_root=roots[0],
            new_size=sizes[1],
            new_root=roots[1],
            proof=[*proof, b""],
        )
