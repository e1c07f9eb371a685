# SPDX-License-Identifier: Apache-2.0
"""Rules for what an environment loaded: firmware parts, measured files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from accord.encoding import Fields, JSONValue
from accord.errors import MalformedError

T = TypeVar("T")

_HEX = re.compile(r"(?:[0-9a-f]{2}){1,64}")


@dataclass(frozen=True, slots=True)
class ComponentRule:
    """Admits components that have every property named here; a property left out is any.

    ``digest`` and ``signer`` are raw bytes. A rule with neither ``digest`` nor ``signer``
    would admit whatever calls itself by the right name, and is refused.
    """

    digest: bytes | None = None
    signer: bytes | None = None
    kind: str | None = None
    name: str | None = None
    version: str | None = None

    @classmethod
    def from_fields(cls, fields: Fields) -> ComponentRule:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        rule = cls(
            digest=_octets(fields, "digest"),
            signer=_octets(fields, "signer"),
            kind=fields.optional("kind", fields.text),
            name=fields.optional("name", fields.text),
            version=fields.optional("version", fields.text),
        )
        fields.end()
        if rule.digest is None and rule.signer is None:
            raise MalformedError(what=fields.where, detail="names neither digest nor signer")
        return rule

    def to_json(self) -> JSONValue:
        written = {
            "digest": None if self.digest is None else self.digest.hex(),
            "signer": None if self.signer is None else self.signer.hex(),
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
        }
        return {name: value for name, value in written.items() if value is not None}


def hex_octets(value: JSONValue, where: str) -> bytes:
    """Lower-case hex of 1 to 64 bytes. Raises ``MalformedError``."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise MalformedError(what=where, detail="expected 1 to 64 bytes in lower-case hex digits")
    return bytes.fromhex(value)


def unique(values: tuple[T, ...], where: str) -> tuple[T, ...]:
    """``values``, none of them twice. Raises ``MalformedError``."""
    if len(set(values)) != len(values):
        raise MalformedError(what=where, detail="a value appears twice")
    return values


def _octets(fields: Fields, name: str) -> bytes | None:
    return hex_octets(fields.take(name), fields.path(name)) if fields.has(name) else None
