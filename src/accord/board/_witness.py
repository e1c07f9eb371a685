# SPDX-License-Identifier: Apache-2.0
"""Witnesses: who must have seen the log before anything leaves the trust service."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from urllib.parse import urlsplit

from accord.encoding import Fields, JSONValue, base64_encode
from accord.errors import MalformedError
from accord.identity import VerifyKey

MAX_WITNESSES = 64


@dataclass(frozen=True, slots=True)
class Witness:
    """One witness. Those of one organisation are a group, and count once together."""

    name: str
    """Key name of its cosignatures (c2sp.org/tlog-cosignature)."""

    group: str
    key: VerifyKey
    url: str
    """Where it takes checkpoints (c2sp.org/tlog-witness); what it says is signed."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Witness:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        url = fields.text("url", limit=1024)
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or "@" in url or not url.isascii() or any(c <= " " for c in url):
            raise MalformedError(what=fields.path("url"), detail="expected http(s)://HOST[:PORT]")
        witness = cls(
            fields.name("name"),
            fields.name("group"),
            VerifyKey(fields.data("key", size=32)),
            url.rstrip("/"),
        )
        fields.end()
        return witness

    def to_json(self) -> JSONValue:
        return {
            "name": self.name,
            "group": self.group,
            "key": base64_encode(self.key.raw),
            "url": self.url,
        }


@dataclass(frozen=True)
class WitnessPolicy:
    """How many groups of witnesses must have cosigned, and how many may lie.

    Of n groups any two quorums of q share more than f where ``2q - n > f``: then one that does
    not lie saw both, and no two branches of a log get a quorum. With c groups away the rest
    still is one where ``q <= n - c`` (docs/explanation/freshness.md).
    """

    witnesses: tuple[Witness, ...]
    quorum: int
    faulty: int

    @classmethod
    def from_fields(cls, fields: Fields) -> WitnessPolicy:
        """Reads and ends ``fields``. Raises ``MalformedError`` where it protects nothing."""
        policy = cls(
            tuple(map(Witness.from_fields, fields.objects("witnesses"))),
            fields.integer("quorum", minimum=1, maximum=MAX_WITNESSES),
            fields.integer("faulty", minimum=0, maximum=MAX_WITNESSES),
        )
        fields.end()
        policy._check(fields.where)
        return policy

    def _check(self, where: str) -> None:
        if len(self.witnesses) > MAX_WITNESSES:
            raise MalformedError(what=where, detail=f"more than {MAX_WITNESSES} witnesses")
        for what in ("name", "key"):
            if len({getattr(witness, what) for witness in self.witnesses}) != len(self.witnesses):
                raise MalformedError(what=where, detail=f"two witnesses have the same {what}")
        size = len(self.groups)
        if self.quorum > size:
            raise MalformedError(
                what=where, detail=f"{self.quorum} of {size} groups can never be reached"
            )
        if 2 * self.quorum - size <= self.faulty:
            raise MalformedError(
                what=where,
                detail=f"{self.quorum} of {size} groups with {self.faulty} that lie could "
                "cosign two branches: 2 * quorum - groups must be more than faulty",
            )

    def to_json(self) -> JSONValue:
        return {
            "witnesses": [witness.to_json() for witness in self.witnesses],
            "quorum": self.quorum,
            "faulty": self.faulty,
        }

    @cached_property
    def groups(self) -> frozenset[str]:
        return frozenset(witness.group for witness in self.witnesses)

    @cached_property
    def by_name(self) -> Mapping[str, Witness]:
        return MappingProxyType({witness.name: witness for witness in self.witnesses})

    def reached(self, names: Collection[str]) -> bool:
        """Whether the witnesses called ``names`` are a quorum. Unknown names count nothing."""
        known = self.by_name
        return len({known[name].group for name in names if name in known}) >= self.quorum


Witnessed = Sequence[tuple[int, WitnessPolicy]]
"""Every policy of a board, oldest first, with the index of the entry that brought it."""


def required(history: Witnessed, *, since: int, size: int) -> tuple[WitnessPolicy, ...]:
    """The policies of which each must reach its quorum for the first ``size`` entries.

    ``since`` is the size that a quorum saw before. Whoever was in force then, or at any time
    after it, must see the rest: else a clone could go on with the witnesses that another one
    has replaced.
    """
    before = [policy for index, policy in history if index < since or index == 0]
    later = set(witness_changes(history, since=since, size=size))
    return (*before[-1:], *(policy for index, policy in history if index in later))


def witness_changes(history: Witnessed, *, since: int, size: int) -> tuple[int, ...]:
    """The entries from ``since`` to before ``size`` that brought another policy."""
    return tuple(index for index, _ in history if max(since, 1) <= index < size)
