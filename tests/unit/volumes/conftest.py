# SPDX-License-Identifier: Apache-2.0
"""A small volume of several objects, and tools to forge one."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accord.encoding import Digest, canonical_json
from accord.volumes import (
    MemoryStore,
    Volume,
    VolumeId,
    VolumeKey,
    VolumeVersion,
    open_volume,
    seal_volume,
)
from accord.volumes._commit import Commit, head_to_bytes
from accord.volumes._key import key_commitment
from accord.volumes._segment import MAX_OBJECT_BYTES, Kind, SegmentWriter

CHUNK = 4096
SEGMENT = 2 * 65536
VOLUME = VolumeId("vol-" + "1" * 32)


@dataclass
class Bench:
    """A key, an id, a store, and the versions sealed so far."""

    source: Path
    key: VolumeKey = field(default_factory=lambda: VolumeKey(b"k" * 32))
    volume_id: VolumeId = VOLUME
    store: MemoryStore = field(default_factory=MemoryStore)

    def fill(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def seal(self, parent: VolumeVersion | None = None, **kwargs: Any) -> VolumeVersion:
        options: dict[str, Any] = {"chunk_size": CHUNK, "segment_bytes": SEGMENT} | kwargs
        return seal_volume(
            self.source,
            self.store,
            key=self.key,
            volume_id=self.volume_id,
            parent=parent,
            **options,
        )

    def open(self, tag: Digest) -> Volume:
        return open_volume(self.store, key=self.key, volume_id=self.volume_id, tag=tag)

    def segments(self, version: VolumeVersion) -> list[str]:
        """The names of the data objects, in the order of the index."""
        index = self.open(version.tag)._index
        return [item.digest.removeprefix("sha256:") for item in index.segments]

    def segment(self, data: bytes, kind: Kind = Kind.DATA, chunk_size: int = CHUNK) -> list[Any]:
        """Objects with that plaintext, put in the store; how an index refers to them."""
        writer = SegmentWriter(
            self.store,
            key=self.key,
            volume_id=self.volume_id,
            kind=kind,
            chunk_size=chunk_size,
            segment_bytes=MAX_OBJECT_BYTES,
            entropy=os.urandom,
        )
        writer.write(data)
        writer.finish()
        return [{"digest": item.digest, "chunks": item.chunks} for item in writer.refs]

    def put(self, data: bytes) -> Digest:
        name = hashlib.sha256(data).hexdigest()
        self.store.put(name, data)
        return Digest("sha256:" + name)

    def commit(self, index: Digest, **changes: Any) -> Digest:
        """Publishes a first version with that index object; its tag."""
        values: dict[str, Any] = {
            "volume_id": self.volume_id,
            "sequence": 1,
            "parent": None,
            "index": index,
            "key_commitment": key_commitment(self.key, volume_id=self.volume_id),
        }
        tag = self.put(Commit(**(values | changes)).to_bytes())
        self.store.write_head(head_to_bytes(tag))
        return tag

    def forge(self, **changes: Any) -> Digest:
        """Publishes a version as a dishonest sealer would, with any index; its tag."""
        document: dict[str, Any] = {
            "schema": "accord.volume-index.v1",
            "volume_id": self.volume_id,
            "sequence": 1,
            "chunk_size": CHUNK,
            "segments": [],
            "files": [],
        }
        return self.forge_bytes(canonical_json(document | changes))

    def forge_bytes(self, document: bytes, length: int | None = None, rest: bytes = b"") -> Digest:
        size = len(document) if length is None else length
        plaintext = size.to_bytes(8, "big") + document + rest
        return self.commit(self.segment(plaintext, Kind.INDEX, 65536)[0]["digest"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty source directory and an empty store."""
    source = tmp_path / "source"
    source.mkdir()
    return Bench(source)


FILES = {
    "images/ct-0001.dcm": bytes(range(256)) * 500,
    "images/ct-0002.dcm": b"\x07\x01" * 50_000,
    "labels.csv": b"patient,label\n" * 20,
    "run.py": b"print('hello')\n",
    "zero": b"",
}


@pytest.fixture
def files() -> dict[str, bytes]:
    return dict(FILES)


@pytest.fixture
def sealed(bench: Bench, files: dict[str, bytes]) -> tuple[Bench, VolumeVersion]:
    """A volume of four data objects with one version."""
    bench.fill(files)
    return bench, bench.seal()
