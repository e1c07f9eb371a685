# SPDX-License-Identifier: Apache-2.0
"""Sealing: a directory tree becomes immutable objects, one commit, and last of all a head."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from accord.errors import VolumeSourceError
from accord.volumes._commit import Commit, VolumeVersion, head_to_bytes
from accord.volumes._index import (
    EXECUTABLE_MODE,
    PLAIN_MODE,
    FileEntry,
    Index,
    PlacedFile,
    path_flaw,
    sort_key,
)
from accord.volumes._key import Entropy, VolumeId, VolumeKey, key_commitment
from accord.volumes._objects import ObjectStore
from accord.volumes._segment import (
    MAX_OBJECT_BYTES,
    PAD_BYTES,
    SEGMENT_BYTES,
    Kind,
    SegmentWriter,
    is_chunk_size,
)

INDEX_CHUNK_BYTES = 65536
"""Chunk size of every index object; a reader needs it before it knows anything else."""

Progress = Callable[[int], None]
"""Is told, now and then, how many more plaintext bytes are done."""


def seal_volume(
    source: Path,
    store: ObjectStore,
    *,
    key: VolumeKey,
    volume_id: VolumeId,
    parent: VolumeVersion | None,
    chunk_size: int = 65536,
    progress: Progress | None = None,
    segment_bytes: int = SEGMENT_BYTES,
    entropy: Entropy = os.urandom,
) -> VolumeVersion:
    """A new version that holds the file or directory tree ``source``, encrypted in ``store``.

    Memory is bounded by two objects of ``segment_bytes`` plus the index. The head moves last:
    killed at any moment, the store still shows the version before. Whether ``parent`` is the
    latest version is *not* checked; the trust service does, when the new tag is registered.
    Empty directories, owners, times and modes other than the executable bit are not kept.

    Raises ``VolumeSourceError``, ``StoreError``, ``VolumeTamperedError``, ``TooLargeError``.
    """
    _check_arguments(volume_id, parent, chunk_size, segment_bytes)
    writer = partial(SegmentWriter, store, key=key, volume_id=volume_id, entropy=entropy)
    # (1) Data objects.
    data = writer(kind=Kind.DATA, chunk_size=chunk_size, segment_bytes=segment_bytes)
    files = tuple(_append(data, name, path, chunk_size, progress) for name, path in _walk(source))
    data.finish()
    # (2) The index, which names them, in one object.
    index = Index(
        volume_id=volume_id,
        sequence=1 if parent is None else parent.sequence + 1,
        parent=None if parent is None else parent.tag,
        chunk_size=chunk_size,
        segments=tuple(data.refs),
        files=files,
    )
    table = writer(kind=Kind.INDEX, chunk_size=INDEX_CHUNK_BYTES, segment_bytes=MAX_OBJECT_BYTES)
    table.write(index.to_bytes())
    table.finish()
    # (3) The commit, which names the index; its digest is the tag.
    commit = Commit(
        volume_id=volume_id,
        sequence=index.sequence,
        parent=index.parent,
        index=table.refs[0].digest,
        key_commitment=key_commitment(key, volume_id=volume_id),
    )
    store.put(commit.tag.removeprefix("sha256:"), commit.to_bytes())
    # (4) Only when all of that is durable does the head name it.
    store.write_head(head_to_bytes(commit.tag))
    return version_of(commit, index)


def _check_arguments(
    volume_id: VolumeId, parent: VolumeVersion | None, chunk_size: int, segment_bytes: int
) -> None:
    if parent is not None and parent.volume_id != volume_id:
        message = f"parent is a version of {parent.volume_id}, not of {volume_id}"
        raise RuntimeError(message)
    if not is_chunk_size(chunk_size) or not _least(chunk_size) <= segment_bytes <= MAX_OBJECT_BYTES:
        message = f"not sizes of this format: {chunk_size=}, {segment_bytes=}"
        raise RuntimeError(message)


def _least(chunk_size: int) -> int:
    """The smallest object size to ask for: room for the least padding unit."""
    return 2 * max(chunk_size, PAD_BYTES)


def version_of(commit: Commit, index: Index) -> VolumeVersion:
    """What is told about a version."""
    return VolumeVersion(
        volume_id=commit.volume_id,
        tag=commit.tag,
        sequence=commit.sequence,
        parent=commit.parent,
        key_commitment=commit.key_commitment,
        index=commit.index,
        files=len(index.files),
        size=index.size,
    )


def _walk(source: Path) -> Iterator[tuple[str, Path]]:
    """Every file below ``source`` with its name in the volume, in the order of the index."""
    try:
        mode = source.lstat().st_mode
        if stat.S_ISDIR(mode):
            found = dict(_scan(source, ""))
        else:
            _require_kind(mode, source)
            found = {source.name: source}
    except OSError as exc:
        raise _unreadable(source, exc) from exc
    for name, path in found.items():
        flaw = path_flaw(name)
        if flaw is not None:
            raise VolumeSourceError(path=repr(str(path)), detail=flaw)
    return iter(sorted(found.items(), key=lambda item: sort_key(item[0])))


def _scan(directory: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    pending = [(directory, prefix)]
    while pending:
        here, before = pending.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                name, path = before + entry.name, here / entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append((path, name + "/"))
                    continue
                _require_kind(entry.stat(follow_symlinks=False).st_mode, path)
                yield name, path


def _require_kind(mode: int, path: Path) -> None:
    """Raises ``VolumeSourceError`` for whatever is not a regular file."""
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
        raise VolumeSourceError(path=path, detail=f"it is {kind}")


def _unreadable(path: Path, exc: OSError) -> VolumeSourceError:
    return VolumeSourceError(path=path, detail=f"it cannot be read: {exc.strerror}")


def _append(
    data: SegmentWriter, name: str, path: Path, chunk_size: int, progress: Progress | None
) -> PlacedFile:
    """Encrypts one file; refuses it where it changes meanwhile."""
    try:
        # The file may have been replaced since the walk: no link is followed, no pipe waited on.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            _require_kind(before.st_mode, path)
            # A file that fills a chunk starts with one, so that reading a chunk of it
            # decrypts one; smaller files are packed without gaps.
            if before.st_size >= chunk_size:
                data.align()
            offset = data.position
            while count := data.fill(lambda target: file.readinto(target) or 0):
                if progress is not None:
                    progress(count)
                if data.position - offset > before.st_size:
                    break
            after = os.fstat(file.fileno())
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    size = data.position - offset
    if size != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise VolumeSourceError(path=path, detail="it changed while being sealed")
    mode = EXECUTABLE_MODE if before.st_mode & stat.S_IXUSR else PLAIN_MODE
    return PlacedFile(FileEntry(name, size, mode), offset)
