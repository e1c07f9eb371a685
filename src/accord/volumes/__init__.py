# SPDX-License-Identifier: Apache-2.0
"""Encrypted, authenticated, rollback-protected storage over a store that nobody trusts."""

from accord.volumes._commit import VolumeVersion
from accord.volumes._index import FileEntry
from accord.volumes._key import (
    VolumeId,
    VolumeKey,
    key_commitment,
    new_volume_id,
    parse_volume_id,
)
from accord.volumes._objects import LocalStore, MemoryStore, ObjectStore
from accord.volumes._open import open_volume, verify_volume
from accord.volumes._seal import seal_volume
from accord.volumes._volume import Volume, VolumeFile

__all__ = [
    "FileEntry",
    "LocalStore",
    "MemoryStore",
    "ObjectStore",
    "Volume",
    "VolumeFile",
    "VolumeId",
    "VolumeKey",
    "VolumeVersion",
    "key_commitment",
    "new_volume_id",
    "open_volume",
    "parse_volume_id",
    "seal_volume",
    "verify_volume",
]
