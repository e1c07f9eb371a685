# SPDX-License-Identifier: Apache-2.0
"""Tiles: the tree and its leaves as files that never change (c2sp.org/tlog-tiles)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from accord.errors import MalformedError, TooLargeError
from accord.ledger._merkle import TILE_WIDTH

MAX_LEAF_BYTES = 0xFFFF
_LENGTH_BYTES = 2
_MAX_BUNDLE_BYTES = TILE_WIDTH * (_LENGTH_BYTES + MAX_LEAF_BYTES)
_MAX_LEVEL = 63
_MAX_INDEX = 2**53 - 1
_ENTRIES = "entries"
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)
_WHAT = "path of a tile"


@dataclass(frozen=True, slots=True)
class TilePath:
    """Where a tile of hashes is, or, with ``level`` ``None``, a bundle of leaves."""

    level: int | None
    index: int
    width: int

    def __str__(self) -> str:
        return tile_path(self.level, self.index, self.width)


def tile_path(level: int | None, index: int, width: int = TILE_WIDTH) -> str:
    """``tile/<L>/<N>[.p/<W>]``, relative to the address of the log."""
    if not (level is None or 0 <= level <= _MAX_LEVEL) or not 0 <= index <= _MAX_INDEX:
        message = f"no tile {index} on level {level}"
        raise RuntimeError(message)
    if not 1 <= width <= TILE_WIDTH:
        message = f"a tile has 1 to {TILE_WIDTH} hashes"
        raise RuntimeError(message)
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    where = f"tile/{_ENTRIES if level is None else level}/{'/'.join(reversed(parts))}"
    return where if width == TILE_WIDTH else f"{where}.p/{width}"


def parse_tile_path(path: str) -> TilePath:
    """What ``path`` names; whether the log has grown so far is *not* known.

    Raises ``MalformedError``.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise MalformedError(what=_WHAT, detail="expected tile/LEVEL/INDEX[.p/WIDTH]")
    level = None if found["level"] == _ENTRIES else int(found["level"])
    index = int(found["index"].replace("/", "").replace("x", ""))
    width = int(found["width"] or TILE_WIDTH)
    within = (level or 0) <= _MAX_LEVEL and index <= _MAX_INDEX and width <= TILE_WIDTH
    # One spelling: no leading x000, no partial tile as wide as a full one.
    if not within or tile_path(level, index, width) != path:
        raise MalformedError(what=_WHAT, detail="level, index or width is out of range")
    return TilePath(level, index, width)


def entry_bundle(leaves: Iterable[bytes]) -> bytes:
    """The leaves of a bundle, each after its length in two bytes."""
    bundle = bytearray()
    for each in leaves:
        if len(each) > MAX_LEAF_BYTES:
            message = f"a leaf of {len(each)} bytes has no place in a bundle"
            raise RuntimeError(message)
        bundle += len(each).to_bytes(_LENGTH_BYTES, "big") + each
    return bytes(bundle)


def read_entry_bundle(data: bytes, *, width: int) -> tuple[bytes, ...]:
    """The ``width`` leaves of a bundle. That they are in a tree is *not* checked.

    Raises ``TooLargeError`` or ``MalformedError``.
    """
    what = "entry bundle"
    if len(data) > _MAX_BUNDLE_BYTES:
        raise TooLargeError(what=what, limit=_MAX_BUNDLE_BYTES)
    leaves = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise MalformedError(what=what, detail="it was cut off")
        leaves.append(data[start:at])
    if len(leaves) != width:
        raise MalformedError(what=what, detail=f"expected {width} leaves, found {len(leaves)}")
    return tuple(leaves)
