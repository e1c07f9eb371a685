# SPDX-License-Identifier: Apache-2.0
"""What a dishonest sealer, who holds the key, can write into an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accord.encoding import Digest
from accord.errors import AccordError, EncodingError, MalformedError, VolumeTamperedError
from accord.volumes._index import path_flaw


def entry(path: object, size: int = 1, offset: int = 0, **more: object) -> dict[str, object]:
    return {"path": path, "size": size, "offset": offset, "executable": False, **more}


BAD_PATHS = [
    "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/",
    "a\0b", "a\nb", "a\x1b[2Jb", "\x7f", "a\x9b2Jb", "x" * 256, "a/" * 2047 + "bc", "é" * 128,
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
def test_unsafe_path_is_refused(bench: Any, tmp_path: Path, path: str) -> None:
    """Nothing can be named that is not plainly below the destination."""
    tag = bench.forge(segments=bench.segment(b"x"), files=[entry(path)])
    with pytest.raises(MalformedError):
        bench.open(tag)


def test_lone_surrogate_in_a_path_is_refused(bench: Any) -> None:
    """JSON can spell what UTF-8 cannot."""
    tag = bench.forge(files=[entry("NAME", size=0)])
    document = next(iter(_plaintext(bench, tag)))
    tag = bench.forge_bytes(document.replace(b"NAME", rb"a\ud800"))
    with pytest.raises(MalformedError, match="half of a surrogate pair"):
        bench.open(tag)


def _plaintext(bench: Any, tag: Digest) -> list[bytes]:
    """The JSON that `forge` makes for one empty file called NAME."""
    volume = bench.open(tag)
    return [volume._index.to_bytes()[8:]]


@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "a"), ("b", "a"), ("a", "a/b"), ("a/b", "a/b/c/d"), ("Z", "A")],
)
def test_clashing_paths_are_refused(bench: Any, first: str, second: str) -> None:
    """Duplicates, wrong order, and a file that is also a directory."""
    tag = bench.forge(files=[entry(first, size=0), entry(second, size=0)])
    with pytest.raises(MalformedError):
        bench.open(tag)


def test_file_that_is_a_directory_is_seen_across_other_names(bench: Any) -> None:
    """``a-b`` sorts between ``a`` and ``a/c``."""
    tag = bench.forge(files=[entry(path, size=0) for path in ("a", "a-b", "a/c")])
    with pytest.raises(MalformedError, match="also a directory"):
        bench.open(tag)


@pytest.mark.parametrize(
    "files",
    [
        [entry("a", size=65537)],
        [entry("a", size=2**53 - 1)],
        [entry("a", size=1, offset=65536)],
        [entry("a", size=0, offset=65537)],
        [entry("a", size=2), entry("b", size=2, offset=1)],
        [entry("a", offset=1), entry("b", offset=0)],
    ],
)
def test_impossible_place_is_refused(bench: Any, files: list[object]) -> None:
    """Files lie within the segments, in order, and share no byte."""
    tag = bench.forge(segments=bench.segment(b"x"), files=files)
    with pytest.raises(MalformedError):
        bench.open(tag)


def test_huge_claim_is_refused_before_memory_is_used(bench: Any) -> None:
    """A terabyte of segments that are not there costs nothing but the refusal."""
    segments = [{"digest": f"sha256:{number:064x}", "chunks": 16000} for number in range(20_000)]
    size = 20_000 * 16_000 * 4096
    tag = bench.forge(segments=segments, files=[entry("a", size=size)])
    volume = bench.open(tag)
    assert volume.version.size == size
    with pytest.raises(AccordError):
        volume.read("a")


def test_repeated_segment_is_refused(bench: Any) -> None:
    """A small store cannot claim to be a large volume."""
    ref = bench.segment(b"x")
    tag = bench.forge(segments=ref + ref)
    with pytest.raises(MalformedError, match="twice"):
        bench.open(tag)


def test_wrong_chunk_count_is_refused(bench: Any) -> None:
    """An object that is smaller than the index says is refused whole."""
    ref = bench.segment(b"x")[0] | {"chunks": 17}
    tag = bench.forge(segments=[ref], files=[entry("a", size=70_000 - 4096)])
    with pytest.raises(VolumeTamperedError, match="number of chunks"):
        bench.open(tag).read("a")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "accord.volume-index.v2"},
        {"chunk_size": 0},
        {"chunk_size": 2048},
        {"chunk_size": 5000},
        {"chunk_size": 1 << 21},
        {"segments": {}},
        {"segments": [{"digest": "sha256:" + "0" * 64, "chunks": 0}]},
        {"segments": [{"digest": "sha256:" + "0" * 64, "chunks": 1 << 40}]},
        {"segments": [{"digest": "sha256:" + "0" * 64, "chunks": 1, "url": ""}]},
        {"files": "a"},
        {"files": [["a"]]},
        {"files": [entry("a", size=-1)]},
        {"files": [entry("a", size=0, mode=0o4755)]},
        {"files": [entry(7, size=0)]},
        {"files": [entry("a", size=0) | {"executable": 1}]},
        {"volume_id": "vol-1"},
        {"volume_id": 3},
        {"sequence": 0},
        {"parent": None},
        {"extra": True},
    ],
)
def test_field_out_of_range_is_refused(bench: Any, changes: dict[str, object]) -> None:
    """Every field has a type and a range, and there are no others."""
    tag = bench.forge(**changes)
    with pytest.raises(EncodingError):
        bench.open(tag)


@pytest.mark.parametrize("length", [0, 1, 2**64 - 1])
def test_wrong_length_is_refused(bench: Any, length: int) -> None:
    """The length before the JSON is exact, and only zeros follow."""
    tag = bench.forge_bytes(b'{"a":1}', length=length)
    with pytest.raises(MalformedError, match="length"):
        bench.open(tag)


def test_index_of_several_objects_is_refused(bench: Any) -> None:
    """An index is one object of bounded size."""
    digest = bench.put(bytes(48 + 513 * (65536 + 16) + 1))
    with pytest.raises(VolumeTamperedError):
        bench.open(bench.commit(digest))


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 2},
        {"parent": Digest("sha256:" + "0" * 64)},
        {"sequence": 0},
        {"volume_id": "vol-"},
        {"key_commitment": Digest("nothing")},
    ],
)
def test_malformed_commit_is_refused(bench: Any, changes: dict[str, Any]) -> None:
    """A commit has the trusted digest and still has to be one."""
    with pytest.raises(MalformedError):
        bench.open(bench.commit(Digest("sha256:" + "0" * 64), **changes))


def test_commit_of_another_algorithm_is_refused(bench: Any) -> None:
    """Format version 1 knows one algorithm."""
    tag = bench.commit(Digest("sha256:" + "0" * 64))
    data = bench.store.objects[tag.removeprefix("sha256:")]
    tag = bench.put(data.replace(b"AES-256-GCM", b"AES-256-OCB"))
    bench.store.head = tag.encode() + b"\n"
    with pytest.raises(EncodingError, match="format"):
        bench.open(tag)


@pytest.mark.parametrize(
    "path", ["a", "a/b", "...", ".a", "a..b/c", "ä/ö", "x" * 255, "a b", "~", "\u3000", "\u200d"]
)
def test_ordinary_paths_pass(path: str) -> None:
    """Dots, spaces and letters of any script are not suspicious."""
    assert path_flaw(path) is None
