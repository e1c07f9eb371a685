# SPDX-License-Identifier: Apache-2.0
"""Commits: the one object that a tag names (docs/spec/volume.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    canonical_json,
    parse_canonical_json,
    parse_digest,
    sha256,
)
from accord.errors import MalformedError, UnsupportedFormatError
from accord.volumes._key import ALGORITHM, VolumeId, parse_volume_id

SCHEMA = "accord.volume-commit.v1"

MAX_COMMIT_BYTES = 4096
"""Largest commit object; a real one has about 500 bytes."""


@dataclass(frozen=True, slots=True)
class VolumeVersion:
    """One version of a volume. Its ``tag`` is all that the trust service has to remember."""

    volume_id: VolumeId
    tag: Digest
    sequence: int
    """1 for the first version, one more for each that follows."""
    parent: Digest | None
    """The tag of the version before."""
    key_commitment: Digest
    index: Digest
    """The encrypted index object."""
    files: int
    size: int
    """Plaintext bytes of all files together."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The public description of a version; the tag is the digest of its bytes."""

    volume_id: VolumeId
    sequence: int
    parent: Digest | None
    index: Digest
    key_commitment: Digest

    def to_bytes(self) -> bytes:
        document: dict[str, JSONValue] = {
            "schema": SCHEMA,
            "algorithm": ALGORITHM,
            "volume_id": self.volume_id,
            "sequence": self.sequence,
            "index": self.index,
            "key_commitment": self.key_commitment,
        }
        if self.parent is not None:
            document["parent"] = self.parent
        return canonical_json(document)

    @property
    def tag(self) -> Digest:
        return sha256(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Commit:
        """Reads a commit; whether it is the trusted one is *not* checked.

        Raises ``MalformedError``, ``NotCanonicalError``, ``TooLargeError`` or
        ``UnsupportedFormatError``.
        """
        what = "volume commit"
        fields = Fields(parse_canonical_json(data, what=what, limit=MAX_COMMIT_BYTES), what)
        fields.schema(SCHEMA)
        algorithm = fields.text("algorithm", limit=64)
        if algorithm != ALGORITHM:
            raise UnsupportedFormatError(what=what, found=repr(algorithm), expected=ALGORITHM)
        commit = cls(
            volume_id=parse_volume_id(fields.take("volume_id"), what=fields.path("volume_id")),
            sequence=fields.integer("sequence", minimum=1),
            parent=fields.optional("parent", fields.digest),
            index=fields.digest("index"),
            key_commitment=fields.digest("key_commitment"),
        )
        fields.end()
        if (commit.parent is None) != (commit.sequence == 1):
            raise MalformedError(what=what, detail="only the first version has no parent")
        return commit


def head_to_bytes(tag: Digest) -> bytes:
    """The head of a store: the tag and a line feed, so that it can be read with `cat`."""
    return tag.encode() + b"\n"


def head_from_bytes(data: bytes) -> Digest:
    """The tag that a head claims. Raises ``MalformedError``."""
    text = data.decode("ascii", errors="replace")
    if not text.endswith("\n"):
        raise MalformedError(what="the head", detail="it does not end in a line feed")
    return parse_digest(text[:-1], what="the head")
