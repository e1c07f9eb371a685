# SPDX-License-Identifier: Apache-2.0
"""The collateral cache: a folder of files named by their digests, and an index (spec page)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from accord.collateral._pieces import Piece
from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    canonical_json,
    format_time,
    parse_canonical_json,
    sha256,
)
from accord.errors import CollateralCacheError, EncodingError
from accord.evidence import Certificate, load_certificates
from accord.identity import write_whole

SCHEMA = "accord.collateral-index.v1"

WARN_BEFORE = timedelta(days=7)
"""From then on an entry is reported as about to expire: Intel's last for 30 days."""

MAX_INDEX_BYTES = 16 << 20
_MAX_ENTRIES = 65536


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the index; ``data`` and ``chain`` are files of the cache."""

    key: str
    data: Digest
    chain: Digest | None
    root: Digest
    not_before: datetime
    not_after: datetime

    def to_json(self) -> JSONValue:
        written = {
            "key": self.key,
            "data": self.data,
            "root": self.root,
            "not_before": format_time(self.not_before),
            "not_after": format_time(self.not_after),
        }
        return written if self.chain is None else written | {"chain": self.chain}

    @classmethod
    def from_fields(cls, fields: Fields) -> Entry:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        entry = cls(
            key=fields.text("key"),
            data=fields.digest("data"),
            chain=fields.optional("chain", fields.digest),
            root=fields.digest("root"),
            not_before=fields.time("not_before"),
            not_after=fields.time("not_after"),
        )
        fields.end()
        return entry


class CollateralCache:
    """Endorsements that were verified when they came in, and are verified again when used.

    Nothing is replaced: what a verdict used stays, and an older collection never displaces a
    newer one, because the newest that is valid at the moment asked for is taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, pieces: Iterable[Piece]) -> tuple[Entry, ...]:
        """Stores ``pieces``, files first, and returns their entries. Raises ``OSError``."""
        added = tuple(self._store(piece) for piece in pieces)
        with self._locked():
            entries = {(entry.key, entry.data): entry for entry in (*self.entries(), *added)}
            ordered = sorted(entries.values(), key=lambda entry: (entry.key, entry.not_before))
            document = {"schema": SCHEMA, "entries": [entry.to_json() for entry in ordered]}
            write_whole(self.path / "index.json", canonical_json(document))
        return added

    def entries(self) -> tuple[Entry, ...]:
        """The index, by key and age; none where there is no cache.

        Raises ``CollateralCacheError``.
        """
        try:
            data = (self.path / "index.json").read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as exc:
            raise CollateralCacheError(path=self.path, detail=str(exc.strerror)) from exc
        try:
            fields = Fields(
                parse_canonical_json(data, what="the index", limit=MAX_INDEX_BYTES), "index"
            )
            fields.schema(SCHEMA)
            listed = fields.take("entries")
            fields.end()
            if not isinstance(listed, list) or len(listed) > _MAX_ENTRIES:
                raise CollateralCacheError(path=self.path, detail="the index has no entries")
            return tuple(
                Entry.from_fields(Fields(value, f"index.entries[{index}]"))
                for index, value in enumerate(listed)
            )
        except EncodingError as exc:
            raise CollateralCacheError(path=self.path, detail=str(exc)) from exc

    def find(self, key: str, *, now: datetime) -> Piece | None:
        """The newest piece for ``key`` that is valid at ``now``, or else the newest of all.

        Raises ``CollateralCacheError``.
        """
        found = [entry for entry in self.entries() if entry.key == key]
        valid = [entry for entry in found if entry.not_before <= now <= entry.not_after]
        newest = max(valid or found, key=lambda entry: entry.not_before, default=None)
        return None if newest is None else self.load(newest)

    def load(self, entry: Entry) -> Piece:
        """The files of an entry, whose digests are checked. Raises ``CollateralCacheError``."""
        return Piece(
            key=entry.key,
            data=self._read(entry.data),
            chain=b"" if entry.chain is None else self._read(entry.chain),
            root=entry.root,
            not_before=entry.not_before,
            not_after=entry.not_after,
        )

    def _read(self, digest: Digest) -> bytes:
        path = self._file(digest)
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise CollateralCacheError(
                path=self.path, detail=f"{path.name}: {exc.strerror}"
            ) from exc
        if sha256(data) != digest:
            raise CollateralCacheError(path=self.path, detail=f"{path.name} has other bytes")
        return data

    def _file(self, digest: Digest) -> Path:
        return self.path / "sha256" / digest.removeprefix("sha256:")

    def _store(self, piece: Piece) -> Entry:
        for data in filter(None, (piece.data, piece.chain)):
            file = self._file(sha256(data))
            if not file.exists() or sha256(file.read_bytes()) != sha256(data):
                write_whole(file, data)
        return Entry(
            key=piece.key,
            data=sha256(piece.data),
            chain=sha256(piece.chain) if piece.chain else None,
            root=piece.root,
            not_before=piece.not_before,
            not_after=piece.not_after,
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Of two writers one waits: both of their entries stay."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def known_certificates(cache: CollateralCache) -> tuple[Certificate, ...]:
    """Every certificate in the cache, to complete chains with. Raises ``CollateralCacheError``."""
    found: dict[Digest, Certificate] = {}
    for entry in cache.entries():
        piece = cache.load(entry)
        for pem in (piece.chain, piece.data):
            if pem.startswith(b"-----BEGIN CERTIFICATE-----"):
                found |= {c.digest: c for c in load_certificates(pem, what=entry.key)}
    return tuple(found.values())
