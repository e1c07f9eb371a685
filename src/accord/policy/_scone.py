# SPDX-License-Identifier: Apache-2.0
"""Converts a session of the SCONE language 0.3, and lists what has no equivalent here.

docs/how-to/write-a-policy.md says what becomes of each part.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from types import MappingProxyType

from accord.encoding import JSONValue
from accord.errors import AccordError, SconeSessionError
from accord.policy._document import POLICY_SCHEMA
from accord.policy._scone_access import convert_access
from accord.policy._scone_secrets import convert_secrets
from accord.policy._scone_services import convert_services
from accord.policy._scone_source import Remark, Remarks, Source, shown
from accord.policy._yaml import parse_policy, parse_yaml

PURPOSE = "imported"
"""What sessions do not say, and every policy must."""

LINE = 100
"""Longest line that is written where a text can be broken, in characters."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A policy made from a session; a draft where anything is missing."""

    document: MappingProxyType[str, JSONValue]
    missing: tuple[Remark, ...]
    """What has no equivalent; where there is none, the policy reader accepts the document."""

    notes: tuple[Remark, ...]
    """What is expressed, but not by the same words or not by the same people."""

    def to_yaml(self) -> str:
        """The draft as a person goes on writing it."""
        from ruamel.yaml import YAML

        yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
        yaml.default_flow_style, yaml.width = False, LINE
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel's None
        yaml.representer.ignore_aliases = lambda *_: True  # Policies may not have any.
        yaml.dump(dict(self.document), stream)
        return stream.getvalue()


def import_scone(data: bytes) -> Converted:
    """The policy that says what a SCONE session says. Values of secrets are never repeated.

    Raises ``SconeSessionError``, ``PolicySyntaxError`` or ``TooLargeError``.
    """
    value = parse_yaml(data, what="session")
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise SconeSessionError(detail="expected a mapping with a name")
    version = str(value.get("version"))
    if version != "0.3" and not version.startswith("0.3."):
        raise SconeSessionError(detail=f"version {shown(version)} of the language is not 0.3")
    remarks = Remarks()
    document = _convert(Source(value, "session", remarks), remarks)
    made = Converted(MappingProxyType(document), tuple(remarks.missing), tuple(remarks.notes))
    if made.missing:
        return made
    try:
        parse_policy(made.to_yaml().encode())
    except AccordError as exc:
        # Whatever the tables above do not foresee is still said, and never passes for done.
        return Converted(made.document, (Remark("policy", str(exc)),), made.notes)
    return made


def _convert(session: Source, remarks: Remarks) -> dict[str, JSONValue]:
    session.ignore("version")
    name = (session.text("name") or "").lower()
    document: dict[str, JSONValue] = {"schema": POLICY_SCHEMA, "name": name, "purpose": PURPOSE}
    remarks.note("session", f"the purpose is {PURPOSE}: say what the owners of the data allow")
    if session.take("predecessor") is not None:
        remarks.note("session.predecessor", "is left out: this is a first version here")
    if "/" in name or session.take("namespace_hash") is not None:
        parent = shown(name.rpartition("/")[0])
        remarks.miss("session.name", f"add `namespace`: the digest of {parent} on your board")
    salt = session.text("salt")
    if salt is not None:
        document["salt"] = salt
    access = convert_access(session.object("access_policy"))
    if access:
        document["access"] = access
    secrets, exports = convert_secrets(session)
    if secrets:
        document["secrets"] = secrets
    if exports:
        document["exports"] = exports
    document["services"] = convert_services(session)
    for volume in session.objects("volumes"):
        remarks.miss(
            volume.where,
            f"seal {shown(volume.take('name'))} with `accord volume seal`, offer it as an asset, "
            "and list it under `inputs`; what is written goes to `outputs`",
        )
    session.rest()
    return document
