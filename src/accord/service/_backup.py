# SPDX-License-Identifier: Apache-2.0
"""A backup of one board (docs/adr/0021-recovery.md): a header, the log, and the wrapped secrets.

The log's part opens with a key that every member can open; the secrets' part with a key that
only the board's root secret gives. Whoever holds the file alone reads neither.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from accord.client import BackupHeader, backup_key_context
from accord.encoding import (
    Digest,
    JSONValue,
    canonical_json,
    sha256,
)
from accord.errors import BackupDamagedError, EncodingError, FileAccessError
from accord.identity import SealKey, seal
from accord.release import BACKUP_KEY_PURPOSE

KEY_BYTES = ID_BYTES = HASH_BYTES = 32
MAX_HEADER = 1 << 20
CHUNK = 1 << 20
"""Records are sealed together until they have so many bytes."""

MAX_CHUNK = 16 << 20
_LENGTH = struct.Struct(">I")
_NONCE = struct.Struct(">8xI")
_LAST = 1 << 31
"""Marks the nonce of a part's last chunk: a part that was cut off does not open."""

_SALT = b"accord/backup/v1"


def _part(header: BackupHeader, name: str, key: bytes) -> AESGCM:
    """The cipher of one part: of another header it is another one."""
    info: JSONValue = {"part": name, "header": sha256(header.to_bytes())}
    return AESGCM(HKDF(SHA256(), KEY_BYTES, _SALT, canonical_json(info)).derive(key))


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """An entry (``e``), a body (``o``), or with its name a secret (``s``) or a checkpoint (``n``).

    The name of a checkpoint is the entry that replaced the witnesses, which it was first to cover.
    """

    kind: str
    data: bytes
    name: str = ""

    def pack(self) -> bytes:
        name = self.name.encode()
        return (
            self.kind.encode()
            + struct.pack(">H", len(name))
            + name
            + _LENGTH.pack(len(self.data))
            + self.data
        )


def _unpack(data: bytes) -> Iterator[Item]:
    """The items of one chunk, which is authentic already."""
    at = 0
    while at < len(data):
        kind, (count,) = data[at : at + 1].decode(), struct.unpack_from(">H", data, at + 1)
        at += 3 + count
        name = data[at - count : at].decode()
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size + size
        yield Item(kind, data[at - size : at], name)


def _sealed(cipher: AESGCM, items: Iterable[Item]) -> Iterator[bytes]:
    """Chunks with their lengths; the last one is marked, and there always is one."""
    number, waiting, size = 0, list[bytes](), 0

    def chunk(*, last: bool) -> bytes:
        nonce = _NONCE.pack(number | (_LAST if last else 0))
        sealed = cipher.encrypt(nonce, b"".join(waiting), None)
        return _LENGTH.pack(len(sealed)) + sealed

    for item in items:
        packed = item.pack()
        if size and size + len(packed) > CHUNK:
            yield chunk(last=False)
            number, waiting, size = number + 1, [], 0
        waiting.append(packed)
        size += len(packed)
    yield chunk(last=True)


def write_backup(
    header: BackupHeader,
    *,
    key: bytes,
    secrets_key: bytes,
    log: Iterable[Item],
    secrets: Iterable[Item],
) -> Iterator[bytes]:
    """The bytes of a backup, piece by piece; little of it is in memory at once."""
    shown = header.to_bytes()
    yield _LENGTH.pack(len(shown)) + shown
    yield from _sealed(_part(header, "log", key), log)
    yield from _sealed(_part(header, "secrets", secrets_key), secrets)


def new_backup_key(
    board: Digest, holders: Mapping[Digest, SealKey]
) -> tuple[bytes, bytes, Mapping[Digest, bytes]]:
    """The id of a new backup, the key of its log, and that key sealed to each holder."""
    backup, key = os.urandom(ID_BYTES), os.urandom(KEY_BYTES)
    sealed = {
        holder: seal(
            key,
            public,
            purpose=BACKUP_KEY_PURPOSE,
            context=backup_key_context(board, backup, holder),
        )
        for holder, public in holders.items()
    }
    return backup, key, sealed


class BackupReader:
    """Reads a backup front to back: header, log, secrets; each part needs its key."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises ``BackupDamagedError``."""
        self._file = file
        data = self._piece(MAX_HEADER)
        try:
            self.header = BackupHeader.from_bytes(data)
        except EncodingError as exc:
            raise BackupDamagedError(detail="its header cannot be read") from exc
        if self.header.to_bytes() != data:
            raise BackupDamagedError(detail="its header is not in canonical form")
        self._log_at = file.tell()

    def log(self, key: bytes) -> Iterator[Item]:
        """The items of the first part. Raises ``BackupDamagedError``, also for a wrong key."""
        self._file.seek(self._log_at)
        return self._items(_part(self.header, "log", key))

    def secrets(self, key: bytes) -> Iterator[Item]:
        """The items of the second part, after all of the first, and then the end of the file.

        Raises ``BackupDamagedError``.
        """
        yield from self._items(_part(self.header, "secrets", key))
        if self._file.read(1):
            raise BackupDamagedError(detail="something follows its end")

    def skip(self) -> None:
        """Goes past everything without opening it: that it is whole, not that it is genuine.

        Raises ``BackupDamagedError``.
        """
        while size := self._file.read(_LENGTH.size):
            self._read(self._size(size, MAX_CHUNK))

    def _items(self, cipher: AESGCM) -> Iterator[Item]:
        number, last = 0, False
        while not last:
            sealed = self._piece(MAX_CHUNK)
            try:
                plain = cipher.decrypt(_NONCE.pack(number), sealed, None)
            except InvalidTag:
                last = True
                try:
                    plain = cipher.decrypt(_NONCE.pack(number | _LAST), sealed, None)
                except InvalidTag as exc:
                    raise BackupDamagedError(detail="a part does not open") from exc
            number += 1
            yield from _unpack(plain)

    def _piece(self, limit: int) -> bytes:
        return self._read(self._size(self._file.read(_LENGTH.size), limit))

    @staticmethod
    def _size(data: bytes, limit: int) -> int:
        if len(data) != _LENGTH.size or not 0 < _LENGTH.unpack(data)[0] <= limit:
            raise BackupDamagedError(detail="it is cut off, or is none")
        size: int = _LENGTH.unpack(data)[0]
        return size

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise BackupDamagedError(detail="it is cut off")
        return data


def read_backup(path: Path) -> BackupHeader:
    """The header of a backup that is whole; that it is genuine only members can find out.

    Raises ``BackupDamagedError`` or ``FileAccessError``.
    """
    try:
        with path.open("rb") as file:
            reader = BackupReader(file)
            reader.skip()
    except OSError as exc:
        raise FileAccessError(action="read", path=path, detail=exc.strerror) from exc
    return reader.header
