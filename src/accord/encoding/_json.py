# SPDX-License-Identifier: Apache-2.0
"""Strict JSON, and the canonical form that is hashed and signed (RFC 8785)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

import rfc8785

from accord.errors import MalformedError, NotCanonicalError, TooLargeError

JSONValue = Any
"""What a JSON document holds; typed by `Fields` before anything is done with it."""

_TEXT = frozenset({str})
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_EXACT = 2**53
"""From here on a number is not the same in every reader of JSON."""

MAX_DOCUMENT_BYTES = 1 << 20
"""Largest document parsed unless the caller says otherwise: 1 MiB, ten times the largest
policy we have seen, small enough to hold thousands in memory."""


def canonical_json(value: JSONValue) -> bytes:
    """``value`` in the only spelling that is ever hashed or signed.

    Raises ``RuntimeError`` for a value that JSON cannot carry: a bug of the caller.
    """
    try:
        return _dumps(value) if _is_exact(value) else rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as exc:
        message = f"not representable as canonical JSON: {exc}"
        raise RuntimeError(message) from exc


def _is_exact(value: JSONValue) -> bool:
    """Whether ``value`` has no number whose canonical spelling needs thought."""
    left = [value]
    for item in left:  # It grows while it is read: no recursion, most of all no call per item.
        kind = type(item)
        if kind is dict:
            if not set(map(type, item)) <= _TEXT:
                return False
            left.extend(item.values())
        elif kind is list:
            left.extend(item)
        elif kind is int:
            if abs(item) >= _EXACT:
                return False
        elif not (item is None or isinstance(item, (str, bool))):
            return False
    return True


def _dumps(value: JSONValue) -> bytes:
    """RFC 8785 for values without floats, ten times faster than ``rfc8785`` where all is ASCII.

    Then the standard library's encoder in C writes the very same bytes: the shortest escapes
    (section 3.2.2.2), no white space, and keys in the one order that code points and UTF-16
    code units agree on (section 3.2.3). A property test compares the two.
    """
    text = _ENCODER.encode(value)
    return text.encode() if text.isascii() else rfc8785.dumps(value)


class _RefusedError(Exception):
    """JSON that is fine for others and not for us."""


def _refuse(detail: str) -> NoReturn:
    raise _RefusedError(detail)


def _pairs(items: list[tuple[str, JSONValue]]) -> dict[str, JSONValue]:
    seen = dict(items)
    if len(seen) != len(items):
        [(key, _)] = Counter(key for key, _ in items).most_common(1)
        _refuse(f"key {key!r} appears twice")
    return seen


def _integer(text: str) -> int:
    if len(text) > len(str(-(2**53))) or abs(int(text)) > 2**53 - 1:
        _refuse("an integer is beyond 2**53")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_float=lambda text: _refuse(f"{text} is not an integer"),
    parse_int=_integer,
    parse_constant=lambda text: _refuse(f"{text} is not JSON"),
)


def parse_json(data: bytes, *, what: str, limit: int = MAX_DOCUMENT_BYTES) -> JSONValue:
    """The value of a JSON document; duplicate keys, floats and other constants are refused.

    Floats have no place in what we sign: every number is an integer within 2**53.
    Raises ``TooLargeError`` or ``MalformedError``.
    """
    if len(data) > limit:
        raise TooLargeError(what=what, limit=limit)
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        if b"\\u" in data:
            _refuse_half_pairs(value, what)
    except UnicodeDecodeError as exc:
        raise MalformedError(what=what, detail=f"not UTF-8 at byte {exc.start}") from exc
    except _RefusedError as exc:
        raise MalformedError(what=what, detail=exc) from exc
    except json.JSONDecodeError as exc:
        raise MalformedError(what=what, detail=f"not JSON at byte {exc.pos}: {exc.msg}") from exc
    except RecursionError as exc:
        raise MalformedError(what=what, detail="nested too deeply") from exc
    return value


def _refuse_half_pairs(value: JSONValue, what: str) -> None:
    """An escape may name half of a surrogate pair, which no UTF-8 can carry onwards."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise MalformedError(what=what, detail="half of a surrogate pair") from exc


def parse_canonical_json(data: bytes, *, what: str, limit: int = MAX_DOCUMENT_BYTES) -> JSONValue:
    """The value of a document that must already be in canonical form.

    Raises ``TooLargeError``, ``MalformedError`` or ``NotCanonicalError``.
    """
    value = parse_json(data, what=what, limit=limit)
    try:
        canonical = _dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as exc:
        raise MalformedError(what=what, detail="holds a value that cannot be canonical") from exc
    if canonical != data:
        raise NotCanonicalError(what=what)
    return value
