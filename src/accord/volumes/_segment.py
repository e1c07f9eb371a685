# SPDX-License-Identifier: Apache-2.0
"""Encrypted objects: a header, then chunks of one size (docs/spec/volume.md, section 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from accord.encoding import Digest
from accord.errors import VolumeTamperedError
from accord.volumes._key import Entropy, VolumeId, VolumeKey, object_key, volume_id_bytes
from accord.volumes._objects import ObjectStore

MAGIC = b"ACCORDV1"
ALGORITHM_ID = 1
"""AES-256-GCM with a 96-bit counter nonce and a 128-bit tag."""

SALT_BYTES = 32
HEADER_BYTES = 48
TAG_BYTES = 16
NONCE_BYTES = 12

MIN_CHUNK_BYTES = 4096
MAX_CHUNK_BYTES = 1 << 20
PAD_BYTES = 65536
"""Plaintext is padded to a multiple of this, so that object sizes tell less about file sizes."""

MAX_OBJECT_BYTES = 64 << 20
"""Largest object read: what a reader must hold in memory at once."""

SEGMENT_BYTES = 16 << 20
"""Largest object written unless asked otherwise. A reader fetches and hashes whole objects
before it believes a byte, so this is the cost of the first random read: about 10 ms."""


class Kind(IntEnum):
    """What an object holds; authenticated, so that neither can pose as the other."""

    DATA = 1
    INDEX = 2


def is_chunk_size(value: int) -> bool:
    """Whether ``value`` is a power of two from 4 KiB to 1 MiB."""
    return MIN_CHUNK_BYTES <= value <= MAX_CHUNK_BYTES and value & (value - 1) == 0


def object_bytes(chunks: int, chunk_size: int) -> int:
    """The exact size of an object with that many chunks."""
    return HEADER_BYTES + chunks * (chunk_size + TAG_BYTES)


def _pad_chunks(chunk_size: int) -> int:
    return max(1, PAD_BYTES // chunk_size)


def chunks_per_object(limit: int, chunk_size: int) -> int:
    """The most chunks in an object of at most ``limit`` bytes, in whole padding units."""
    unit = _pad_chunks(chunk_size)
    return max(1, (limit - HEADER_BYTES) // (chunk_size + TAG_BYTES) // unit) * unit


def _header(kind: Kind, chunk_size: int, salt: bytes) -> bytes:
    return MAGIC + bytes((ALGORITHM_ID, kind, 0, 0)) + chunk_size.to_bytes(4, "big") + salt


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")


def _aad(bound: bytes, number: int, chunk_size: int, *, last: bool) -> bytes:
    return bound + number.to_bytes(8, "big") + bytes((last,)) + chunk_size.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """One object as the index names it: the digest of its ciphertext, and its chunk count."""

    digest: Digest
    chunks: int


class SegmentWriter:
    """Encrypts a stream of bytes into as many objects as it needs; holds one at a time."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        key: VolumeKey,
        volume_id: VolumeId,
        kind: Kind,
        chunk_size: int,
        segment_bytes: int,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._key = key
        self._volume_id = volume_id
        self._kind = kind
        self._chunk_size = chunk_size
        self._capacity = chunks_per_object(segment_bytes, chunk_size)
        self._entropy = entropy
        self._chunk = memoryview(bytearray(chunk_size))
        self._next = memoryview(bytearray(chunk_size))
        self._filled = 0
        self._object = bytearray()
        self._size = 0
        self._digest = hashlib.sha256()
        self._chunks = 0
        self._cipher: AESGCM | None = None
        self._bound = b""
        self.position = 0
        """Bytes written so far, padding between files included."""
        self.refs: list[SegmentRef] = []

    def fill(self, read_into: Callable[[memoryview], int]) -> int:
        """Lets ``read_into`` write into the free part of the chunk; what it returned."""
        if self._filled < self._chunk_size:
            count = read_into(self._chunk[self._filled :])
            self._filled += count
        else:
            # A full chunk waits until more has come, because the last one is marked as such.
            count = read_into(self._next)
            if count:
                self._flush(last=self._chunks + 1 == self._capacity)
                self._chunk, self._next = self._next, self._chunk
                self._filled = count
        self.position += count
        return count

    def write(self, data: bytes) -> None:
        """Appends ``data``."""
        left = memoryview(data)

        def copy(target: memoryview) -> int:
            count = min(len(target), len(left))
            target[:count] = left[:count]
            return count

        while left:
            left = left[self.fill(copy) :]

    def align(self) -> None:
        """Appends zeros up to the next chunk boundary."""
        self.write(bytes(-self.position % self._chunk_size))

    def finish(self) -> None:
        """Pads with zeros and publishes the last object."""
        if self.position == 0:
            return
        self.align()
        unit = _pad_chunks(self._chunk_size)
        self.write(bytes((-(self._chunks + 1) % unit) * self._chunk_size))
        self._flush(last=True)

    def _flush(self, *, last: bool) -> None:
        if self._cipher is None:
            salt = self._entropy(SALT_BYTES)
            header = _header(self._kind, self._chunk_size, salt)
            secret = object_key(self._key, volume_id=self._volume_id, salt=salt)
            self._cipher = AESGCM(secret)
            self._bound = header + volume_id_bytes(self._volume_id)
            self._object[:HEADER_BYTES] = header
            self._size = HEADER_BYTES
            self._digest = hashlib.sha256(header)
        end = self._size + self._chunk_size + TAG_BYTES
        # The buffer is used again for the next object, so it grows during the first alone.
        if len(self._object) < end:
            self._object.extend(bytes(end - len(self._object)))
        with memoryview(self._object) as whole, whole[self._size : end] as target:
            self._cipher.encrypt_into(
                _nonce(self._chunks),
                self._chunk,
                _aad(self._bound, self._chunks, self._chunk_size, last=last),
                target,
            )
            self._digest.update(target)
        self._size = end
        self._chunks += 1
        if last:
            self._publish()

    def _publish(self) -> None:
        name = self._digest.hexdigest()
        with memoryview(self._object) as whole:
            self._store.put(name, bytes(whole[: self._size]))
        self.refs.append(SegmentRef(Digest("sha256:" + name), self._chunks))
        self._chunks = 0
        self._cipher = None


