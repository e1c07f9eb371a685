# SPDX-License-Identifier: Apache-2.0
"""The strict reader that turns JSON objects into typed values, once, at the edge."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import Enum
from typing import TypeVar

from accord.encoding._base64 import base64_decode
from accord.encoding._digest import Digest, parse_digest
from accord.encoding._json import JSONValue
from accord.encoding._time import parse_time
from accord.errors import MalformedError, UnsupportedFormatError

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""Names of members, policies, services, outputs: safe in a path, a URL and a log line."""

UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls but tab, line feed, carriage return
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u200b-\u200d\u2060\ufeff"  # no width
    "\u2028\u2029"  # line breaks to some
    "\ud800-\udfff"  # surrogates
    "\ufdd0-\ufdef"  # noncharacters, and the last two of each plane:
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
"""What no text may hold (docs/spec/statements.md, 1). A fixed list, not the properties of the
Unicode version at hand, so that all readers agree whether a log is valid."""

MAX_TEXT = 4096
"""Longest text field, in characters, unless the caller says otherwise."""

MAX_ITEMS = 1024
"""Longest list or mapping."""


def _are_texts(keys: Iterable[object]) -> bool:
    # The types of most objects' keys are compared in C; a subclass of ``str`` is text as well.
    return {*map(type, keys)} <= {str} or all(isinstance(key, str) for key in keys)


