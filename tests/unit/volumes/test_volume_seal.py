# SPDX-License-Identifier: Apache-2.0
"""Sealing a tree and getting it back, what is refused, and in which order things are published."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from accord.errors import (
    MalformedError,
    ObjectMissingError,
    StoreError,
    TooLargeError,
    VolumeExtractError,
    VolumeFileNotFoundError,
    VolumeSourceError,
    VolumeTamperedError,
)
from accord.volumes import (
    FileEntry,
    LocalStore,
    VolumeId,
    VolumeKey,
    VolumeVersion,
    new_volume_id,
    open_volume,
    parse_volume_id,
    seal_volume,
    verify_volume,
)
from accord.volumes import _index as index_module

Sealed = tuple[Any, VolumeVersion]


def test_tree_comes_back(sealed: Sealed, files: dict[str, bytes], tmp_path: Path) -> None:
    """Every file has its bytes, by reading and by extracting."""
    bench, version = sealed
    volume = bench.open(version.tag)
    assert [entry.path for entry in volume.entries()] == sorted(files)
    assert {path: volume.read(path) for path in files} == files
    volume.extract(tmp_path / "out")
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == files


def test_version_describes_the_volume(sealed: Sealed, files: dict[str, bytes]) -> None:
    """Number of files, bytes, sequence and parent."""
    bench, first = sealed
    assert (first.sequence, first.parent, first.files) == (1, None, 5)
    assert first.size == sum(map(len, files.values()))
    second = bench.seal(first)
    assert (second.sequence, second.parent) == (2, first.tag)
    assert bench.open(second.tag).version == second
    assert (
        verify_volume(bench.store, key=bench.key, volume_id=bench.volume_id, tag=second.tag)
        == second
    )


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 131_072, 200_001])
@pytest.mark.parametrize("chunk_size", [4096, 65536, 1 << 20])
def test_sizes_around_boundaries_come_back(bench: Any, size: int, chunk_size: int) -> None:
    """Chunk, padding and segment boundaries lose no byte."""
    data = bytes(number % 251 for number in range(size))
    bench.fill({"a": b"odd", "b": data, "c": b"end"})
    segment_bytes = 2 * max(chunk_size, 65_536)
    version = bench.seal(chunk_size=chunk_size, segment_bytes=segment_bytes)
    volume = bench.open(version.tag)
    assert [volume.read(name) for name in "abc"] == [b"odd", data, b"end"]


def test_single_file_is_a_volume(bench: Any, tmp_path: Path) -> None:
    """A file is sealed under its own name."""
    bench.source = tmp_path / "model.bin"
    bench.source.write_bytes(b"weights")
    volume = bench.open(bench.seal().tag)
    assert volume.entries() == (FileEntry("model.bin", 7, 0o644),)


def test_empty_directory_is_a_volume_without_objects(bench: Any) -> None:
    """No files: an index and a commit."""
    (bench.source / "empty" / "nested").mkdir(parents=True)
    version = bench.seal()
    assert bench.open(version.tag).entries() == ()
    assert len(bench.store.objects) == 2


def test_only_the_executable_bit_is_kept(bench: Any, tmp_path: Path) -> None:
    """0755 or 0644, whatever the umask and the sealed modes were."""
    bench.fill({"plain": b"1", "tool": b"2"})
    (bench.source / "plain").chmod(0o600)
    (bench.source / "tool").chmod(0o6711)
    volume = bench.open(bench.seal().tag)
    volume.extract(tmp_path / "out")
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "out").iterdir()}
    assert modes == {"plain": 0o644, "tool": 0o755}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_progress_adds_up(sealed: Sealed, tmp_path: Path) -> None:
    """Increments, for sealing and for extracting, add up to the size."""
    bench, first = sealed
    done: list[int] = []
    bench.seal(first, progress=done.append)
    assert sum(done) == first.size
    done.clear()
    bench.open(first.tag).extract(tmp_path / "out", progress=done.append)
    assert sum(done) == first.size


def test_unchanged_tree_shares_no_object(sealed: Sealed) -> None:
    """Two versions of the same bytes have no object in common, so equality does not show."""
    bench, first = sealed
    before = set(bench.store.objects)
    bench.seal(first)
    assert len(bench.store.objects) == 2 * len(before)


def test_symbolic_link_is_refused_by_name(bench: Any) -> None:
    """A link could lead out of the tree."""
    bench.fill({"sub/a": b"1"})
    (bench.source / "sub" / "link").symlink_to("a")
    with pytest.raises(VolumeSourceError, match=r"sub/link.*symbolic link"):
        bench.seal()
    assert bench.store.head is None


def test_link_as_the_source_is_refused(bench: Any, tmp_path: Path) -> None:
    """Also the source itself is not followed."""
    (tmp_path / "link").symlink_to(bench.source)
    bench.source = tmp_path / "link"
    with pytest.raises(VolumeSourceError, match="symbolic link"):
        bench.seal()


def test_pipe_and_socket_are_refused(bench: Any) -> None:
    """Nothing that could block or act is opened."""
    os.mkfifo(bench.source / "pipe")
    with pytest.raises(VolumeSourceError, match="pipe"):
        bench.seal()
    (bench.source / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bench.source / "socket"))
        with pytest.raises(VolumeSourceError, match="socket"):
            bench.seal()


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b"bell\x07"])
def test_name_that_no_reader_accepts_is_refused(bench: Any, name: bytes) -> None:
    """Sealing refuses what opening would refuse."""
    path = os.fsencode(bench.source) + b"/" + name
    with open(path, "wb"):  # noqa: PTH123 - a name that Path cannot spell
        pass
    with pytest.raises(VolumeSourceError, match="path"):
        bench.seal()


def test_missing_and_unreadable_sources_are_named(bench: Any, tmp_path: Path) -> None:
    """The error says which path."""
    bench.source = tmp_path / "nothing"
    with pytest.raises(VolumeSourceError, match="nothing"):
        bench.seal()


def test_file_that_vanishes_is_refused(bench: Any) -> None:
    """A file that is there for the walk and gone for the reading."""
    bench.fill({"a": b"1" * 5000, "b": b"2"})
    with pytest.raises(VolumeSourceError, match="b cannot be sealed"):
        bench.seal(progress=lambda _: (bench.source / "b").unlink(missing_ok=True))


def test_file_that_grows_is_refused(bench: Any) -> None:
    """A version is a state that the tree once had, file by file."""
    bench.fill({"a": b"1" * 5000})

    def grow(_: int) -> None:
        with (bench.source / "a").open("ab") as file:
            file.write(b"more")
            if file.tell() > 6000:
                pytest.fail("sealing follows a growing file for ever")

    with pytest.raises(VolumeSourceError, match="changed"):
        bench.seal(progress=grow)
    assert bench.store.head is None


def test_index_beyond_its_limit_is_refused(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume that no reader would open is not published."""
    monkeypatch.setattr(index_module, "MAX_INDEX_BYTES", 1000)
    bench.fill({f"file-{number:03}": b"" for number in range(40)})
    with pytest.raises(TooLargeError):
        bench.seal()
    assert bench.store.head is None


