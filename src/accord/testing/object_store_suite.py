# SPDX-License-Identifier: Apache-2.0
"""What every object store for sealed volumes must do, as tests to inherit.

A class whose name starts with ``Test`` inherits from `ObjectStoreSuite` and implements
``new_store`` (an empty store) and ``reopen`` (the same store, as another process sees it).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from accord.errors import ObjectMissingError, VolumeTamperedError
from accord.volumes import ObjectStore

_DATA = bytes(range(256)) * 5
_NAME = hashlib.sha256(_DATA).hexdigest()


def _expect(actual: object, expected: object) -> None:
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, found {actual!r}")


class ObjectStoreSuite(ABC):
    """Inherit, implement the two methods, and pytest does the rest."""

    @abstractmethod
    def new_store(self, tmp_path: Path) -> ObjectStore:
        """An empty store; ``tmp_path`` is a fresh directory."""

    @abstractmethod
    def reopen(self, store: ObjectStore) -> ObjectStore:
        """The same store opened again; may be the same object where nothing is persistent."""

    def test_object_comes_back(self, tmp_path: Path) -> None:
        """What was put is what is got, also after reopening."""
        store = self.new_store(tmp_path)
        store.put(_NAME, _DATA)
        _expect(self.reopen(store).get(_NAME, limit=len(_DATA)), _DATA)

    def test_empty_object_comes_back(self, tmp_path: Path) -> None:
        """An object may have no bytes."""
        store = self.new_store(tmp_path)
        store.put(_NAME, b"")
        _expect(store.get(_NAME, limit=0), b"")

    def test_same_bytes_again_are_fine(self, tmp_path: Path) -> None:
        """A writer that starts over may put what is already there."""
        store = self.new_store(tmp_path)
        store.put(_NAME, _DATA)
        store.put(_NAME, _DATA)
        _expect(store.get(_NAME, limit=len(_DATA)), _DATA)

    @pytest.mark.parametrize("other", [b"", b"short", _DATA[:-1] + b"x", _DATA + b"x"])
    def test_other_bytes_under_a_name_are_refused(self, tmp_path: Path, other: bytes) -> None:
        """Objects are immutable: the first bytes stay."""
        store = self.new_store(tmp_path)
        store.put(_NAME, _DATA)
        with pytest.raises(VolumeTamperedError):
            store.put(_NAME, other)
        _expect(store.get(_NAME, limit=len(_DATA)), _DATA)

    def test_missing_object_is_named(self, tmp_path: Path) -> None:
        """A missing object is an error of its own, in an empty store too."""
        store = self.new_store(tmp_path)
        with pytest.raises(ObjectMissingError, match=_NAME):
            store.get(_NAME, limit=1)
        store.put(_NAME, _DATA)
        with pytest.raises(ObjectMissingError):
            store.get("0" * 64, limit=1)

    def test_object_beyond_the_limit_is_refused(self, tmp_path: Path) -> None:
        """A reader says how much it is ready to hold."""
        store = self.new_store(tmp_path)
        store.put(_NAME, _DATA)
        with pytest.raises(VolumeTamperedError, match="larger than"):
            store.get(_NAME, limit=len(_DATA) - 1)

    @pytest.mark.parametrize(
        "name", ["", "head", "../head", "/" * 64, "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 65]
    )
    def test_other_names_are_the_callers_bug(self, tmp_path: Path, name: str) -> None:
        """Only 64 lower-case hex digits name an object, so no name leaves the store."""
        store = self.new_store(tmp_path)
        with pytest.raises(RuntimeError):
            store.put(name, _DATA)
        with pytest.raises(RuntimeError):
            store.get(name, limit=1)

    def test_new_store_has_no_head(self, tmp_path: Path) -> None:
        """No version yet is not an error."""
        _expect(self.new_store(tmp_path).read_head(), None)

    def test_head_is_replaced(self, tmp_path: Path) -> None:
        """The head is the last one written, also after reopening."""
        store = self.new_store(tmp_path)
        store.write_head(b"a long first head")
        store.write_head(b"second")
        _expect(self.reopen(store).read_head(), b"second")

    def test_huge_head_is_refused(self, tmp_path: Path) -> None:
        """The head is untrusted, so its size is bounded."""
        store = self.new_store(tmp_path)
        store.write_head(bytes(1 << 20))
        with pytest.raises(VolumeTamperedError, match="larger than"):
            store.read_head()
