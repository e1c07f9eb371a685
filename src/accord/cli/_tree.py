# SPDX-License-Identifier: Apache-2.0
"""Draws nested values as a tree of lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum

from accord.encoding import format_time

Node = tuple[str, Sequence["Node"]]
"""A line, and what hangs below it."""

SHORT_BYTES = 24
"""How many bytes are shown of a longer value, unless everything is asked for."""


def draw(node: Node) -> Iterator[str]:
    """The lines of a tree, root first."""
    words, below = node
    yield words
    yield from _draw(below, "")


def _draw(nodes: Sequence[Node], indent: str) -> Iterator[str]:
    for index, (words, below) in enumerate(nodes):
        last = index == len(nodes) - 1
        yield f"{indent}{'└── ' if last else '├── '}{words}"
        yield from _draw(below, indent + ("    " if last else "│   "))


def nodes_of(value: object, *, full: bool) -> list[Node]:
    """The members of a dataclass, mapping or sequence, as nodes."""
    if is_dataclass(value) and not isinstance(value, type):
        return [_node(item.name, getattr(value, item.name), full=full) for item in fields(value)]
    if isinstance(value, Mapping):
        return [_node(str(name), item, full=full) for name, item in value.items()]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_node(str(index), item, full=full) for index, item in enumerate(value)]
    return []


def _node(name: str, value: object, *, full: bool) -> Node:
    below = nodes_of(value, full=full)
    if below:
        return name, below
    return f"{name}: {shown(value, full=full)}", ()


def shown(value: object, *, full: bool) -> str:
    """A value in words: bytes in hex, shortened unless ``full``; nothing as a dash."""
    match value:
        case bytes():
            long = not full and len(value) > SHORT_BYTES * 2
            text = f"{value[:SHORT_BYTES].hex()}… ({len(value)} bytes)" if long else value.hex()
        case bool():
            text = "yes" if value else "no"
        case datetime():
            text = format_time(value)
        case Enum():
            text = str(value.value)
        case None | Mapping() | tuple() | list():  # an empty one: others are branches
            text = ""
        case _:
            text = str(value)
            if not full and len(text) > 8 * SHORT_BYTES:
                text = f"{text[: 8 * SHORT_BYTES]}…"
    return text or "-"
