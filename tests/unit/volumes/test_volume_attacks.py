# SPDX-License-Identifier: Apache-2.0
"""What a store can do to a sealed volume, and how each of it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accord.encoding import Digest
from accord.errors import (
    AccordError,
    ExitCode,
    ObjectMissingError,
    RollbackError,
    VolumeForkError,
    VolumeTamperedError,
    WrongVolumeError,
    WrongVolumeKeyError,
)
from accord.volumes import VolumeId, VolumeKey, VolumeVersion, open_volume, verify_volume

Sealed = tuple[Any, VolumeVersion]
KINDS = ("commit", "index", "data-first", "data-last")


def name_of(kind: str, bench: Any, version: VolumeVersion) -> str:
    """The object of that kind."""
    names: dict[str, str] = {
        "commit": version.tag.removeprefix("sha256:"),
        "index": version.index.removeprefix("sha256:"),
        "data-first": bench.segments(version)[0],
        "data-last": bench.segments(version)[-1],
    }
    return names[kind]


def verify(bench: Any, version: VolumeVersion) -> VolumeVersion:
    return verify_volume(bench.store, key=bench.key, volume_id=bench.volume_id, tag=version.tag)


def flip(position: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = int(position * (len(data) - 1))
        return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]

    return change


MUTATIONS: dict[str, Callable[[bytes], bytes]] = {
    "flip-first": flip(0),
    "flip-middle": flip(0.5),
    "flip-last": flip(1),
    "truncate-byte": lambda data: data[:-1],
    "truncate-chunk": lambda data: data[: -(4096 + 16)],
    "truncate-all": lambda _: b"",
    "append": lambda data: data + b"\0",
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_changed_object_is_refused(sealed: Sealed, kind: str, mutation: str) -> None:
    """No byte of any object can be changed, removed or added."""
    bench, version = sealed
    name = name_of(kind, bench, version)
    bench.store.objects[name] = MUTATIONS[mutation](bench.store.objects[name])
    with pytest.raises(VolumeTamperedError):
        verify(bench, version)


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_object_is_refused(sealed: Sealed, kind: str) -> None:
    """A missing object is reported as missing, not as changed."""
    bench, version = sealed
    del bench.store.objects[name_of(kind, bench, version)]
    with pytest.raises(ObjectMissingError):
        verify(bench, version)


@pytest.mark.parametrize("kind", KINDS)
def test_inflated_object_is_refused_before_it_is_read(
    sealed: Sealed, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit given to the store is the exact size wherever that is known."""
    bench, version = sealed
    name = name_of(kind, bench, version)
    size, limits, get = len(bench.store.objects[name]), [], bench.store.get

    def recording(asked: str, *, limit: int) -> bytes:
        if asked == name:
            limits.append(limit)
        found: bytes = get(asked, limit=limit)
        return found

    monkeypatch.setattr(bench.store, "get", recording)
    verify(bench, version)
    assert max(limits) <= {"commit": 4096, "index": 64 << 20}.get(kind, size)


def test_swapped_objects_are_refused(sealed: Sealed) -> None:
    """Two data objects cannot take each other's place."""
    bench, version = sealed
    first, second = bench.segments(version)[:2]
    objects = bench.store.objects
    objects[first], objects[second] = objects[second], objects[first]
    with pytest.raises(VolumeTamperedError):
        verify(bench, version)


def test_duplicated_object_is_refused(sealed: Sealed) -> None:
    """One data object cannot stand for another."""
    bench, version = sealed
    first, second = bench.segments(version)[:2]
    bench.store.objects[second] = bench.store.objects[first]
    with pytest.raises(VolumeTamperedError):
        verify(bench, version)


def test_index_cannot_pose_as_data(sealed: Sealed) -> None:
    """Kinds are authenticated: an index that names itself as data is refused."""
    bench, _ = sealed
    index = bench.segment(b"x" * 70_000, chunk_size=65536)
    tag = bench.commit(index[0]["digest"])
    with pytest.raises(VolumeTamperedError, match="header"):
        bench.open(tag)


def chunk(data: bytes | bytearray, number: int) -> slice:
    start = 48 + number * (4096 + 16)
    return slice(start, start + 4096 + 16)