class Segment:
    """An object whose digest was verified; its chunks are authenticated one by one."""

    def __init__(
        self, data: bytes, *, key: VolumeKey, volume_id: VolumeId, chunks: int, what: str
    ) -> None:
        header = data[:HEADER_BYTES]
        self.chunks = chunks
        self.chunk_size = (len(data) - HEADER_BYTES) // chunks - TAG_BYTES
        self.size = len(data)
        self._data = memoryview(data)
        self._what = what
        self._bound = header + volume_id_bytes(volume_id)
        salt = header[HEADER_BYTES - SALT_BYTES :]
        self._cipher = AESGCM(object_key(key, volume_id=volume_id, salt=salt))

    def decrypt_into(self, number: int, target: bytearray | memoryview) -> None:
        """Writes the plaintext of a chunk to ``target``, which must have exactly its size.

        Raises ``VolumeTamperedError``; what is then in ``target`` must not be used.
        """
        start = object_bytes(number, self.chunk_size)
        stored = self._data[start : start + self.chunk_size + TAG_BYTES]
        aad = _aad(self._bound, number, self.chunk_size, last=number + 1 == self.chunks)
        try:
            self._cipher.decrypt_into(_nonce(number), stored, aad, target)
        except InvalidTag as exc:
            raise VolumeTamperedError(
                what=self._what, detail=f"chunk {number} does not authenticate"
            ) from exc


def fetch_segment(
    store: ObjectStore,
    ref: SegmentRef | Digest,
    *,
    key: VolumeKey,
    volume_id: VolumeId,
    kind: Kind,
    chunk_size: int,
    limit: int = MAX_OBJECT_BYTES,
) -> Segment:
    """The object that ``ref`` names, whole. Its chunks are *not* decrypted yet.

    A bare digest leaves the chunk count to the object's size, within ``limit``.
    Raises ``ObjectMissingError``, ``VolumeTamperedError``, ``StoreError``.
    """
    digest = ref.digest if isinstance(ref, SegmentRef) else ref
    what = f"object {digest}"
    if isinstance(ref, SegmentRef):
        limit = object_bytes(ref.chunks, chunk_size)
    name = digest.removeprefix("sha256:")
    # (1) At most the size that the index allows is fetched.
    data = store.get(name, limit=limit)
    # (2) The bytes are those that the index or the commit names.
    if hashlib.sha256(data).hexdigest() != name:
        raise VolumeTamperedError(what=what, detail="its bytes do not have its digest")
    # (3) The header is that of this kind, algorithm and chunk size. Only whoever sealed the
    # volume can make (2) hold and this fail.
    salt = data[HEADER_BYTES - SALT_BYTES : HEADER_BYTES]
    if data[:HEADER_BYTES] != _header(kind, chunk_size, salt):
        raise VolumeTamperedError(what=what, detail=f"it has no header of a {kind.name} object")
    # (4) What follows is a whole number of chunks, as many as the index says.
    chunks, rest = divmod(len(data) - HEADER_BYTES, chunk_size + TAG_BYTES)
    if rest or not chunks or (isinstance(ref, SegmentRef) and chunks != ref.chunks):
        raise VolumeTamperedError(what=what, detail="it has another number of chunks")
    return Segment(data, key=key, volume_id=volume_id, chunks=chunks, what=what)
