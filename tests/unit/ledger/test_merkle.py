# SPDX-License-Identifier: Apache-2.0
"""The tree agrees with published roots, and its proofs prove nothing else."""

from __future__ import annotations

import pytest

from accord.errors import ConsistencyError, InclusionError
from accord.ledger import EMPTY_ROOT, MerkleTree, leaf_hash, verify_consistency, verify_inclusion

LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The leaves and roots of the tests of certificate-transparency (RFC 6962)."""

INCLUSION = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
"""The paths of the same tests, by leaf and size."""

CONSISTENCY = {
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
    (8, 8): (),
}
"""The consistency proofs of the same tests, by old and new size."""


@pytest.fixture
def tree() -> MerkleTree:
    tree = MerkleTree()
    for leaf in LEAVES:
        tree.append(leaf_hash(bytes.fromhex(leaf)))
    return tree


def path(*nodes: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(node) for node in nodes)


def test_roots_are_the_published_ones(tree: MerkleTree) -> None:
    """Every size of the tree, while it grows and looked back at."""
    growing, found = MerkleTree(), []
    for leaf in LEAVES:
        growing.append(leaf_hash(bytes.fromhex(leaf)))
        found.append(growing.root().hex())
    assert tuple(found) == ROOTS
    assert tuple(tree.root(size).hex() for size in range(1, 9)) == ROOTS
    assert tree.root(0) == MerkleTree().root() == EMPTY_ROOT


@pytest.mark.parametrize(("place", "expected"), INCLUSION.items())
def test_inclusion_proofs_are_the_published_ones(
    tree: MerkleTree, place: tuple[int, int], expected: tuple[str, ...]
) -> None:
    """A path holds the published nodes in the published order."""
    assert tree.inclusion_proof(*place) == path(*expected)


@pytest.mark.parametrize(("sizes", "expected"), CONSISTENCY.items())
def test_consistency_proofs_are_the_published_ones(
    tree: MerkleTree, sizes: tuple[int, int], expected: tuple[str, ...]
) -> None:
    """A consistency proof holds the published nodes in the published order."""
    assert tree.consistency_proof(*sizes) == path(*expected)


def test_a_leaf_is_not_proved_at_another_place(tree: MerkleTree) -> None:
    """A proof holds for one index, and for sizes of one shape: the checkpoint tells which."""
    leaf, proof = leaf_hash(bytes.fromhex(LEAVES[2])), tree.inclusion_proof(2)
    same_shape = [(2, size) for size in range(5, 9)]
    for index, size in {(i, n) for n in range(18) for i in range(-1, 18)}.difference(same_shape):
        with pytest.raises(InclusionError):
            verify_inclusion(leaf, index=index, size=size, root=tree.root(), proof=proof)


def test_an_inner_node_is_not_a_leaf(tree: MerkleTree) -> None:
    """A subtree cannot be passed off as a leaf of a smaller tree."""
    halves = tree.root(4), tree.inclusion_proof(0)[-1]
    joined = leaf_hash(halves[0] + halves[1])
    with pytest.raises(InclusionError):
        verify_inclusion(joined, index=0, size=1, root=tree.root(), proof=())


def test_proofs_of_another_length_are_refused(tree: MerkleTree) -> None:
    """Each node is used exactly once: neither more nor fewer will do."""
    root, leaf = tree.root(), leaf_hash(bytes.fromhex(LEAVES[5]))
    proof = tree.inclusion_proof(5)
    for wrong in (proof[:-1], (*proof, proof[0]), (), (proof[0][:-1], *proof[1:])):
        with pytest.raises(InclusionError):
            verify_inclusion(leaf, index=5, size=8, root=root, proof=wrong)
    proof = tree.consistency_proof(3)
    for wrong in (proof[:-1], (*proof, proof[0]), (), (proof[0][:-1], *proof[1:])):
        with pytest.raises(ConsistencyError):
            verify_consistency(
                old_size=3, old_root=tree.root(3), new_size=8, new_root=root, proof=wrong
            )


def test_a_log_does_not_shrink(tree: MerkleTree) -> None:
    """The smaller log does not continue the larger one, whatever is offered as proof."""
    for proof in ((), tree.consistency_proof(3)):
        with pytest.raises(ConsistencyError):
            verify_consistency(
                old_size=8, old_root=tree.root(), new_size=3, new_root=tree.root(3), proof=proof
            )


@pytest.mark.parametrize(
    ("old_size", "old_root", "new_size", "new_root", "proof"),
    [
        (0, bytes(32), 8, bytes(32), ()),
        (0, EMPTY_ROOT, 8, bytes(32), (bytes(32),)),
        (0, EMPTY_ROOT, 0, bytes(32), ()),
        (0, bytes(32), 0, bytes(32), ()),
        (4, bytes(32), 4, bytes(31) + b"\1", ()),
        (4, bytes(32), 4, bytes(32), (bytes(32),)),
        (3, bytes(32), 4, bytes(32), ()),
        (-1, EMPTY_ROOT, 4, bytes(32), ()),
    ],
    ids=[
        "false empty root",
        "proof from nothing",
        "empty log with a root",
        "two false empty roots",
        "fork of equal size",
        "proof of equality",
        "no proof",
        "negative size",
    ],
)
def test_trivial_cases_have_one_proof(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: tuple[bytes, ...]
) -> None:
    """From nothing, and to itself: the roots are fixed and the proof is empty."""
    with pytest.raises(ConsistencyError):
        verify_consistency(
            old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root, proof=proof
        )


def test_every_log_continues_the_empty_one(tree: MerkleTree) -> None:
    """From no entries, to any size, and at every size to itself: the proof is empty."""
    for size in range(9):
        assert tree.consistency_proof(0, size) == tree.consistency_proof(size, size) == ()
        for old in (0, size):
            verify_consistency(
                old_size=old,
                old_root=tree.root(old),
                new_size=size,
                new_root=tree.root(size),
                proof=(),
            )


def test_a_rewritten_history_is_refused(tree: MerkleTree) -> None:
    """A fork at any entry has no consistency proof: not its own, not the honest one."""
    for changed in range(5):
        fork = MerkleTree()
        for index, leaf in enumerate(LEAVES):
            fork.append(leaf_hash(bytes.fromhex(leaf) + b"x" * (index == changed)))
        for proof in (tree.consistency_proof(5), fork.consistency_proof(5)):
            with pytest.raises(ConsistencyError):
                verify_consistency(
                    old_size=5, old_root=tree.root(5), new_size=8, new_root=fork.root(), proof=proof
                )


def test_questions_that_have_no_answer_are_bugs(tree: MerkleTree) -> None:
    """Asking for what the tree never had is a mistake of the program."""
    for question in (
        lambda: tree.root(9),
        lambda: tree.root(-1),
        lambda: tree.inclusion_proof(8),
        lambda: tree.inclusion_proof(3, 3),
        lambda: tree.consistency_proof(9),
        lambda: tree.consistency_proof(4, 3),
        lambda: tree.append(b"not a hash"),
    ):
        with pytest.raises(RuntimeError):
            question()