def test_parent_of_another_volume_is_the_callers_bug(sealed: Sealed) -> None:
    """A parent belongs to the volume."""
    bench, first = sealed
    bench.volume_id = VolumeId("vol-" + "7" * 32)
    with pytest.raises(RuntimeError, match="parent"):
        bench.seal(first)


@pytest.mark.parametrize(
    "sizes",
    [
        {"chunk_size": 1000},
        {"chunk_size": 1 << 21},
        {"segment_bytes": 1},
        {"segment_bytes": 1 << 27},
    ],
)
def test_sizes_outside_the_format_are_the_callers_bug(bench: Any, sizes: dict[str, int]) -> None:
    """Sizes are bounded by the format."""
    with pytest.raises(RuntimeError, match="sizes"):
        bench.seal(**sizes)


def test_head_is_written_last(bench: Any, files: dict[str, bytes]) -> None:
    """Whichever store operation fails, the head still shows the version before."""
    bench.fill(files)
    first = bench.seal()
    put, count = bench.store.put, len(bench.store.objects)
    for survivors in range(count):
        left = [survivors]

        def failing(name: str, data: bytes, left: list[int] = left) -> None:
            if not left[0]:
                raise StoreError(path="memory", detail="full")
            left[0] -= 1
            put(name, data)

        bench.store.put = failing
        with pytest.raises(StoreError):
            bench.seal(first)
        assert bench.open(first.tag).version == first
    bench.store.put = put
    assert bench.seal(first).sequence == 2


@pytest.mark.parametrize(
    ("size", "chunks"),
    [(1, [16]), (65_536, [16]), (65_537, [16, 16]), (131_072, [16, 16]), (131_073, [16, 16, 16])],
)
def test_padding_is_as_small_as_the_format_allows(bench: Any, size: int, chunks: list[int]) -> None:
    """A file that ends with a chunk, or with an object, adds none; padding is zeros."""
    bench.fill({"a": b"1" * size})
    volume = bench.open(bench.seal().tag)
    assert [item.chunks for item in volume._index.segments] == chunks
    stream = bytearray(sum(chunks) * 4096)
    for number in range(sum(chunks)):
        volume.decrypt_chunk_into(number, memoryview(stream)[number * 4096 :][:4096])
    assert bytes(stream) == b"1" * size + bytes(len(stream) - size)


def test_objects_are_padded_and_bounded(sealed: Sealed) -> None:
    """Every encrypted object holds a multiple of 64 KiB and keeps to the size asked for."""
    bench, version = sealed
    sizes = [len(bench.store.objects[name]) for name in bench.segments(version)]
    assert [(size - 48) % (16 * (4096 + 16)) for size in sizes] == [0] * len(sizes)
    assert max(sizes) <= 131_072


# --- extracting ------------------------------------------------------------------------------


def test_extract_needs_a_fresh_directory(sealed: Sealed, tmp_path: Path) -> None:
    """Nothing is ever written over, or through a link."""
    bench, version = sealed
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link", "missing/parent"):
        with pytest.raises(VolumeExtractError):
            bench.open(version.tag).extract(tmp_path / name)


