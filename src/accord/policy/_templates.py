# SPDX-License-Identifier: Apache-2.0
"""Templates: where a policy's texts name secrets, ``{{ accord.NAME }}`` or with ``:FORMAT``.

The texts are filled in within the shield (`accord.secrets.render`); here they are only read,
so that a policy with a name or format that does not exist is refused before anybody votes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from accord.encoding import NAME
from accord.errors import SecretFormatError, TemplateError, UnknownSecretError
from accord.policy._secrets import AUTHORITY, IDENTITY, SecretKind, SecretSpec

START = re.compile(r"\{\{[\s\-~+#%]*accord", re.IGNORECASE)
"""What anybody would take for one of ours; other tools' ``{{ }}`` are none of our business."""

_REFERENCE = re.compile(
    rf"\{{\{{[ \t]*accord\.(?P<name>{NAME.pattern})"
    r"(?::(?P<format>[a-z0-9-]{1,32}))?[ \t]*\}\}"
)

_BYTES = ("text", "hex", "base64", "base64url", "bin")

FORMATS: Mapping[SecretKind, tuple[str, ...]] = {
    SecretKind.ASCII: _BYTES,
    SecretKind.BINARY: ("hex", "base64", "base64url", "bin"),
    SecretKind.ASSET: _BYTES,
    SecretKind.KEY: ("pem", "der", "public"),
    SecretKind.PUBLIC_KEY: ("pem", "der"),
    SecretKind.X509_CA: ("crt", "chain", "der", "privatekey"),
    SecretKind.X509: ("crt", "chain", "der", "privatekey"),
    SecretKind.JWT_KEY: ("jwk", "pem", "public"),
}
"""Formats of each kind, the default first; an import has those of what it imports."""

OWN_FORMATS: Mapping[str, tuple[str, ...]] = {
    AUTHORITY: ("crt", "chain", "der"),
    IDENTITY: ("crt", "chain", "der", "privatekey"),
}
"""Formats of what a service has from its policy's authority, whose own key nobody gets."""

FILES_ONLY = frozenset({"bin", "der"})
"""Bytes that neither an argument nor an environment variable can hold."""

_ANY = tuple(sorted({name for names in FORMATS.values() for name in names}))


@dataclass(frozen=True, slots=True)
class Reference:
    """One place in a template: the characters ``start`` to ``end`` stand for a secret."""

    name: str
    format: str | None
    """``None``: the default of the secret's kind."""

    start: int
    end: int


def names_in(text: str, *, where: str = "template") -> tuple[Reference, ...]:
    """Every reference in ``text``, from left to right; whether it exists is *not* checked.

    Raises ``TemplateError`` where something starts like a reference and is none.
    """
    return tuple(_references(text, where))


def _references(text: str, where: str) -> Iterator[Reference]:
    for start in START.finditer(text):
        found = _REFERENCE.match(text, start.start())
        if found is None:
            raise TemplateError(where=where, position=start.start())
        yield Reference(found["name"], found["format"], found.start(), found.end())


def check_template(
    text: str,
    secrets: Mapping[str, SecretSpec],
    *,
    where: str,
    file: bool = False,
    own: Collection[str] = (),
) -> None:
    """Refuses a text that could not be filled in; ``file``: it is the content of a file.

    ``own`` holds those of `AUTHORITY` and `IDENTITY` that the service has.
    Raises ``TemplateError``, ``UnknownSecretError`` or ``SecretFormatError``.
    """
    for reference in names_in(text, where=where):
        name, form = reference.name, reference.format
        if name in own:
            known = OWN_FORMATS[name]
        elif name in secrets:
            # What an import turns out to be is known only later: any format may be right.
            known = FORMATS.get(secrets[name].kind, _ANY)
        else:
            raise UnknownSecretError(where=where, name=name)
        detail = None
        if form is not None and form not in known:
            detail = f"it comes as {', '.join(known)}"
        elif form in FILES_ONLY and not file:
            detail = "that is only for files"
        if detail is not None:
            raise SecretFormatError(where=where, name=name, format=form, detail=detail)
