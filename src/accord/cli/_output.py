# SPDX-License-Identifier: Apache-2.0
"""The only printer: data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence

from accord.encoding import JSONValue
from accord.errors import AccordError

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1"}


def plain(text: str) -> str:
    """``text`` on one line, without anything that a terminal would obey.

    Line breaks are shown as ``\\n``: only the printer ends a line.
    """
    return "".join(c if c.isprintable() else "\\n" if c == "\n" else "?" for c in text)


def coloured(text: str, colour: str, *, stream_is_terminal: bool) -> str:
    if "NO_COLOR" in os.environ or not (stream_is_terminal or "FORCE_COLOR" in os.environ):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def error_document(error: AccordError) -> dict[str, JSONValue]:
    """A refusal as programs read it."""
    return {
        "schema": "accord.error.v1",
        "code": error.code,
        "message": str(error),
        "hint": error.hint,
    }


class Output:
    """Where a command says what it did. With ``json`` stdout holds one document, no more."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def result(self, document: JSONValue, text: str | Iterable[str]) -> None:
        """The data of the command: ``document`` for programs, ``text`` for people."""
        if self.json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")
        else:
            lines = [text] if isinstance(text, str) else list(text)
            sys.stdout.write("".join(plain(line) + "\n" for line in lines))
        sys.stdout.flush()

    def note(self, words: str) -> None:
        """Progress and remarks."""
        sys.stderr.write(plain(words) + "\n")
        sys.stderr.flush()

    def fact(self, words: str) -> None:
        """One thing that was checked and holds."""
        mark = coloured("✓", "green", stream_is_terminal=sys.stderr.isatty())
        sys.stderr.write(f"{mark} {plain(words)}\n")

    def warn(self, words: str) -> None:
        """Something that the reader should know before relying on the result."""
        mark = coloured("!", "yellow", stream_is_terminal=sys.stderr.isatty())
        sys.stderr.write(f"{mark} {plain(words)}\n")

    def error(self, error: AccordError) -> None:
        """A refusal, with its code and what to do about it."""
        if self.json:
            sys.stdout.write(json.dumps(error_document(error), indent=2, ensure_ascii=True) + "\n")
            sys.stdout.flush()
        self.refusal(error)

    def refusal(self, error: AccordError) -> None:
        """The words of a refusal alone, beside a document that tells of it already."""
        word = coloured("error:", "red", stream_is_terminal=sys.stderr.isatty())
        sys.stderr.write(f"{word} {error.code} {plain(str(error))}\n")
        if error.hint:
            sys.stderr.write(f"hint: {plain(error.hint)}\n")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns aligned with two blanks between them."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
