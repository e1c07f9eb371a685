# SPDX-License-Identifier: Apache-2.0
"""Access to a policy beyond the constitution: who else may read it, who must agree to change it."""

from __future__ import annotations

from dataclasses import dataclass

from accord.encoding import Fields, JSONValue, parse_digest
from accord.errors import MalformedError
from accord.policy._rules import Rule

ANYONE = "anyone"


@dataclass(frozen=True, slots=True)
class Access:
    """Rights on one policy. Members of the board read every policy by replaying the log.

    The rules here come on top of the constitution's: neither can be satisfied without the other.
    """

    read: tuple[str, ...] = ()
    """Who else may read the policy: ``key:DIGEST`` (a key id) or ``anyone``."""

    list: tuple[str, ...] = ()
    """Who else may see that it exists."""

    update: Rule | None = None
    """Must agree to the next version, as the version in force says."""

    create: Rule | None = None
    """Must agree to a new policy in the namespace of this one."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Access:
        """Reads and ends ``fields``. Raises ``MalformedError`` or ``ConstitutionError``."""
        read = _readers(fields, "read")
        update = _rule(fields, "update")
        access = cls(
            read=read,
            list=_readers(fields, "list") if fields.has("list") else read,
            update=update,
            create=_rule(fields, "create") or update,
        )
        fields.end()
        return access

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {"read": [*self.read], "list": [*self.list]}
        if self.update is not None:
            document["update"] = self.update.to_json()
        if self.create is not None:
            document["create"] = self.create.to_json()
        return document


def _rule(fields: Fields, name: str) -> Rule | None:
    return Rule.from_json(fields.take(name), fields.path(name)) if fields.has(name) else None


def _readers(fields: Fields, name: str) -> tuple[str, ...]:
    if not fields.has(name):
        return ()
    found = []
    for where, value in fields.items(name):
        if value != ANYONE:
            kind, _, key = value.partition(":") if isinstance(value, str) else ("", "", "")
            if kind != "key":
                raise MalformedError(what=where, detail="expected key:DIGEST or anyone")
            parse_digest(key, what=where)
        found.append(str(value))
    if len(set(found)) != len(found) or (ANYONE in found and len(found) > 1):
        raise MalformedError(what=fields.path(name), detail="somebody is named twice")
    return tuple(found)
