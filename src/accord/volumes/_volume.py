# SPDX-License-Identifier: Apache-2.0
"""An opened volume: its files, as bytes, as seekable readers, or extracted to a directory."""

from __future__ import annotations

import io
import os
import shutil
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from threading import Lock

from accord.errors import VolumeExtractError, VolumeFileNotFoundError
from accord.volumes._commit import VolumeVersion
from accord.volumes._index import FileEntry, Index, PlacedFile
from accord.volumes._key import VolumeKey
from accord.volumes._objects import ObjectStore
from accord.volumes._segment import MAX_OBJECT_BYTES, Kind, Segment, fetch_segment

CACHE_BYTES = MAX_OBJECT_BYTES
"""Verified objects kept in memory: one of the largest, or four of the usual size."""

_PIECE_BYTES = 1 << 20


class Volume:
    """One version of a volume, open for reading; made by `open_volume`.

    Every byte that it gives out belongs to an object whose SHA-256 the index names, and was
    authenticated under the volume key. Objects are fetched when they are first needed, so a
    damaged one is refused on reading, not on opening; `verify_volume` reads everything.
    """

    def __init__(
        self, store: ObjectStore, *, key: VolumeKey, version: VolumeVersion, index: Index
    ) -> None:
        self.version = version
        self._store = store
        self._key = key
        self._index = index
        self._files = {item.entry.path: item for item in index.files}
        self._ends = list(accumulate(item.chunks for item in index.segments))
        self._cache: OrderedDict[int, Segment] = OrderedDict()
        self._lock = Lock()

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file, sorted by path."""
        return tuple(item.entry for item in self._index.files)

    def read(self, path: str) -> bytes:
        """The whole of one file; memory grows with what was authenticated, not with claims.

        Raises ``VolumeFileNotFoundError``, ``ObjectMissingError``, ``VolumeTamperedError``.
        """
        with self.open(path) as file:
            return file.read()

    def open(self, path: str) -> VolumeFile:
        """A seekable binary reader. Raises ``VolumeFileNotFoundError``."""
        placed = self._files.get(path)
        if placed is None:
            raise VolumeFileNotFoundError(volume=self.version.volume_id, path=repr(path))
        return VolumeFile(self, placed)

    def extract(self, destination: Path, *, progress: Callable[[int], None] | None = None) -> None:
        """Writes every file below ``destination``, which must not exist yet.

        Where anything is refused, what was written is removed again. The files are plaintext
        on whatever disk that is, and are *not* synced to it.
        Raises ``VolumeExtractError``, ``ObjectMissingError``, ``VolumeTamperedError``.
        """
        try:
            destination.mkdir(mode=0o700)
        except OSError as exc:
            raise VolumeExtractError(path=destination, detail=exc.strerror) from exc
        try:
            for entry in self.entries():
                self._extract(entry, destination / entry.path, progress)
        except BaseException:
            shutil.rmtree(destination, ignore_errors=True)
            raise

    def _extract(
        self, entry: FileEntry, path: Path, progress: Callable[[int], None] | None
    ) -> None:
        buffer = memoryview(bytearray(min(entry.size, _PIECE_BYTES)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self.open(entry.path) as source:
            try:
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                with os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0) as file:
                    while count := source.readinto(buffer):
                        _write_all(file, buffer[:count])
                        if progress is not None:
                            progress(count)
                    os.fchmod(file.fileno(), entry.mode)
            except OSError as exc:
                raise VolumeExtractError(path=path, detail=exc.strerror) from exc

    def verify(self) -> None:
        """Reads and authenticates every chunk. Raises ``VolumeTamperedError`` and the like."""
        buffer = bytearray(self._index.chunk_size)
        for number, ref in enumerate(self._index.segments):
            segment = self._segment(number)
            for chunk in range(ref.chunks):
                segment.decrypt_into(chunk, buffer)

    @property
    def chunk_size(self) -> int:
        """Plaintext bytes per chunk: reads that start and end on multiples are cheapest."""
        return self._index.chunk_size

    def decrypt_chunk_into(self, number: int, target: bytearray | memoryview) -> None:
        """Writes a chunk of the volume's stream to ``target``, of exactly `chunk_size` bytes."""
        position = bisect_right(self._ends, number)
        first = self._ends[position] - self._index.segments[position].chunks
        self._segment(position).decrypt_into(number - first, target)

    def _segment(self, position: int) -> Segment:
        """A verified object, from the cache or the store."""
        with self._lock:
            if position in self._cache:
                self._cache.move_to_end(position)
                return self._cache[position]
            segment = fetch_segment(
                self._store,
                self._index.segments[position],
                key=self._key,
                volume_id=self._index.volume_id,
                kind=Kind.DATA,
                chunk_size=self._index.chunk_size,
            )
            self._cache[position] = segment
            while sum(item.size for item in self._cache.values()) > CACHE_BYTES:
                self._cache.popitem(last=False)
            return segment


class VolumeFile(io.RawIOBase):
    """A file of a volume, read-only and seekable; decrypts only the chunks that are read."""

    def __init__(self, volume: Volume, placed: PlacedFile) -> None:
        super().__init__()
        self._volume = volume
        self._offset = placed.offset
        self._size = placed.entry.size
        self._position = 0
        self._chunk = bytearray(volume.chunk_size)
        self._held = -1
        self.name = placed.entry.path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check_open()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        if whence not in base or base[whence] + offset < 0:
            message = f"cannot seek to {offset} from {whence}"
            raise ValueError(message)
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # no Buffer type before Python 3.12
        """Fills ``buffer`` as far as the file goes; how many bytes that were."""
        self._check_open()
        with memoryview(buffer) as view, view.cast("B") as target:
            wanted = max(0, min(len(target), self._size - self._position))
            done = 0
            while done < wanted:
                count = self._read_some(target[done:wanted])
                done += count
                self._position += count
            return done

    def _read_some(self, target: memoryview) -> int:
        """Bytes from the chunk at the current position, at least one."""
        number, skip = divmod(self._offset + self._position, self._volume.chunk_size)
        count = min(len(target), self._volume.chunk_size - skip)
        if count == self._volume.chunk_size:
            self._volume.decrypt_chunk_into(number, target[:count])
            return count
        if self._held != number:
            self._held = -1
            self._volume.decrypt_chunk_into(number, self._chunk)
            self._held = number
        target[:count] = memoryview(self._chunk)[skip : skip + count]
        return count

    def readall(self) -> bytes:
        pieces = []
        while piece := self.read(_PIECE_BYTES):
            pieces.append(piece)
        return b"".join(pieces)

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, fewer only at the end; all that is left if negative."""
        if size < 0:
            return self.readall()
        self._check_open()
        target = bytearray(max(0, min(size, self._size - self._position)))
        self.readinto(target)
        return bytes(target)

    def _check_open(self) -> None:
        if self.closed:
            message = "the file is closed"
            raise ValueError(message)


def _write_all(file: io.RawIOBase, data: memoryview) -> None:
    while data:
        data = data[file.write(data) or 0 :]
