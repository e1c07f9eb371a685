# SPDX-License-Identifier: Apache-2.0
"""The encrypted index: which files there are and where (docs/spec/volume.md, section 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from accord.encoding import Digest, Fields, JSONValue, canonical_json, parse_json
from accord.errors import MalformedError, TooLargeError
from accord.volumes._key import VolumeId, parse_volume_id
from accord.volumes._segment import (
    MAX_OBJECT_BYTES,
    SegmentRef,
    chunks_per_object,
    is_chunk_size,
)

SCHEMA = "accord.volume-index.v1"
WHAT = "volume index"

MAX_INDEX_BYTES = 32 << 20
"""Largest index, as JSON: about 300 000 files. A reader holds it in memory, parsed."""

MAX_PATH_BYTES = 4095
MAX_PART_BYTES = 255
"""The limits of Linux (PATH_MAX without its NUL, and NAME_MAX)."""

PLAIN_MODE = 0o644
EXECUTABLE_MODE = 0o755

_LENGTH_BYTES = 8

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: its path with slashes, its size in bytes, its mode (0o644 or 0o755)."""

    path: str
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file and where it starts in the volume's stream of bytes."""

    entry: FileEntry
    offset: int


@dataclass(frozen=True, slots=True)
class Index:
    """What a version holds. Reading one checks that every path is safe and every place real."""

    volume_id: VolumeId
    sequence: int
    parent: Digest | None
    chunk_size: int
    segments: tuple[SegmentRef, ...]
    files: tuple[PlacedFile, ...]

    @property
    def size(self) -> int:
        """The sizes of all files together."""
        return sum(item.entry.size for item in self.files)

    def to_bytes(self) -> bytes:
        """The plaintext of the index object: length, then canonical JSON.

        Raises ``TooLargeError``.
        """
        document: dict[str, JSONValue] = {
            "schema": SCHEMA,
            "volume_id": self.volume_id,
            "sequence": self.sequence,
            "chunk_size": self.chunk_size,
            "segments": [{"digest": item.digest, "chunks": item.chunks} for item in self.segments],
            "files": [
                {
                    "path": item.entry.path,
                    "size": item.entry.size,
                    "offset": item.offset,
                    "executable": item.entry.mode == EXECUTABLE_MODE,
                }
                for item in self.files
            ],
        }
        if self.parent is not None:
            document["parent"] = self.parent
        data = canonical_json(document)
        if len(data) > MAX_INDEX_BYTES:
            raise TooLargeError(what=WHAT, limit=MAX_INDEX_BYTES)
        return len(data).to_bytes(_LENGTH_BYTES, "big") + data

    @classmethod
    def from_bytes(cls, data: bytes) -> Index:
        """Reads an index that was authenticated, but whose author is not trusted.

        Raises ``MalformedError``, ``UnsupportedFormatError`` or ``TooLargeError``.
        """
        # (1) Length, JSON, and nothing but zeros after it.
        length = int.from_bytes(data[:_LENGTH_BYTES], "big")
        document, rest = data[_LENGTH_BYTES:][:length], data[_LENGTH_BYTES:][length:]
        if len(document) != length or rest.strip(b"\0"):
            raise MalformedError(what=WHAT, detail="its length is wrong")
        fields = Fields(parse_json(document, what=WHAT, limit=MAX_INDEX_BYTES), WHAT)
        # (2) Every field has its type and nothing is left over.
        fields.schema(SCHEMA)
        volume_id = parse_volume_id(fields.take("volume_id"), what=fields.path("volume_id"))
        sequence = fields.integer("sequence", minimum=1)
        parent = fields.optional("parent", fields.digest)
        chunk_size = fields.integer("chunk_size", minimum=1)
        if not is_chunk_size(chunk_size):
            raise MalformedError(what=fields.path("chunk_size"), detail="not a chunk size")
        most = chunks_per_object(MAX_OBJECT_BYTES, chunk_size)
        segments = tuple(_segment(item, most) for item in _objects(fields, "segments"))
        files = tuple(_file(item) for item in _objects(fields, "files"))
        fields.end()
        # (3) No segment counts twice, so a small store cannot claim to be a large volume.
        if len({item.digest for item in segments}) != len(segments):
            raise MalformedError(what=fields.path("segments"), detail="a segment appears twice")
        # (4) Names are safe together, and no two files share a byte of the stream.
        check_names([item.entry.path for item in files])
        end = sum(item.chunks for item in segments) * chunk_size
        _check_places(files, end)
        return cls(volume_id, sequence, parent, chunk_size, segments, files)


def _objects(fields: Fields, name: str) -> Iterable[Fields]:
    """The objects of a list whose length only `MAX_INDEX_BYTES` bounds."""
    value = fields.take(name)
    if not isinstance(value, list):
        raise MalformedError(what=fields.path(name), detail="expected a list")
    where = fields.path(name)
    return (Fields(item, f"{where}[{number}]") for number, item in enumerate(value))


def _segment(fields: Fields, most: int) -> SegmentRef:
    ref = SegmentRef(fields.digest("digest"), fields.integer("chunks", minimum=1, maximum=most))
    fields.end()
    return ref


def _file(fields: Fields) -> PlacedFile:
    # Not `Fields.text`: which characters it lets pass depends on Python's Unicode tables, and
    # whatever was sealed must open everywhere.
    path = fields.take("path")
    detail = path_flaw(path) if isinstance(path, str) else "expected text"
    if detail is not None:
        raise MalformedError(what=fields.path("path"), detail=detail)
    size = fields.integer("size", minimum=0)
    offset = fields.integer("offset", minimum=0)
    mode = EXECUTABLE_MODE if fields.flag("executable") else PLAIN_MODE
    fields.end()
    return PlacedFile(FileEntry(path, size, mode), offset)


def path_flaw(path: str) -> str | None:
    """Why ``path`` may not stand in an index, or ``None`` where it may.

    A path that passes names something below the directory it is joined to, on any file system
    of Linux, and can be shown on a terminal: no control characters.
    """
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "a path is not UTF-8"
    if len(encoded) > MAX_PATH_BYTES:
        return "a path is too long"
    if _CONTROL.search(path):
        return "a path holds a control character"
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return "a path is absolute, or has an empty, . or .. component"
        if len(part.encode()) > MAX_PART_BYTES:
            return "a component of a path is too long"
    return None


def sort_key(path: str) -> bytes:
    """Files are sorted by the bytes of their paths."""
    return path.encode()


def check_names(paths: list[str]) -> None:
    """Raises ``MalformedError`` unless ``paths`` are sorted, distinct, and none is a directory."""
    for before, after in pairwise(paths):
        if sort_key(before) >= sort_key(after):
            raise MalformedError(what=WHAT, detail="its paths are not sorted, or one appears twice")
    names = set(paths)
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent:
            if parent in names:
                raise MalformedError(what=WHAT, detail="a file is also a directory")
            parent = parent.rpartition("/")[0]


def _check_places(files: tuple[PlacedFile, ...], end: int) -> None:
    position = 0
    for item in files:
        if item.offset < position:
            raise MalformedError(what=WHAT, detail="two files overlap")
        position = item.offset + item.entry.size
    if position > end:
        raise MalformedError(what=WHAT, detail="a file lies beyond the end of the volume")
