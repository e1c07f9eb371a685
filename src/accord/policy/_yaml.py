# SPDX-License-Identifier: Apache-2.0
"""Strict YAML: what a person writes, read without any of YAML's surprises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from accord.encoding import MAX_DOCUMENT_BYTES, JSONValue
from accord.errors import PolicySyntaxError, TooLargeError
from accord.policy._document import Policy

if TYPE_CHECKING:  # Loaded when YAML is read: most commands read none.
    from ruamel.yaml import YAML
    from ruamel.yaml.events import Event

MAX_DEPTH = 32
"""Deepest nesting of a document, three times what a policy needs."""


def _yaml() -> YAML:
    """A YAML 1.2 reader for which times stay text, as in JSON: the strict reader reads them."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor

    class Constructor(SafeConstructor):
        pass

    text = SafeConstructor.construct_yaml_str
    Constructor.add_constructor("tag:yaml.org,2002:timestamp", text)
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    return yaml


def parse_yaml(data: bytes, *, what: str = "policy") -> JSONValue:
    """The value of one YAML 1.2 document.

    Duplicate and merge keys, anchors, aliases, tags, directives and a second document are
    refused: each lets two readers see two documents.

    Raises ``TooLargeError`` or ``PolicySyntaxError``.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(data) > MAX_DOCUMENT_BYTES:
        raise TooLargeError(what=what, limit=MAX_DOCUMENT_BYTES)
    try:
        text = data.decode("utf-8")
        _refuse_indirection(_yaml().parse(text))
        return _yaml().load(text)
    except UnicodeDecodeError as exc:
        raise PolicySyntaxError(detail=f"not UTF-8 at byte {exc.start}") from exc
    except MarkedYAMLError as exc:
        place = f" in line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise PolicySyntaxError(detail=f"{exc.problem or 'unreadable'}{place}") from exc
    except (YAMLError, ValueError, RecursionError) as exc:
        raise PolicySyntaxError(
            detail=str(exc).splitlines()[0] if str(exc) else "unreadable"
        ) from exc


def _refuse_indirection(events: Iterator[Event]) -> None:
    from ruamel.yaml.events import AliasEvent, NodeEvent, ScalarEvent

    depth = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, AliasEvent) or (
            isinstance(event, NodeEvent) and event.anchor is not None
        ):
            raise PolicySyntaxError(detail=f"anchor or alias in line {line}")
        if getattr(event, "tag", None) is not None:
            raise PolicySyntaxError(detail=f"tag in line {line}")
        if getattr(event, "version", None) or getattr(event, "tags", None):
            raise PolicySyntaxError(detail=f"directive in line {line}")
        if isinstance(event, ScalarEvent) and event.value == "<<":
            raise PolicySyntaxError(detail=f"merge key in line {line}")
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > MAX_DEPTH:
            raise PolicySyntaxError(detail=f"nested deeper than {MAX_DEPTH} in line {line}")


def parse_policy(data: bytes) -> Policy:
    """The policy in a YAML (or JSON) document.

    Raises ``PolicySyntaxError`` or what `Policy.from_json` raises.
    """
    return Policy.from_json(parse_yaml(data))
