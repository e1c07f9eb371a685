# SPDX-License-Identifier: Apache-2.0
"""Filling templates in: once, from left to right, so that a value is never itself a template."""

from __future__ import annotations

from collections.abc import Mapping

from accord.errors import SecretFormatError, TooLargeError, UnknownSecretError
from accord.policy import FILES_ONLY, names_in
from accord.secrets._format import rendered
from accord.secrets._value import SecretValue

MAX_FILLED = 1 << 20
"""Longest text with its secrets filled in, in bytes: ten times any configuration we know."""


def render(
    text: str, values: Mapping[tuple[str, str | None], bytes], *, where: str = "template"
) -> bytes:
    """``text`` with every reference replaced by the value for its name and format.

    Raises ``TemplateError``, ``UnknownSecretError`` or ``TooLargeError``.
    """
    parts: list[bytes] = []
    done = size = 0
    for reference in names_in(text, where=where):
        value = values.get((reference.name, reference.format))
        if value is None:
            raise UnknownSecretError(where=where, name=reference.name)
        parts += [text[done : reference.start].encode(), value]
        size += len(value)
        if size > MAX_FILLED:
            raise TooLargeError(what=where, limit=MAX_FILLED)
        done = reference.end
    return b"".join([*parts, text[done:].encode()])


def fill_file(text: str, secrets: Mapping[str, SecretValue], *, where: str) -> bytes:
    """The content of a file. Raises as `render` and `rendered` do."""
    return render(text, _values(text, secrets, where), where=where)


def fill(text: str, secrets: Mapping[str, SecretValue], *, where: str) -> str:
    """An argument or the value of an environment variable: text without zero bytes.

    Raises as `fill_file` does, and ``SecretFormatError`` for a format that is only for files.
    """
    for reference in names_in(text, where=where):
        if reference.format in FILES_ONLY:
            raise SecretFormatError(
                where=where,
                name=reference.name,
                format=reference.format,
                detail="that is only for files",
            )
    return fill_file(text, secrets, where=where).decode()


def _values(
    text: str, secrets: Mapping[str, SecretValue], where: str
) -> Mapping[tuple[str, str | None], bytes]:
    found: dict[tuple[str, str | None], bytes] = {}
    for reference in names_in(text, where=where):
        name, form = reference.name, reference.format
        if name not in secrets:
            raise UnknownSecretError(where=where, name=name)
        if (name, form) not in found:
            found[name, form] = rendered(secrets[name], form, name=name)
    return found