def test_refused_extract_leaves_nothing(sealed: Sealed, tmp_path: Path) -> None:
    """Half a dataset must not look like a dataset."""
    bench, version = sealed
    volume = bench.open(version.tag)
    del bench.store.objects[bench.segments(version)[-1]]
    with pytest.raises(ObjectMissingError):
        volume.extract(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_extract_on_a_full_disk_is_an_error_of_ours(
    sealed: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that could not be written is named."""
    bench, version = sealed
    monkeypatch.setattr(os, "fchmod", _full)
    with pytest.raises(VolumeExtractError, match="No space"):
        bench.open(version.tag).extract(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_unknown_file_is_named(sealed: Sealed) -> None:
    """Asking for a file that is not there."""
    bench, version = sealed
    with pytest.raises(VolumeFileNotFoundError, match="nope"):
        bench.open(version.tag).read("nope")


# --- the directory store -----------------------------------------------------------------------


def test_volume_on_disk_has_the_documented_layout(bench: Any, tmp_path: Path) -> None:
    """objects/aa/name, head, and an empty incoming."""
    bench.fill({"a": b"1"})
    bench.store = LocalStore(tmp_path / "store")
    version = bench.seal()
    assert bench.open(version.tag).read("a") == b"1"
    objects = [path for path in (tmp_path / "store" / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 3
    assert all(path.parent.name == path.name[:2] for path in objects)
    assert (tmp_path / "store" / "head").read_text() == version.tag + "\n"
    assert list((tmp_path / "store" / "incoming").iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "directory", "sparse"])
def test_object_that_is_no_ordinary_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Reading neither hangs nor allocates what a file system claims."""
    store, name = LocalStore(tmp_path), "0" * 64
    path = tmp_path / "objects" / "00" / name
    path.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 42)
    with pytest.raises(VolumeTamperedError):
        store.get(name, limit=1000)


def test_object_that_shrinks_while_being_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size that was checked is the size that was read."""
    store = LocalStore(tmp_path)
    store.put("0" * 64, b"data")
    status = list((tmp_path / "objects" / "00" / ("0" * 64)).stat())
    status[6] = 5
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result(status))
    with pytest.raises(VolumeTamperedError, match="changed while"):
        store.get("0" * 64, limit=100)


def test_trouble_of_the_disk_is_told_apart(tmp_path: Path) -> None:
    """A store under a plain file cannot be written; reading finds nothing there."""
    (tmp_path / "file").write_bytes(b"")
    store = LocalStore(tmp_path / "file")
    with pytest.raises(StoreError):
        store.put("0" * 64, b"data")
    with pytest.raises(StoreError):
        store.write_head(b"head")
    assert store.read_head() is None


def test_unreadable_object_is_told_apart(tmp_path: Path) -> None:
    """A link that leads to itself is trouble of the store."""
    (tmp_path / "head").symlink_to("head")
    with pytest.raises(StoreError):
        LocalStore(tmp_path).read_head()


def test_failed_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves neither an object nor its part."""
    store = LocalStore(tmp_path)
    store.put("0" * 64, b"data")
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(StoreError, match="No space"):
        store.put("0" * 63 + "1", b"data")
    assert list((tmp_path / "incoming").iterdir()) == []
    with pytest.raises(ObjectMissingError):
        store.get("0" * 63 + "1", limit=4)


# --- keys and ids ------------------------------------------------------------------------------


def test_key_is_masked() -> None:
    """A key in a log or a traceback shows nothing."""
    key = VolumeKey.generate()
    assert repr(key) == "VolumeKey(***)"
    assert str(key) == "VolumeKey(***)"
    assert key != VolumeKey.generate()


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_key_of_another_size_is_refused(size: int) -> None:
    """A volume key has 32 bytes."""
    with pytest.raises(MalformedError):
        VolumeKey(bytes(size))


def test_volume_ids_are_strict() -> None:
    """One spelling."""
    volume_id = new_volume_id()
    assert parse_volume_id(volume_id, what="id") == volume_id
    for text in ("", "vol-", volume_id.upper(), volume_id + "0", "0" * 32, None, volume_id + "\n"):
        with pytest.raises(MalformedError):
            parse_volume_id(text, what="id")


def test_memory_stays_flat_across_objects(tmp_path: Path) -> None:
    """A store sees one object at a time, none larger than asked for."""
    sizes: list[int] = []

    class Recording(LocalStore):
        def put(self, name: str, data: bytes) -> None:
            sizes.append(len(data))
            super().put(name, data)

    source = tmp_path / "f"
    source.write_bytes(bytes(3_000_000))
    key, volume_id, store = VolumeKey.generate(), new_volume_id(), Recording(tmp_path / "s")
    version = seal_volume(
        source, store, key=key, volume_id=volume_id, parent=None, segment_bytes=1 << 20
    )
    assert max(sizes) <= 1 << 20
    volume = open_volume(store, key=key, volume_id=volume_id, tag=version.tag)
    assert volume.read("f") == bytes(3_000_000)
