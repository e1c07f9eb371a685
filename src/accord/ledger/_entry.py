# SPDX-License-Identifier: Apache-2.0
"""Entries: numbered, dated statements, in canonical JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from accord.encoding import (
    MAX_DOCUMENT_BYTES,
    Envelope,
    Fields,
    JSONValue,
    canonical_json,
    format_time,
    parse_canonical_json,
    sha256,
)
from accord.errors import MalformedError, TooLargeError

MAX_ENTRY_BYTES = 2 * MAX_DOCUMENT_BYTES
"""Largest entry: a payload of 1 MiB in base64, with its signatures."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing was logged earlier; years of fewer than four digits have two spellings."""


def leaf(entry: bytes) -> bytes:
    """What stands in the tree for an entry: its digest, and so no word of what it says.

    Tiles can be public, an entry may be longer than the 65,535 bytes of an entry bundle, and
    one that was erased leaves the tree as it is. The signatures in it cannot be guessed, so
    the digest hides what could be (docs/spec/ledger.md).
    """
    return b'{"entry":"%b","schema":"accord.leaf.v1"}' % sha256(entry).encode()


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement of a log, with its place and the time at which it was recorded.

    Nothing of the envelope is verified here: who may say what is decided by the reader.
    """

    SCHEMA = "accord.entry.v1"

    index: int
    time: datetime
    envelope: Envelope

    def __post_init__(self) -> None:
        if self.index < 0 or self.time.utcoffset() != timedelta(0) or self.time.microsecond:
            message = "an entry has an index from 0 on and a time in UTC, in whole seconds"
            raise RuntimeError(message)

    def to_bytes(self) -> bytes:
        """The bytes that are hashed into the log."""
        return canonical_json(self._to_json())

    def to_readable_bytes(self) -> bytes:
        """`to_bytes` of an entry that `from_bytes` will take, and whoever reads the log.

        Raises ``TooLargeError`` or ``MalformedError``.
        """
        document = self._to_json()
        data = canonical_json(document)
        if len(data) > MAX_ENTRY_BYTES:
            raise TooLargeError(what="entry", limit=MAX_ENTRY_BYTES)
        # Not parsed again: canonical JSON is what `canonical_json` writes.
        Entry._from_fields(Fields(document, "entry"))
        return data

    def _to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "index": self.index,
            "time": format_time(self.time),
            "envelope": self.envelope.to_json(),
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Entry:
        """Reads an entry in canonical form; its place and its signatures are *not* verified.

        Raises ``TooLargeError``, ``MalformedError``, ``NotCanonicalError`` or
        ``UnsupportedFormatError``.
        """
        document = parse_canonical_json(data, what="entry", limit=MAX_ENTRY_BYTES)
        return cls._from_fields(Fields(document, "entry"))

    @classmethod
    def _from_fields(cls, fields: Fields) -> Entry:
        fields.schema(cls.SCHEMA)
        index = fields.integer("index", minimum=0)
        time = fields.time("time")
        envelope = Envelope.from_json(fields.take("envelope"), what=fields.path("envelope"))
        fields.end()
        if time < _EPOCH:
            raise MalformedError(what=fields.where, detail="dated before 1970")
        return cls(index, time, envelope)
