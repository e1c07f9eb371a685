# SPDX-License-Identifier: Apache-2.0
"""Tiles are the hashes that the standard names, under the names that it gives."""

from __future__ import annotations

import hashlib

import pytest

from accord.errors import MalformedError, TileMissingError, TooLargeError
from accord.ledger import (
    MerkleTree,
    TilePath,
    entry_bundle,
    leaf_hash,
    parse_tile_path,
    read_entry_bundle,
    tile_path,
)


def root_of(hashes: list[bytes]) -> bytes:
    """MTH by its definition, over leaf hashes."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + root_of(hashes[:k]) + root_of(hashes[k:])).digest()


def hashes(tile: bytes) -> list[bytes]:
    return [tile[at : at + 32] for at in range(0, len(tile), 32)]


@pytest.fixture(scope="module")
def tree() -> MerkleTree:
    tree = MerkleTree()
    for number in range(70_000):
        tree.append(leaf_hash(b"%d" % number))
    return tree


def test_a_tree_of_70000_has_the_tiles_of_the_standard(tree: MerkleTree) -> None:
    """273 full tiles, one of 112, one full, one of 17, one of 1: and they make up the root."""
    assert tree.tile(0, 0)[:32] == leaf_hash(b"0")
    assert len(hashes(tree.tile(0, 273, 112))) == 112
    assert hashes(tree.tile(1, 0))[3] == root_of(hashes(tree.tile(0, 3)))
    assert tree.tile(2, 0, 1) == root_of(hashes(tree.tile(1, 0)))
    peaks = hashes(tree.tile(1, 1, 17))
    rest = hashes(tree.tile(0, 273, 112))
    leaves = [each for number in range(273) for each in hashes(tree.tile(0, number))] + rest
    assert tree.root() == root_of(leaves)
    assert root_of(leaves[65536 : 65536 + 17 * 256]) == root_of(peaks)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [
        (0, 273, 113),
        (0, 273, 256),
        (0, 274, 1),
        (1, 1, 18),
        (2, 0, 2),
        (3, 0, 1),
        (-1, 0, 1),
        (0, -1, 1),
        (0, 0, 0),
        (0, 0, 257),
        (63, 0, 1),
    ],
)
def test_tiles_that_are_not_there_are_not_made_up(
    tree: MerkleTree, level: int, index: int, width: int
) -> None:
    """A tile once served must never change."""
    with pytest.raises(TileMissingError):
        tree.tile(level, index, width)


PATHS = {
    "tile/0/000": TilePath(0, 0, 256),
    "tile/0/x001/x234/067": TilePath(0, 1234067, 256),
    "tile/63/x001/000.p/1": TilePath(63, 1000, 1),
    "tile/entries/273.p/112": TilePath(None, 273, 112),
}


@pytest.mark.parametrize(("path", "tile"), PATHS.items())
def test_paths_are_those_of_the_standard(path: str, tile: TilePath) -> None:
    """1234067 is its own example."""
    assert parse_tile_path(path) == tile
    assert str(tile) == path


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/x999/x999/x999/x999/x999/999",
        "tile/data/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "/tile/0/000",
        "tile/0/../000",
        "",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    """Each tile has one name, so that caches keep one copy."""
    with pytest.raises(MalformedError):
        parse_tile_path(path)


@pytest.mark.parametrize(("level", "index", "width"), [(64, 0, 1), (0, -1, 1), (0, 0, 257)])
def test_impossible_paths_are_bugs(level: int, index: int, width: int) -> None:
    """The caller knows the tree."""
    with pytest.raises(RuntimeError):
        tile_path(level, index, width)


def test_a_bundle_holds_leaves_after_their_lengths() -> None:
    """Two bytes, most significant first."""
    leaves = (b"", b"ab", bytes(65535))
    data = entry_bundle(leaves)
    assert data[:6] == b"\0\0\0\2ab"
    assert read_entry_bundle(data, width=3) == leaves
    for changed, width in ((data[:-1], 3), (data + b"\0", 3), (data, 2), (b"\0", 1)):
        with pytest.raises(MalformedError):
            read_entry_bundle(changed, width=width)
    with pytest.raises(TooLargeError):
        read_entry_bundle(bytes(256 * 65537 + 1), width=256)
    with pytest.raises(RuntimeError):
        entry_bundle([bytes(65536)])
