# SPDX-License-Identifier: Apache-2.0
"""Sealing, sealing again, opening, damaging and setting back, against a model in memory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from accord.errors import ObjectMissingError, RollbackError, VolumeError, VolumeTamperedError
from accord.volumes import (
    FileEntry,
    MemoryStore,
    VolumeId,
    VolumeKey,
    VolumeVersion,
    open_volume,
    seal_volume,
    verify_volume,
)

KEY = VolumeKey(b"s" * 32)
VOLUME = VolumeId("vol-" + "5" * 32)
NAMES = ["a", "b", "dir/c", "dir/sub/d", "e.bin"]
SIZES = [0, 1, 4095, 4096, 4097, 65_536, 70_000]


class Volumes(RuleBasedStateMachine):
    """The model is a dictionary of files per version, and the registered tags in order."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = MemoryStore()
        self.files: dict[str, bytes] = {}
        self.registered: list[tuple[VolumeVersion, dict[str, bytes]]] = []
        self.snapshots: list[tuple[dict[str, bytes], bytes | None]] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(name=st.sampled_from(NAMES), size=st.sampled_from(SIZES), byte=st.integers(0, 255))
    def write(self, name: str, size: int, byte: int) -> None:
        self.files[name] = bytes((byte,)) * size
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.files[name])

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        if self.files.pop(name, None) is not None:
            (self.folder / name).unlink()

    def seal(self) -> VolumeVersion:
        parent = self.registered[-1][0] if self.registered else None
        return seal_volume(
            self.folder,
            self.store,
            key=KEY,
            volume_id=VOLUME,
            parent=parent,
            chunk_size=4096,
            segment_bytes=1 << 17,
        )

    @rule()
    def seal_and_register(self) -> None:
        self.snapshots.append((dict(self.store.objects), self.store.head))
        self.registered.append((self.seal(), dict(self.files)))

    @rule()
    def seal_and_die_before_registering(self) -> None:
        """The head is ahead; the registered version must still open (see the invariant)."""
        self.seal()

    @rule(count=st.integers(0, 3))
    def die_while_sealing(self, count: int) -> None:
        """Some objects are written, the head is not."""
        before, head = set(self.store.objects), self.store.head
        self.seal()
        self.store.head = head
        for name in [name for name in self.store.objects if name not in before][count:]:
            del self.store.objects[name]

    @precondition(lambda self: len(self.registered) > 1)
    @rule(back=st.integers(1, 5), whole=st.booleans())
    def roll_back(self, back: int, *, whole: bool) -> None:
        """The store shows an older state: refused, and afterwards nothing is lost."""
        now = (dict(self.store.objects), self.store.head)
        objects, head = self.snapshots[-min(back, len(self.snapshots) - 1)]
        older = [version.tag.encode() + b"\n" for version, _ in self.registered[:-1]]
        self.store.head = head
        if whole:
            self.store.objects = dict(objects)
        if head in older:
            with pytest.raises(RollbackError):
                self.open()
        elif whole:
            with pytest.raises(VolumeError):
                self.open()
        self.store.objects, self.store.head = now

    @precondition(lambda self: self.registered)
    @rule(data=st.data(), drop=st.booleans())
    def damage(self, data: st.DataObject, *, drop: bool) -> None:
        """One object of the registered version is changed or dropped: refused."""
        version, _ = self.registered[-1]
        index = self.open_index()
        names = [version.tag, version.index, *index]
        name = data.draw(st.sampled_from(names)).removeprefix("sha256:")
        kept = self.store.objects[name]
        if drop:
            del self.store.objects[name]
        else:
            at = data.draw(st.integers(0, len(kept) - 1))
            self.store.objects[name] = kept[:at] + bytes((kept[at] ^ 1,)) + kept[at + 1 :]
        with pytest.raises((ObjectMissingError, VolumeTamperedError, RollbackError)):
            verify_volume(self.store, key=KEY, volume_id=VOLUME, tag=version.tag)
        self.store.objects[name] = kept

    def open(self) -> tuple[FileEntry, ...]:
        version, _ = self.registered[-1]
        return open_volume(self.store, key=KEY, volume_id=VOLUME, tag=version.tag).entries()

    def open_index(self) -> list[str]:
        version, _ = self.registered[-1]
        volume = open_volume(self.store, key=KEY, volume_id=VOLUME, tag=version.tag)
        return [item.digest for item in volume._index.segments]

    @invariant()
    def registered_version_opens(self) -> None:
        if not getattr(self, "registered", None):
            return
        version, files = self.registered[-1]
        volume = open_volume(self.store, key=KEY, volume_id=VOLUME, tag=version.tag)
        assert {item.path: volume.read(item.path) for item in volume.entries()} == files
        assert version.sequence == len(self.registered)


Volumes.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
test_volumes_agree_with_the_model = Volumes.TestCase
