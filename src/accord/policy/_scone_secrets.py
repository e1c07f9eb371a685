# SPDX-License-Identifier: Apache-2.0
"""Secrets of a SCONE session, as a policy declares them."""

from __future__ import annotations

import re

from accord.encoding import JSONValue
from accord.policy._scone_source import Remarks, Source, converted_name, shown

_KEY_TYPES = {"P-256": "p256", "P-384": "p384", "Ed25519": "ed25519", "RSA-3072": "rsa-3072"}
_VALID = re.compile(r"(?P<number>[0-9]{1,6}) ?(?P<unit>d|days?|w|weeks?|m|months?|y|years?)?")
_DAYS = {"w": 7, "m": 30, "y": 365}

Document = dict[str, JSONValue]


def convert_secrets(session: Source) -> tuple[Document, list[JSONValue]]:
    """The mapping ``secrets`` and the list ``exports``; explicit values are never repeated."""
    secrets: Document = {}
    exports: list[JSONValue] = []
    for source in session.objects("secrets"):
        given = source.text("name")
        if given is None:
            session.remarks.miss(source.where, "has no name")
            continue
        name = converted_name(given, source.path("name"), session.remarks)
        if name in secrets:
            session.remarks.miss(source.where, f"another secret is called {shown(name)} already")
            continue
        made = _secret(source, name)
        if made is not None:
            secrets[name] = made
            exports += _exports(source, name)
        source.rest()
    return secrets, exports


def _secret(source: Source, name: str) -> Document | None:
    kind = source.text("kind")
    imported = source.object("import")
    if imported.names():
        source.ignore("size", "common_name", "private_key", "issuer", "endpoint")
        return _import(imported)
    if source.take("value") is not None:
        source.remarks.note(
            source.path("value"),
            f"a value never stands in a policy: deposit it as the asset owner/{name} "
            "(its owner's name instead of `owner`)",
        )
        source.ignore("size")
        return {"kind": "asset", "asset": f"owner/{name}"}
    return _made(source, kind, name)


def _made(source: Source, kind: str | None, name: str) -> Document | None:
    """A secret that is made within the service."""
    made: Document | None = None
    match kind:
        case "ascii" | "binary":
            size = source.integer("size")
            made = {"kind": kind} if size is None else {"kind": kind, "size": size}
        case "private-key":
            made = _private_key(source)
        case "public-key":
            made = {"kind": kind, "of": _name(source, "private_key") or ""}
        case "x509-ca" | "x509":
            made = _certificate(source, kind, name)
        case "jwt":
            source.remarks.miss(source.where, "only the signing key is made, no token with claims")
            made = {"kind": "jwt-key", "algorithm": "ES384"}
        case _:
            source.remarks.miss(source.path("kind"), f"there are no secrets of kind {shown(kind)}")
    return made


def _name(source: Source, field: str) -> str | None:
    given = source.text(field)
    return converted_name(given, source.path(field), Remarks()) if given is not None else None


def _private_key(source: Source) -> Document:
    given = source.text("key_type") or "P-256"
    algorithm = _KEY_TYPES.get(given)
    if algorithm is None:
        source.remarks.miss(source.path("key_type"), f"{shown(given)} is made as rsa-3072")
    made: Document = {"kind": "key", "algorithm": algorithm or "rsa-3072"}
    return {**made, "migrate": True} if source.flag("migrate") else made


def _certificate(source: Source, kind: str, name: str) -> Document:
    made: Document = {"kind": kind, "common_name": source.text("common_name") or name}
    for field, ours in (("private_key", "key"), ("issuer", "issuer")):
        if (other := _name(source, field)) is not None:
            made[ours] = other
    days = _days(source)
    if days is not None:
        made["valid_days"] = days
    if kind == "x509-ca":
        source.ignore("endpoint")
        return made
    made["endpoint"] = source.text("endpoint") or "server"
    names = [f"dns:{value}" for _, value in source.items("dns")]
    names += [str(value) for _, value in source.items("san")]
    names = [
        item if item.split(":")[0] in ("dns", "ip", "uri") else f"dns:{item}" for item in names
    ]
    if names:
        made["san"] = list(dict.fromkeys(names))
    elif made["endpoint"] == "server":
        source.remarks.miss(source.where, "a server's certificate needs `san`: add its dns: names")
    return made


def _days(source: Source) -> int | None:
    value = source.take("valid_for")
    if value is None:
        return None
    found = _VALID.fullmatch(str(value))
    if found is None:
        source.remarks.miss(source.path("valid_for"), f"{shown(value)} is no number of days")
        return None
    return int(found["number"]) * _DAYS.get((found["unit"] or "d")[0], 1)


def _import(source: Source) -> Document:
    made: Document = {"kind": "import"}
    for field, ours in (("session", "policy"), ("secret", "secret")):
        given = source.text(field)
        if given is None:
            source.remarks.miss(source.where, f"does not say which {ours}")
        else:
            made[ours] = given.lower()
    if source.take("session_hash") is not None:
        source.remarks.miss(source.path("session_hash"), "pin the digest of the policy here: `pin`")
    source.rest("name the other trust service under `service`: its board, log key and address")
    return made


def _exports(source: Source, name: str) -> list[JSONValue]:
    found: list[JSONValue] = []
    if source.flag("export_public"):
        found.append({"secret": name, "to": "public"})
    for where, value in source.items("export"):
        # A session alone may stand for the mapping that names it.
        target = Source(
            {"session": value} if isinstance(value, str) else value, where, source.remarks
        )
        session, namespace = target.text("session"), target.text("namespace")
        if target.take("session_hash") is not None:
            source.remarks.miss(where, "pin the digest of the importing policy here: `pin`")
        if session is not None:
            found.append({"secret": name, "to": session.lower()})
        elif namespace is not None:
            found.append({"secret": name, "to": namespace.lower(), "namespace": True})
        else:
            source.remarks.miss(where, "does not say to which policy")
        target.rest("name the other trust service under `service`: its board and log key")
    return found
