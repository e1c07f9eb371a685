# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes stand where a document is expected, only our errors come out."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import Digest, canonical_json
from accord.errors import AccordError, MalformedError
from accord.volumes import VolumeId
from accord.volumes._commit import Commit, head_from_bytes, head_to_bytes
from accord.volumes._index import FileEntry, Index, PlacedFile, check_names, path_flaw
from accord.volumes._segment import SegmentRef

digests = st.binary(min_size=32, max_size=32).map(lambda raw: Digest("sha256:" + raw.hex()))
volume_ids = st.binary(min_size=16, max_size=16).map(lambda raw: VolumeId("vol-" + raw.hex()))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = ["schema", "volume_id", "sequence", "parent", "chunk_size", "segments", "files"]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_by_our_errors(data: bytes) -> None:
    """Head, commit and index readers never let a foreign exception out."""
    for read in (head_from_bytes, Commit.from_bytes, Index.from_bytes):
        with suppress(AccordError):
            read(data)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(FIELDS), value=json_values, drop=st.booleans())
def test_any_json_in_a_field_is_refused_by_our_errors(
    name: str, value: object, *, drop: bool
) -> None:
    """One field of an index holds anything, or is absent."""
    document: dict[str, object] = {
        "schema": "accord.volume-index.v1",
        "volume_id": "vol-" + "0" * 32,
        "sequence": 2,
        "parent": "sha256:" + "0" * 64,
        "chunk_size": 4096,
        "segments": [],
        "files": [],
    }
    document[name] = value
    if drop:
        del document[name]
    data = canonical_json(document)
    with suppress(AccordError):
        Index.from_bytes(len(data).to_bytes(8, "big") + data)


@settings(max_examples=100, deadline=None)
@given(path=st.text(max_size=30) | st.lists(st.sampled_from("./a\0\\ \x1b")).map("".join))
def test_path_that_passes_is_harmless(path: str) -> None:
    """No path that passes is absolute, climbs, or holds what a terminal obeys."""
    if path_flaw(path) is None:
        parts = path.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert not any(ord(character) in {*range(32), *range(127, 160)} for character in path)
        path.encode()


@settings(max_examples=100, deadline=None)
@given(paths=st.lists(st.lists(st.sampled_from(["a", "b", "a-b", "é"]), min_size=1, max_size=3)))
def test_names_that_pass_can_all_be_files(paths: list[list[str]]) -> None:
    """Sorted, distinct, and no name is a prefix of another, compared with a naive check."""
    names = ["/".join(parts) for parts in paths]
    clash = any(b.startswith(a + "/") for a in names for b in names)
    good = names == sorted(set(names), key=str.encode) and not clash
    try:
        check_names(names)
    except MalformedError:
        assert not good
    else:
        assert good


@settings(max_examples=50, deadline=None)
@given(
    volume_id=volume_ids,
    sequence=st.integers(1, 2**53 - 1),
    refs=st.lists(digests, unique=True, max_size=4),
    paths=st.sets(st.text(min_size=1, max_size=8).filter(lambda path: "/" not in path)),
    sizes=st.lists(st.integers(0, 300), min_size=20, max_size=20),
    parent=digests,
)
def test_index_and_commit_come_back(
    *,
    volume_id: VolumeId,
    sequence: int,
    refs: list[Digest],
    paths: set[str],
    sizes: list[int],
    parent: Digest,
) -> None:
    """Writing and reading are inverse, and the tag is the digest of what was written."""
    offset, files = 0, []
    names = sorted((path for path in paths if path_flaw(path) is None), key=str.encode)
    for path, size in zip(names, sizes, strict=False):
        if refs and offset + size <= len(refs) * 4096:
            files.append(PlacedFile(FileEntry(path, size, 0o755 if size % 2 else 0o644), offset))
            offset += size
    back = parent if sequence > 1 else None
    segments = tuple(SegmentRef(ref, 1) for ref in refs)
    index = Index(volume_id, sequence, back, 4096, segments, tuple(files))
    assert Index.from_bytes(index.to_bytes() + bytes(100)) == index
    commit = Commit(volume_id, sequence, back, parent, parent)
    assert Commit.from_bytes(commit.to_bytes()) == commit
    assert head_from_bytes(head_to_bytes(commit.tag)) == commit.tag
