# SPDX-License-Identifier: Apache-2.0
"""Evidence as it travels: the hardware's own bytes and the vendor's endorsements, unverified."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar

from accord.encoding import (
    NAME,
    Digest,
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
    parse_canonical_json,
    sha256,
)
from accord.errors import EvidenceMalformedError, MalformedError
from accord.policy import Family

MAX_BLOB_BYTES = 64 << 10
"""Largest signed report: four times the largest recorded one (a GPU's, with its chain)."""

MAX_ATTACHMENT_BYTES = 16 << 20
"""Largest endorsement or log: an IMA log of 100,000 entries has 12 MiB."""

MAX_EVIDENCE_BYTES = 32 << 20
"""Largest document of evidence that is parsed."""

MAX_PARTS = 32
"""Most parts of one machine: its vTPM, 16 GPUs and their switches."""


def _no_bytes() -> Mapping[str, bytes]:
    return MappingProxyType({})


def _no_parts() -> Mapping[str, Evidence]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Evidence:
    """Evidence of one environment, nothing verified: `accord.evidence.verify` does that.

    ``blob`` is what the hardware signed. ``endorsements`` is what its vendor says of it
    (certificates, revocation lists, TCB info, reference manifests). ``aux`` is what the
    machine adds and no key signs by itself (event logs, runtime data). Both go by names that
    each family defines (docs/spec/evidence.md). ``parts`` is evidence of parts of the same
    machine (``vtpm``, ``gpu0``, ...), whose nonces are linked to this one's report data.
    """

    SCHEMA: ClassVar[str] = "accord.evidence.v1"

    family: Family
    blob: bytes
    endorsements: Mapping[str, bytes] = field(default_factory=_no_bytes)
    aux: Mapping[str, bytes] = field(default_factory=_no_bytes)
    parts: Mapping[str, Evidence] = field(default_factory=_no_parts)

    @property
    def digest(self) -> Digest:
        """A storage address, never an identity: quotes are malleable (ECDSA, padding)."""
        return sha256(self.to_bytes())

    def to_json(self) -> JSONValue:
        written: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "family": self.family.value,
            "blob": base64_encode(self.blob),
        }
        optional: dict[str, JSONValue] = {
            "endorsements": {name: base64_encode(data) for name, data in self.endorsements.items()},
            "aux": {name: base64_encode(data) for name, data in self.aux.items()},
            "parts": {name: part.to_json() for name, part in self.parts.items()},
        }
        return written | {name: value for name, value in optional.items() if value}

    def to_bytes(self) -> bytes:
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return canonical_json(self.to_json())

    @classmethod
    def from_fields(cls, fields: Fields) -> Evidence:
        """Reads and ends ``fields``; nothing is verified.

        Raises ``MalformedError`` or ``UnsupportedFormatError``.
        """
        return _read(fields, part=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Evidence:
        """Reads evidence in canonical form; nothing is verified.

        Raises ``TooLargeError``, ``MalformedError``, ``NotCanonicalError`` or
        ``UnsupportedFormatError``.
        """
        value = parse_canonical_json(data, what="evidence", limit=MAX_EVIDENCE_BYTES)
        return cls.from_fields(Fields(value, "evidence"))


def refuse_unknown(
    what: str, given: Mapping[str, bytes], known: AbstractSet[str] = frozenset()
) -> None:
    """Refuses attachments that a family does not read.

    A misspelt log or revocation list would prove nothing, and nobody would notice. Raises
    ``EvidenceMalformedError``.
    """
    unknown = given.keys() - known
    if unknown:
        raise EvidenceMalformedError(what=what, detail=f"{min(unknown)!r} is unknown")


def _read(fields: Fields, *, part: bool) -> Evidence:
    fields.schema(Evidence.SCHEMA)
    evidence = Evidence(
        family=fields.choice("family", Family),
        blob=fields.data("blob", limit=MAX_BLOB_BYTES),
        endorsements=_attachments(fields, "endorsements"),
        aux=_attachments(fields, "aux"),
        # A part has no parts: one level is all that machines have.
        parts=_no_parts() if part else _parts(fields),
    )
    fields.end()
    return evidence


def _attachments(fields: Fields, name: str) -> Mapping[str, bytes]:
    """Bytes by name; an empty mapping is written by leaving it out, so that there is one form."""
    if not fields.has(name):
        return _no_bytes()
    listed = _not_empty(fields.object(name))
    return MappingProxyType(
        {key: listed.data(key, limit=MAX_ATTACHMENT_BYTES) for key in listed.names()}
    )


def _parts(fields: Fields) -> Mapping[str, Evidence]:
    if not fields.has("parts"):
        return _no_parts()
    listed = _not_empty(fields.object("parts"))
    names = listed.names()
    if len(names) > MAX_PARTS:
        raise MalformedError(what=listed.where, detail=f"more than {MAX_PARTS} parts")
    for name in names:
        if not NAME.fullmatch(name):
            raise MalformedError(what=listed.where, detail=f"{name[:64]!r} is no name of a part")
    return MappingProxyType({name: _read(listed.object(name), part=True) for name in names})


def _not_empty(fields: Fields) -> Fields:
    if not fields.names():
        raise MalformedError(what=fields.where, detail="is there, but empty")
    return fields
