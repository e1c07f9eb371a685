# SPDX-License-Identifier: Apache-2.0
"""Which parts of a service come from another policy, and from which version of it."""

from __future__ import annotations

from dataclasses import dataclass

from accord.encoding import Digest, Fields, JSONValue
from accord.errors import PolicyContentError, UnresolvedFragmentError
from accord.policy._names import parse_policy_name

MAX_USES = 16
"""Most fragments that one service takes: a person reads them one by one."""


@dataclass(frozen=True, slots=True)
class FragmentUse:
    """A fragment that a service is said to hold; whether it does is *not* known here."""

    policy: str
    fragment: str
    version: Digest
    """The version of that policy whose fragment it is: the next one changes nothing here."""

    @classmethod
    def from_fields(cls, fields: Fields) -> FragmentUse:
        """Reads and ends ``fields``. Raises ``MalformedError`` or ``UnresolvedFragmentError``."""
        policy, fragment, version = read_wanted(fields)
        if version is None:
            raise UnresolvedFragmentError(where=fields.where, policy=policy, fragment=fragment)
        return cls(policy, fragment, version)

    def to_json(self) -> JSONValue:
        return {"policy": self.policy, "fragment": self.fragment, "version": self.version}


def read_wanted(fields: Fields) -> tuple[str, str, Digest | None]:
    """Policy, fragment and, once it is resolved, version. Raises ``MalformedError``."""
    wanted = (
        parse_policy_name(fields.take("policy"), what=fields.path("policy")),
        fields.name("fragment"),
        fields.optional("version", fields.digest),
    )
    fields.end()
    return wanted


def read_uses(fields: Fields) -> tuple[FragmentUse, ...]:
    """The list ``fragments`` of a service.

    Raises ``MalformedError``, ``PolicyContentError`` or ``UnresolvedFragmentError``.
    """
    if not fields.has("fragments"):
        return ()
    listed = fields.objects("fragments", limit=MAX_USES)
    uses = tuple(map(FragmentUse.from_fields, listed))
    if len({(use.policy, use.fragment) for use in uses}) != len(uses):
        raise PolicyContentError(where=fields.path("fragments"), detail="a fragment appears twice")
    return uses
