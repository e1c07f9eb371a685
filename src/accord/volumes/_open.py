# SPDX-License-Identifier: Apache-2.0
"""Opening a volume by a trusted tag, out of a store that nobody trusts."""

from __future__ import annotations

from accord.encoding import Digest, sha256
from accord.errors import (
    EncodingError,
    ObjectMissingError,
    RollbackError,
    VolumeForkError,
    VolumeTamperedError,
    WrongVolumeError,
    WrongVolumeKeyError,
)
from accord.volumes._commit import MAX_COMMIT_BYTES, Commit, VolumeVersion, head_from_bytes
from accord.volumes._index import MAX_INDEX_BYTES, Index
from accord.volumes._key import VolumeId, VolumeKey, key_commitment
from accord.volumes._objects import ObjectStore
from accord.volumes._seal import INDEX_CHUNK_BYTES, version_of
from accord.volumes._segment import Kind, fetch_segment, object_bytes
from accord.volumes._volume import Volume

_MAX_INDEX_OBJECT_BYTES = object_bytes(MAX_INDEX_BYTES // INDEX_CHUNK_BYTES + 1, INDEX_CHUNK_BYTES)


def open_volume(store: ObjectStore, *, key: VolumeKey, volume_id: VolumeId, tag: Digest) -> Volume:
    """The version that ``tag`` names; ``tag`` comes from the trust service, never the store.

    Data objects are *not* read yet, see `Volume`. A head that is ahead of ``tag`` is accepted:
    that version was sealed, but its tag is not registered, and nothing of it is used.

    Raises ``ObjectMissingError``, ``VolumeTamperedError``, ``RollbackError``,
    ``VolumeForkError``, ``WrongVolumeError``, ``WrongVolumeKeyError``, ``StoreError``, or what
    reading a malformed document raises (only whoever held the key can have made one).
    """
    # (1) The store shows the trusted version as its latest (spec section 7).
    _check_head(store, volume_id, tag)
    # (2) The commit has the trusted digest.
    data = _commit_bytes(store, tag)
    if data is None:
        raise ObjectMissingError(what=f"commit {tag}")
    commit = Commit.from_bytes(data)
    # (3) It is of this volume, and (4) this key and no other opens it.
    if commit.volume_id != volume_id:
        raise WrongVolumeError(found=commit.volume_id, expected=volume_id)
    if commit.key_commitment != key_commitment(key, volume_id=volume_id):
        raise WrongVolumeKeyError(volume=volume_id)
    # (5) The index has the digest in the commit, and every chunk of it authenticates.
    index = Index.from_bytes(_index_bytes(store, commit, key))
    # (6) Index and commit describe the same version.
    if (index.volume_id, index.sequence, index.parent) != (
        commit.volume_id,
        commit.sequence,
        commit.parent,
    ):
        raise VolumeTamperedError(what=f"commit {tag}", detail="its index is of another version")
    return Volume(store, key=key, version=version_of(commit, index), index=index)


def verify_volume(
    store: ObjectStore, *, key: VolumeKey, volume_id: VolumeId, tag: Digest
) -> VolumeVersion:
    """The version that ``tag`` names, after reading and authenticating every chunk of it.

    Raises what `open_volume` raises.
    """
    volume = open_volume(store, key=key, volume_id=volume_id, tag=tag)
    volume.verify()
    return volume.version


def _commit_bytes(store: ObjectStore, tag: Digest) -> bytes | None:
    """The commit of that digest, ``None`` where the store has none."""
    try:
        data = store.get(tag.removeprefix("sha256:"), limit=MAX_COMMIT_BYTES)
    except ObjectMissingError:
        return None
    if sha256(data) != tag:
        raise VolumeTamperedError(what=f"commit {tag}", detail="its bytes do not have its digest")
    return data


def _index_bytes(store: ObjectStore, commit: Commit, key: VolumeKey) -> bytes:
    segment = fetch_segment(
        store,
        commit.index,
        key=key,
        volume_id=commit.volume_id,
        kind=Kind.INDEX,
        chunk_size=INDEX_CHUNK_BYTES,
        limit=_MAX_INDEX_OBJECT_BYTES,
    )
    plaintext = bytearray(segment.chunks * INDEX_CHUNK_BYTES)
    with memoryview(plaintext) as whole:
        for number in range(segment.chunks):
            start = number * INDEX_CHUNK_BYTES
            with whole[start : start + INDEX_CHUNK_BYTES] as target:
                segment.decrypt_into(number, target)
    return bytes(plaintext)


def _check_head(store: ObjectStore, volume_id: VolumeId, tag: Digest) -> None:
    """Returns if the head is ``tag`` or ahead of it, else says what the store did.

    A commit found through the head is not authenticated: it only chooses between refusals,
    or lets the trusted version be opened, whose bytes the tag alone determines.
    """
    head = store.read_head()
    if head is None:
        raise ObjectMissingError(what="head")
    try:
        shown = head_from_bytes(head)
        if shown == tag:
            return
        data = _commit_bytes(store, shown)
        if data is None:
            raise VolumeTamperedError(what="the head", detail="it names a commit that is not there")
        found = Commit.from_bytes(data)
    except EncodingError as exc:
        raise VolumeTamperedError(what="the head", detail=str(exc)) from exc
    if found.volume_id != volume_id:
        raise WrongVolumeError(found=found.volume_id, expected=volume_id)
    trusted = _commit_bytes(store, tag)
    # A store that was set back as a whole does not even hold the trusted commit.
    if trusted is None:
        raise RollbackError(found=found.sequence, volume=volume_id, expected=tag)
    expected = Commit.from_bytes(trusted).sequence
    if found.sequence < expected:
        raise RollbackError(found=found.sequence, volume=volume_id, expected=expected)
    if found.sequence == expected:
        raise VolumeForkError(found=shown, volume=volume_id, expected=tag)
