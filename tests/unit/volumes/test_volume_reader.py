# SPDX-License-Identifier: Apache-2.0
"""Reading a file of a volume piece by piece."""

from __future__ import annotations

import io
from typing import Any

import pytest

from accord.errors import VolumeTamperedError
from accord.volumes import Volume, VolumeVersion
from accord.volumes import _volume as volume_module

Sealed = tuple[Any, VolumeVersion]
DATA = bytes(number * number % 256 for number in range(150_000))


@pytest.fixture
def volume(bench: Any) -> Volume:
    bench.fill({"a": b"small", "f": DATA})
    opened: Volume = bench.open(bench.seal().tag)
    return opened


@pytest.mark.parametrize("start", [0, 1, 4095, 4096, 65_535, 65_536, 149_999, 150_000, 200_000])
@pytest.mark.parametrize("size", [0, 1, 4096, 10_000, 500_000])
def test_random_access_gives_the_same_as_a_slice(volume: Volume, start: int, size: int) -> None:
    """Any range, across chunks and segments, and beyond the end."""
    with volume.open("f") as file:
        assert file.seek(start) == start
        assert file.read(size) == DATA[start : start + size]
        assert file.tell() == start + len(DATA[start : start + size])


def test_reader_is_an_ordinary_binary_file(volume: Volume) -> None:
    """It works under the buffered and text readers of the standard library."""
    with volume.open("f") as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.seek(-3, io.SEEK_END) == 149_997
        assert file.read() == DATA[-3:]
        assert file.seek(-3, io.SEEK_CUR) == 149_997
        file.seek(0)
        assert io.BufferedReader(file, 100).read(777) == DATA[:777]


def test_bad_seeks_are_refused(volume: Volume) -> None:
    """As the standard library does."""
    with volume.open("f") as file:
        for offset, whence in ((-1, 0), (0, 9), (-150_001, 2)):
            with pytest.raises(ValueError, match="seek"):
                file.seek(offset, whence)


def test_closed_reader_is_refused(volume: Volume) -> None:
    """As the standard library does."""
    file = volume.open("f")
    file.close()
    for call in (file.read, file.tell, lambda: file.seek(0), lambda: file.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_small_reads_decrypt_a_chunk_once(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading byte by byte does not decrypt byte by byte."""
    numbers: list[int] = []
    decrypt = volume.decrypt_chunk_into

    def counting(number: int, target: bytearray | memoryview) -> None:
        numbers.append(number)
        decrypt(number, target)

    monkeypatch.setattr(volume, "decrypt_chunk_into", counting)
    with volume.open("f") as file:
        assert b"".join(file.read(1000) for _ in range(9)) == DATA[:9000]
    assert len(numbers) == 3


def test_objects_are_fetched_once_while_they_fit(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache holds what was verified; beyond its size the oldest goes."""
    names: list[str] = []
    get = volume._store.get
    volume.read("a")

    def counting(name: str, *, limit: int) -> bytes:
        names.append(name)
        return get(name, limit=limit)

    monkeypatch.setattr(volume._store, "get", counting)
    for _ in range(3):
        volume.read("f")
    assert len(names) == 2
    volume._cache.clear()
    monkeypatch.setattr(volume_module, "CACHE_BYTES", 100_000)
    for _ in range(3):
        assert volume.read("f") == DATA
    assert len(names) == 2 + 9


def test_damage_is_seen_when_it_is_reached(bench: Any) -> None:
    """Opening does not read data; reading a damaged part fails, other parts do not."""
    bench.fill({"a": b"1" * 65_536, "b": b"2" * 65_536})
    version = bench.seal()
    last = bench.segments(version)[-1]
    bench.store.objects[last] = bench.store.objects[last][::-1]
    volume = bench.open(version.tag)
    assert volume.read("a") == b"1" * 65_536
    with pytest.raises(VolumeTamperedError):
        volume.read("b")


def test_failed_read_does_not_leave_a_chunk_behind(bench: Any) -> None:
    """After a refused chunk, a second read of it is refused again."""
    ref = bench.segment(bytes(65_536))[0]
    data = bytearray(bench.store.objects[ref["digest"].removeprefix("sha256:")])
    data[50] ^= 1
    file = {"path": "f", "size": 100, "offset": 0, "executable": False}
    tag = bench.forge(segments=[{"digest": bench.put(bytes(data)), "chunks": 16}], files=[file])
    with bench.open(tag).open("f") as reader:
        for _ in range(2):
            with pytest.raises(VolumeTamperedError):
                reader.read(10)