def parse_name(value: JSONValue, *, what: str) -> str:
    """A name in the form of `NAME`. Raises ``MalformedError``."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise MalformedError(
            what=what, detail="expected a name: lower-case letters, digits, dot, dash, underscore"
        )
    return value


class Fields:
    """One JSON object being read; every field must be taken, or `end` refuses the rest.

    ``where`` is the path shown in errors, such as ``policy.services.train``.
    All readers raise ``MalformedError`` with that path.
    """

    def __init__(self, value: JSONValue, where: str) -> None:
        if not isinstance(value, dict) or not _are_texts(value):
            raise MalformedError(what=where, detail="expected an object")
        if len(value) > MAX_ITEMS:
            raise MalformedError(what=where, detail=f"more than {MAX_ITEMS} fields")
        self.where = where
        self._left = dict(value)

    def end(self) -> None:
        """Refuses whatever field was not taken."""
        if self._left:
            unknown = ", ".join(sorted(self._left))
            raise MalformedError(what=self.where, detail=f"unknown field {unknown}")

    def has(self, name: str) -> bool:
        """Whether the field is present and not yet taken."""
        return name in self._left

    def names(self) -> list[str]:
        """The fields not yet taken, for mappings whose keys are data."""
        return list(self._left)

    def path(self, name: str) -> str:
        return f"{self.where}.{name}"

    def take(self, name: str) -> JSONValue:
        """The raw value of a field that must be there."""
        if name not in self._left:
            near = difflib.get_close_matches(name, self._left, n=1)
            spelt = f"; there is {near[0]}" if near else ""
            raise MalformedError(what=self.where, detail=f"field {name} is missing{spelt}")
        return self._left.pop(name)

    def schema(self, expected: str, name: str = "schema") -> None:
        """The format marker. Raises ``UnsupportedFormatError`` for any other."""
        found = self.take(name)
        if found != expected:
            raise UnsupportedFormatError(what=self.where, found=repr(found), expected=expected)

    def text(self, name: str, *, limit: int = MAX_TEXT) -> str:
        """Text without `UNSAFE` characters. It may have lines, and characters that look alike."""
        return self._as_text(self.take(name), limit, self.path(name))

    def _as_text(self, value: JSONValue, limit: int, where: str) -> str:
        if not isinstance(value, str) or len(value) > limit:
            raise MalformedError(what=where, detail=f"expected text of at most {limit} characters")
        if UNSAFE.search(value):
            raise MalformedError(what=where, detail="holds a control character")
        return value

    def name(self, name: str) -> str:
        return parse_name(self.take(name), what=self.path(name))

    def integer(self, name: str, *, minimum: int, maximum: int = 2**53 - 1) -> int:
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise MalformedError(what=self.path(name), detail="expected an integer")
        if not minimum <= value <= maximum:
            raise MalformedError(
                what=self.path(name), detail=f"{value} is not within {minimum} to {maximum}"
            )
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise MalformedError(what=self.path(name), detail="expected true or false")
        return value

    def digest(self, name: str) -> Digest:
        return parse_digest(self.take(name), what=self.path(name))

    def time(self, name: str) -> datetime:
        return parse_time(self.take(name), what=self.path(name))

    def data(self, name: str, *, size: int | None = None, limit: int = 1 << 20) -> bytes:
        """Bytes written as base64; ``size`` is exact, ``limit`` the largest, both in bytes."""
        return self._as_data(self.take(name), size, limit, self.path(name))

    def _as_data(self, text: JSONValue, size: int | None, limit: int, where: str) -> bytes:
        longest = limit * 4 // 3 + 4
        if not isinstance(text, str) or len(text) > longest:
            raise MalformedError(
                what=where, detail=f"expected text of at most {longest} characters"
            )
        value = base64_decode(text, what=where)  # Its alphabet holds nothing unsafe.
        if size is not None and len(value) != size:
            raise MalformedError(what=where, detail=f"expected {size} bytes, found {len(value)}")
        return value

    def blobs(
        self, name: str, *, size: int | None = None, limit: int = 1 << 20, most: int = MAX_ITEMS
    ) -> tuple[bytes, ...]:
        """A list of at most ``most`` items, each as `data` reads it."""
        found = self.items(name, limit=most)
        return tuple(self._as_data(value, size, limit, where) for where, value in found)

    def hex(self, name: str, *, size: int) -> bytes:
        """Bytes written as lower-case hex, exactly ``size`` of them."""
        return self._as_hex(self.take(name), size, self.path(name))

    def _as_hex(self, value: JSONValue, size: int, where: str) -> bytes:
        if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", value):
            raise MalformedError(what=where, detail=f"expected {2 * size} lower-case hex digits")
        return bytes.fromhex(value)

    def hexes(self, name: str, *, size: int, most: int = MAX_ITEMS) -> tuple[bytes, ...]:
        """A list of at most ``most`` hex strings of ``size`` bytes each."""
        found = self.items(name, limit=most)
        return tuple(self._as_hex(value, size, where) for where, value in found)

    def choice(self, name: str, enum: type[E]) -> E:
        value = self.take(name)
        try:
            return enum(value)
        except ValueError as exc:
            known = ", ".join(str(item.value) for item in enum)
            raise MalformedError(
                what=self.path(name), detail=f"{value!r} is not one of: {known}"
            ) from exc

    def items(self, name: str, *, limit: int = MAX_ITEMS) -> Iterator[tuple[str, JSONValue]]:
        """The items of a list, each with its path."""
        value = self.take(name)
        if not isinstance(value, list) or len(value) > limit:
            raise MalformedError(
                what=self.path(name), detail=f"expected a list of at most {limit} items"
            )
        for index, item in enumerate(value):
            yield f"{self.path(name)}[{index}]", item

    def texts(self, name: str, *, limit: int = MAX_TEXT) -> tuple[str, ...]:
        return tuple(self._as_text(value, limit, where) for where, value in self.items(name))

    def unique_names(self, name: str) -> tuple[str, ...]:
        """A list of names in which none may appear twice."""
        found = tuple(parse_name(value, what=where) for where, value in self.items(name))
        if len(set(found)) != len(found):
            raise MalformedError(what=self.path(name), detail="a name appears twice")
        return found

    def object(self, name: str) -> Fields:
        return Fields(self.take(name), self.path(name))

    def objects(self, name: str, *, limit: int = MAX_ITEMS) -> list[Fields]:
        return [Fields(value, where) for where, value in self.items(name, limit=limit)]

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """``read(name)`` where the field is there, ``None`` where it is absent."""
        return read(name) if self.has(name) else None
