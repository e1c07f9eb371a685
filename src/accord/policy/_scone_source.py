# SPDX-License-Identifier: Apache-2.0
"""Reading a SCONE session without losing anything: what nobody took is listed at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from accord.encoding import NAME, JSONValue
from accord.policy._templates import START
from accord.policy._terms import visible

MAX_SHOWN = 48
"""Longest piece of a session that is repeated in a remark, in characters."""

_REFERENCE = re.compile(
    r"\$\$SCONE::(?P<name>[A-Za-z0-9._/-]{1,128})(?P<format>(?::[a-z0-9-]{1,32}){0,4})"
    r"(?P<filter>\|[a-z()]{1,32})?\$\$"
)
_VARIABLE = re.compile(r"\$(?:\{[A-Za-z_]|[A-Za-z_])")
_HOST = re.compile(r"@@[A-Za-z0-9_]+")

_FORMATS = {
    "": None,
    **{name: name for name in ("hex", "bin", "base64", "base64url", "pem", "der", "crt", "chain")},
    "pkcs8:pem": "pem",
    "pkcs8:der": "der",
    "crt:pem": "crt",
    "crt:der": "der",
    "privatekey": "privatekey",
    "privatekey:pem": "privatekey",
    "privatekey:pkcs8:pem": "privatekey",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about one place of a session."""

    where: str
    sentence: str

    def to_json(self) -> JSONValue:
        return {"where": self.where, "sentence": self.sentence}


@dataclass(slots=True)
class Remarks:
    """What has no equivalent, and what the author should look at although it has one."""

    missing: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)

    def miss(self, where: str, sentence: str) -> None:
        self.missing.append(Remark(where, sentence))

    def note(self, where: str, sentence: str) -> None:
        self.notes.append(Remark(where, sentence))


class Source:
    """One mapping of a session; `rest` lists whatever was not taken as having no equivalent.

    A value of the wrong type is listed as well, and then read as if it were not there.
    """

    def __init__(self, value: JSONValue, where: str, remarks: Remarks) -> None:
        self.where, self.remarks = where, remarks
        self._left = {}
        if isinstance(value, dict):
            self._left = {str(name): item for name, item in value.items()}
        elif value is not None:
            remarks.miss(where, "is no mapping")

    def path(self, name: str) -> str:
        return f"{self.where}.{shown(name)}"

    def names(self) -> list[str]:
        return list(self._left)

    def take(self, name: str) -> JSONValue:
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is None or isinstance(value, str):
            return value
        self.remarks.miss(self.path(name), "is no text")
        return None

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.remarks.miss(self.path(name), "is neither true nor false")
        return value is True

    def integer(self, name: str) -> int | None:
        value = self.take(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.remarks.miss(self.path(name), "is no whole number")
        return None

    def items(self, name: str) -> Iterator[tuple[str, JSONValue]]:
        """The items of a list, or the one value that stands for a list, with their paths."""
        value = self.take(name)
        if value is None:
            return
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            yield f"{self.path(name)}[{index}]", item

    def object(self, name: str) -> Source:
        return Source(self.take(name), self.path(name), self.remarks)

    def objects(self, name: str) -> list[Source]:
        return [Source(value, where, self.remarks) for where, value in self.items(name)]

    def ignore(self, *names: str) -> None:
        """Takes what needs no equivalent."""
        for name in names:
            self._left.pop(name, None)

    def rest(self, why: str = "has no equivalent") -> None:
        for name in self._left:
            self.remarks.miss(self.path(name), why)
        self._left = {}


def shown(value: object) -> str:
    """A piece of a session in visible ASCII, not longer than `MAX_SHOWN`."""
    text = visible(str(value))
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def converted_name(text: str, where: str, remarks: Remarks) -> str:
    """A name as policies have them; whoever has to change it is told."""
    name = text.lower()
    if not NAME.fullmatch(name):
        remarks.miss(where, f"{shown(text)} is no name here: lower-case letters, digits, ._-")
        return name
    if name != text:
        remarks.note(where, f"{shown(text)} is called {name} here")
    return name


def referenced_name(text: str) -> str | None:
    """The secret that ``text`` is a reference to, and nothing else; its format is left out."""
    found = _REFERENCE.fullmatch(text)
    if found is None or found["filter"] or not NAME.fullmatch(found["name"].lower()):
        return None
    return found["name"].lower()


def converted_text(text: str, where: str, remarks: Remarks) -> str:
    """A text with its references to secrets as templates; those of the host are listed."""

    def template(found: re.Match[str]) -> str:
        name, form = found["name"].lower(), found["format"].removeprefix(":")
        if form not in _FORMATS:
            remarks.miss(where, f"{found['name']} cannot be had as {form}")
        if found["filter"]:
            remarks.miss(where, f"{found['name']} cannot be passed through {found['filter'][1:]}")
        known = _FORMATS.get(form)
        return f"{{{{ accord.{name}:{known} }}}}" if known else f"{{{{ accord.{name} }}}}"

    if START.search(text):
        remarks.miss(where, "holds what would be read as a template here")
    plain = _REFERENCE.sub("", text)
    if "$$SCONE" in plain:
        remarks.miss(where, "holds a reference that is not understood")
    elif _VARIABLE.search(plain):
        remarks.note(where, "holds a $VARIABLE: if the SCONE client filled it in, do so yourself")
    if _HOST.search(plain):
        remarks.miss(where, "takes a value from the host, which no policy allows")
    return _REFERENCE.sub(template, text)
