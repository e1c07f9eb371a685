# SPDX-License-Identifier: Apache-2.0
"""Pieces of the JSON Schema of policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from accord.encoding import MAX_ITEMS, NAME, JSONValue

Schema = dict[str, JSONValue]

DIGEST = "^sha256:[0-9a-f]{64}$"

INTEGER: Schema = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def text(pattern: str, words: str) -> Schema:
    return {"type": "string", "pattern": pattern, "description": words}


def integer(minimum: int, maximum: int) -> Schema:
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def choice(kinds: type[StrEnum], default: StrEnum | None = None) -> Schema:
    made: Schema = {"enum": [kind.value for kind in kinds]}
    return made if default is None else {**made, "default": default.value}


def listed(items: Schema, *, least: int = 0, unique: bool = False) -> Schema:
    made: Schema = {"type": "array", "items": items, "maxItems": MAX_ITEMS}
    if least:
        made["minItems"] = least
    return {**made, "uniqueItems": True} if unique else made


def mapping(values: Schema, *, names: Schema | None = None) -> Schema:
    """An object whose keys are names, of which ``names`` may say more."""
    pattern: Schema = {"pattern": f"^{NAME.pattern}$"}
    return {
        "type": "object",
        "propertyNames": pattern if names is None else {**pattern, **names},
        "additionalProperties": values,
    }


def record(
    *,
    required: Mapping[str, Schema] | None = None,
    optional: Mapping[str, Schema] | None = None,
) -> Schema:
    """An object with these fields and no others."""
    made: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**(required or {}), **(optional or {})},
    }
    return {**made, "required": list(required)} if required else made


def hexes(sizes: Iterable[int] | Sequence[int]) -> Schema:
    """Lower-case hex of one of these sizes in bytes."""
    known = sorted(set(sizes))
    if known == list(range(known[0], known[-1] + 1)) and len(known) > 2:  # noqa: PLR2004 - a range
        return {"type": "string", "pattern": f"^([0-9a-f]{{2}}){{{known[0]},{known[-1]}}}$"}
    ways = "|".join(f"[0-9a-f]{{{2 * size}}}" for size in known)
    return {"type": "string", "pattern": f"^({ways})$" if len(known) > 1 else f"^{ways}$"}
