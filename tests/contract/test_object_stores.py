# SPDX-License-Identifier: Apache-2.0
"""Both object stores keep the contract."""

from pathlib import Path

from accord.testing.object_store_suite import ObjectStoreSuite
from accord.volumes import LocalStore, MemoryStore, ObjectStore


class TestLocalStore(ObjectStoreSuite):
    def new_store(self, tmp_path: Path) -> ObjectStore:
        return LocalStore(tmp_path / "new" / "store")

    def reopen(self, store: ObjectStore) -> ObjectStore:
        assert isinstance(store, LocalStore)
        return LocalStore(store.root)


class TestMemoryStore(ObjectStoreSuite):
    def new_store(self, tmp_path: Path) -> ObjectStore:
        assert tmp_path.is_dir()
        return MemoryStore()

    def reopen(self, store: ObjectStore) -> ObjectStore:
        return store
