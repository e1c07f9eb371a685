# SPDX-License-Identifier: Apache-2.0
"""Merkle trees over a log (RFC 9162 section 2.1, the same hashes as RFC 6962)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from accord.errors import ConsistencyError, InclusionError, TileMissingError

HASH_BYTES = 32

TILE_LEVELS = 8
"""Levels of the tree that one tile stands for (c2sp.org/tlog-tiles)."""

TILE_WIDTH = 1 << TILE_LEVELS
"""Hashes of a full tile."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves (RFC 9162 section 2.1.1)."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry, set apart from inner nodes by its first byte."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


class MerkleTree:
    """An append-only tree of leaf hashes.

    Keeps the hash of every complete subtree, level by level: about two hashes per leaf. So an
    append is O(1) on average and O(log n) at worst, and a root or proof of *any* size that the
    tree once had is O(log n) and O(log^2 n).
    """

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]
        """The hashes of each level, one after the other: an object for each would take twice
        as much memory again."""

    @property
    def size(self) -> int:
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf: bytes) -> None:
        """Adds one leaf, given by its `leaf_hash`."""
        if len(leaf) != HASH_BYTES:
            message = f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}"
            raise RuntimeError(message)
        level = 0
        self._levels[0] += leaf
        while len(self._levels[level]) % (2 * HASH_BYTES) == 0:
            if len(self._levels) == level + 1:
                self._levels.append(bytearray())
            pair = bytes(self._levels[level][-2 * HASH_BYTES :])
            self._levels[level + 1] += node_hash(pair[:HASH_BYTES], pair[HASH_BYTES:])
            level += 1

    def root(self, size: int | None = None) -> bytes:
        """The root over the first ``size`` leaves, over all of them by default."""
        size = self._size(size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The path of leaf ``index`` in the tree of ``size`` leaves (section 2.1.3.1)."""
        size = self._size(size)
        if not 0 <= index < size:
            message = f"no leaf {index} in a tree of {size}"
            raise RuntimeError(message)
        proof = []
        start, end = 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return tuple(reversed(proof))

    def consistency_proof(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """That the tree of ``new`` leaves continues the one of ``old`` (section 2.1.4.1).

        It is empty where ``old`` is 0 or equals ``new``: there is nothing to show.
        """
        new = self._size(new)
        if not 0 <= old <= new:
            message = f"no consistency proof from {old} to {new} leaves"
            raise RuntimeError(message)
        if old in (0, new):
            return ()
        proof = []
        start, end = 0, new
        # Descends to the subtree that ends with leaf old - 1; the RFC's flag ``b`` says
        # whether that is the whole old tree, which the verifier knows already: start == 0.
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        if start:
            proof.append(self._range(start, end))
        return tuple(reversed(proof))

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes:
        """The hashes of a tile (c2sp.org/tlog-tiles), which never change once they are there.

        Raises ``TileMissingError`` where the tree has not grown so far.
        """
        at = TILE_LEVELS * level
        hashes = self._levels[at] if 0 <= at < len(self._levels) else bytearray()
        start = index * TILE_WIDTH * HASH_BYTES
        end = start + width * HASH_BYTES
        if index < 0 or not 1 <= width <= TILE_WIDTH or end > len(hashes):
            raise TileMissingError(level=level, index=index, width=width, size=self.size)
        return bytes(hashes[start:end])

    def _size(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            message = f"the tree has {self.size} leaves, not {size}"
            raise RuntimeError(message)
        return size

    def _range(self, start: int, end: int) -> bytes:
        """The hash of leaves ``start`` to ``end``, where ``start`` begins a subtree."""
        size = end - start
        level = size.bit_length() - 1
        if size == 1 << level:
            at = (start >> level) * HASH_BYTES
            return bytes(self._levels[level][at : at + HASH_BYTES])
        middle = start + _split(size)
        return node_hash(self._range(start, middle), self._range(middle, end))


def inclusion_root(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root to which ``proof`` leads from ``leaf``, number ``index`` of ``size`` leaves.

    Follows RFC 9162 section 2.1.3.2. Raises ``InclusionError`` for a path of another length.
    """
    # (1) The leaf lies within the tree.
    if not 0 <= index < size:
        raise InclusionError(index=index, size=size)
    # (2, 3) Walk up from the leaf; fn and sn as in the RFC.
    fn, sn, current = index, size - 1, leaf
    # (4) Each node of the path is used once.
    for node in proof:
        if sn == 0 or len(node) != HASH_BYTES:
            raise InclusionError(index=index, size=size)
        if fn & 1 or fn == sn:
            current = node_hash(node, current)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = node_hash(current, node)
        fn, sn = fn >> 1, sn >> 1
    # (5) The path was long enough.
    if sn != 0:
        raise InclusionError(index=index, size=size)
    return current


def verify_inclusion(
    leaf: bytes, *, index: int, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """That ``leaf`` is number ``index`` of the ``size`` leaves under ``root``.

    Whether the root is authentic is *not* checked. Raises ``InclusionError``.
    """
    if inclusion_root(leaf, index=index, size=size, proof=proof) != root:
        raise InclusionError(index=index, size=size)


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """That the tree under ``new_root`` starts with the leaves of the one under ``old_root``.

    Follows RFC 9162 section 2.1.4.2. Whether the roots are authentic is *not* checked.
    Raises ``ConsistencyError``.
    """
    refused = ConsistencyError(old_size=old_size, new_size=new_size)
    # (1) A log only grows. Two trivial cases take no proof: nothing before, nothing new.
    if not 0 <= old_size <= new_size or any(len(node) != HASH_BYTES for node in proof):
        raise refused
    if old_size in (0, new_size):
        trivial = old_root == (EMPTY_ROOT if old_size == 0 else new_root)
        if proof or not trivial or (new_size == 0 and new_root != EMPTY_ROOT):
            raise refused
        return
    path = list(proof)
    # (2) The old root opens the path where the old tree is one complete subtree.
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise refused
    if not _joins(path, old_size, old_root, new_size, new_root):
        raise refused


def _joins(
    path: Sequence[bytes], old_size: int, old_root: bytes, new_size: int, new_root: bytes
) -> bool:
    """Steps 3 to 7 of RFC 9162 section 2.1.4.2: ``path`` rebuilds both roots."""
    # (3, 4) Skip the levels on which the old tree's last node is a right child.
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # (5) Both roots are rebuilt from the same nodes.
    old = new = path[0]
    # (6) Each node of the path is used once.
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(node, old), node_hash(node, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, node)
        fn, sn = fn >> 1, sn >> 1
    # (7) The path was long enough, and ends in both roots.
    return sn == 0 and old == old_root and new == new_root
