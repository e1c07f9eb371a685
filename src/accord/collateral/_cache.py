# SPDX-License-Identifier: Apache-2.0
"""The collateral cache: a folder of files named by their digests, and an index (spec page)."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Collection, Iterable, Iterator
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
_MAX_DATA_BYTES = 32 << 20
"""Most that one file holds: an endorsement of at most 16 MiB, or a chain in PEM."""


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
            whole = (*self.entries(), *added)
            entries = {(entry.key, entry.data, entry.root): entry for entry in whole}
            ordered = sorted(entries.values(), key=lambda entry: (entry.key, entry.not_before))
            document = {"schema": SCHEMA, "entries": [entry.to_json() for entry in ordered]}
            write_whole(self.path / "index.json", canonical_json(document))
        return added

    def entries(self) -> tuple[Entry, ...]:
        """The index, by key and age; none where there is no cache.

        Raises ``CollateralCacheError``.
        """
        try:
            data = _read_regular(self.path / "index.json", limit=MAX_INDEX_BYTES)
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

    def find(
        self, key: str, *, now: datetime, anchors: Collection[Digest] | None = None
    ) -> Piece | None:
        """The newest piece for ``key`` that is valid at ``now``, or else the newest of all.

        Only what was verified under one of ``anchors``: whoever imports under a root of their
        own displaces nobody else's. Raises ``CollateralCacheError``.
        """
        found = [
            entry
            for entry in self.entries()
            if entry.key == key and (anchors is None or entry.root in anchors)
        ]
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
            data = _read_regular(path, limit=_MAX_DATA_BYTES)
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
            if not _holds(file, data):
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
        # Not through a link: it would make a file wherever the link points.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self.path / "lock", flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _read_regular(path: Path, *, limit: int) -> bytes:
    """All of a plain file of at most ``limit`` bytes. Raises ``OSError``.

    Who else can write to the folder can put a pipe there, a device, or a link to either: none
    of them is opened for longer than it takes to see what it is.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it holds more than {limit} bytes")
    return data


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file is there and whole; whatever else is there is replaced."""
    try:
        return _read_regular(path, limit=_MAX_DATA_BYTES) == data
    except OSError:
        return False


def known_certificates(cache: CollateralCache) -> tuple[Certificate, ...]:
    """Every certificate in the cache, to complete chains with. Raises ``CollateralCacheError``."""
    found: dict[Digest, Certificate] = {}
    for entry in cache.entries():
        piece = cache.load(entry)
        for pem in (piece.chain, piece.data):
            if pem.startswith(b"-----BEGIN CERTIFICATE-----"):
                found |= {c.digest: c for c in load_certificates(pem, what=entry.key)}
    return tuple(found.values())