def rename(bench: Any, data: bytes) -> dict[str, object]:
    """How an index names changed bytes, so that only the AEAD stands against them."""
    return {"digest": bench.put(data), "chunks": (len(data) - 48) // (4096 + 16)}


def forged_object(bench: Any, change: Callable[[bytearray], None]) -> Digest:
    """The tag of a version whose index names a data object after ``change``."""
    ref = bench.segment(bytes(range(256)) * 256)[0]
    data = bytearray(bench.store.objects[ref["digest"].removeprefix("sha256:")])
    change(data)
    file = {"path": "f", "size": 4096, "offset": 0, "executable": False}
    return Digest(bench.forge(segments=[rename(bench, bytes(data))], files=[file]))


def swap_chunks(data: bytearray) -> None:
    data[chunk(data, 0)], data[chunk(data, 1)] = data[chunk(data, 1)], data[chunk(data, 0)]


def repeat_chunk(data: bytearray) -> None:
    data[chunk(data, 0)] = data[chunk(data, 1)]


def drop_last_chunk(data: bytearray) -> None:
    del data[-(4096 + 16) :]


def drop_first_chunk(data: bytearray) -> None:
    del data[chunk(data, 0)]


def append_chunk(data: bytearray) -> None:
    data += data[chunk(data, 0)]


def change_salt(data: bytearray) -> None:
    data[20] ^= 1


@pytest.mark.parametrize(
    "change",
    [swap_chunks, repeat_chunk, drop_last_chunk, drop_first_chunk, append_chunk, change_salt],
)
def test_chunks_are_bound_to_their_place(bench: Any, change: Callable[[bytearray], None]) -> None:
    """Even where digests were made to match, the AEAD refuses moved, dropped or added chunks."""
    tag = forged_object(bench, change)
    with pytest.raises(VolumeTamperedError, match="does not authenticate"):
        verify_volume(bench.store, key=bench.key, volume_id=bench.volume_id, tag=tag)


@pytest.mark.parametrize("at", [0, 7, 8, 9, 10, 11, 12, 13, 15])
def test_changed_header_is_refused(bench: Any, at: int) -> None:
    """Magic, version, algorithm, kind, reserved bytes and chunk size have one value each."""

    def change(data: bytearray) -> None:
        data[at] ^= 0x10

    tag = forged_object(bench, change)
    with pytest.raises(VolumeTamperedError, match="header"):
        bench.open(tag).read("f")


def test_object_of_another_volume_is_refused(bench: Any) -> None:
    """The same key in two volumes: an object of one does not decrypt in the other."""
    mine = bench.volume_id
    bench.volume_id = VolumeId("vol-" + "2" * 32)
    ref = bench.segment(b"other volume" * 10)
    bench.volume_id = mine
    file = {"path": "f", "size": 10, "offset": 0, "executable": False}
    tag = bench.forge(segments=ref, files=[file])
    with pytest.raises(VolumeTamperedError, match="does not authenticate"):
        bench.open(tag).read("f")


def test_whole_other_volume_is_refused(sealed: Sealed) -> None:
    """A store that shows another volume of the same key is told apart from tampering."""
    bench, version = sealed
    mine = bench.volume_id
    bench.volume_id = VolumeId("vol-" + "2" * 32)
    other = bench.seal()
    bench.volume_id = mine
    with pytest.raises(WrongVolumeError):
        verify(bench, version)
    with pytest.raises(WrongVolumeError):
        bench.open(other.tag)


def test_older_head_is_rollback(sealed: Sealed) -> None:
    """A store whose head was set back is refused, though the trusted objects are there."""
    bench, first = sealed
    head = bench.store.head
    second = bench.seal(first)
    assert verify(bench, second) == second
    bench.store.head = head
    with pytest.raises(RollbackError) as caught:
        verify(bench, second)
    assert caught.value.details["found"] == 1
    assert caught.value.details["expected"] == 2


def test_older_snapshot_is_rollback(sealed: Sealed) -> None:
    """A store restored as a whole from a backup is refused as a rollback."""
    bench, first = sealed
    objects, head = dict(bench.store.objects), bench.store.head
    second = bench.seal(first)
    bench.store.objects, bench.store.head = objects, head
    with pytest.raises(RollbackError):
        verify(bench, second)
    assert verify(bench, first) == first


def test_unregistered_newer_head_does_not_hide_the_trusted_version(
    sealed: Sealed, files: dict[str, bytes]
) -> None:
    """A sealer that died before registering its tag leaves the version before readable."""
    bench, first = sealed
    bench.fill({"run.py": b"changed"})
    bench.seal(first)
    assert bench.open(first.tag).read("run.py") == files["run.py"]


def test_fork_is_refused(sealed: Sealed) -> None:
    """Two successors of one version are told apart from a rollback."""
    bench, first = sealed
    trusted = bench.seal(first)
    bench.seal(first)
    with pytest.raises(VolumeForkError):
        verify(bench, trusted)


@pytest.mark.parametrize(
    "head", [b"", b"\n", b"junk\n", b"sha256:" + b"0" * 64, b"sha256:" + b"0" * 64 + b"\n", b"\xff"]
)
def test_damaged_head_is_tampering(sealed: Sealed, head: bytes) -> None:
    """A head that leads nowhere is neither a rollback nor a crash."""
    bench, version = sealed
    bench.store.head = head
    with pytest.raises(VolumeTamperedError):
        verify(bench, version)


def test_head_that_names_no_commit_is_tampering(sealed: Sealed) -> None:
    """A head may name an object that is not a commit."""
    bench, version = sealed
    bench.store.head = bench.put(b"{}").encode() + b"\n"
    with pytest.raises(VolumeTamperedError):
        verify(bench, version)


def test_missing_head_is_refused(sealed: Sealed) -> None:
    """An emptied store has no head."""
    bench, version = sealed
    bench.store.head = None
    with pytest.raises(ObjectMissingError, match="head"):
        verify(bench, version)


def test_head_is_never_trusted(sealed: Sealed) -> None:
    """A newer version that the store made up is not opened in place of the trusted one."""
    bench, first = sealed
    bench.commit(first.index, sequence=9, parent=first.tag)
    assert bench.open(first.tag).version == first


def test_wrong_key_is_told_apart(sealed: Sealed) -> None:
    """A wrong key is refused by the commitment, with its own code, before any decryption."""
    bench, version = sealed
    with pytest.raises(WrongVolumeKeyError) as caught:
        open_volume(
            bench.store, key=VolumeKey(b"x" * 32), volume_id=bench.volume_id, tag=version.tag
        )
    assert caught.value.exit_code == ExitCode.DENIED


def test_wrong_volume_id_is_told_apart(sealed: Sealed) -> None:
    """The tag of one volume under the id of another is refused."""
    bench, version = sealed
    with pytest.raises(WrongVolumeError):
        open_volume(
            bench.store, key=bench.key, volume_id=VolumeId("vol-" + "9" * 32), tag=version.tag
        )


def test_index_of_another_version_is_refused(sealed: Sealed) -> None:
    """Somebody with the key cannot give an old index a new number."""
    bench, first = sealed
    tag = bench.commit(first.index, sequence=2, parent=first.tag)
    with pytest.raises(VolumeTamperedError, match="another version"):
        bench.open(tag)


def test_codes_and_exit_codes_differ() -> None:
    """Scripts can tell tampering, rollback and a wrong key apart."""
    classes: list[type[AccordError]] = [
        VolumeTamperedError, RollbackError, VolumeForkError, ObjectMissingError,
    ]  # fmt: skip
    assert len({item.code for item in classes}) == 4
    assert {item.exit_code for item in classes} == {ExitCode.INTEGRITY}


def test_stored_bytes_show_nothing_of_the_plaintext(tmp_path: Path, bench: Any) -> None:
    """No 16 bytes of any file and no file name occur in anything that the store sees."""
    secret = hashlib.shake_256(b"plaintext").digest(30_000) + b"the patient is called Q." * 50
    bench.fill({"cardiology/patient-4711.dcm": secret, "consent-form.txt": secret[::-1]})
    version = bench.seal()
    stored = b"".join(bench.store.objects.values()) + (bench.store.head or b"")
    windows = {stored[at : at + 16] for at in range(len(stored) - 15)}
    found = [at for at in range(len(secret) - 15) if secret[at : at + 16] in windows]
    assert found == []
    for word in (b"cardiology", b"4711", b"patient", b"consent", b".dcm", bench.key.raw[:8]):
        assert word not in stored
    assert verify(bench, version).files == 2


def test_shape_of_the_tree_does_not_show(bench: Any, tmp_path: Path) -> None:
    """Volumes that differ in names, number and sizes of files have objects of equal sizes."""
    bench.fill({f"many/{number}": b"x" * number for number in range(300)})
    bench.seal()
    many = sorted(len(data) for data in bench.store.objects.values())
    for path in sorted(bench.source.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    bench.store.objects.clear()
    bench.fill({"one": b"y" * 50_000})
    bench.seal()
    assert sorted(len(data) for data in bench.store.objects.values()) == many
