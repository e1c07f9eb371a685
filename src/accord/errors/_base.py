# SPDX-License-Identifier: Apache-2.0
"""What every error is: a code, an exit code, a sentence and a hint."""

from __future__ import annotations

import string
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of every command, one per class of outcome."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_VERIFIED = 3
    DENIED = 4
    UNREACHABLE = 5
    PENDING = 6
    INTEGRITY = 7
    INTERRUPTED = 130


class AccordError(Exception):
    """{detail}"""

    code: ClassVar[str] = ""
    """Stable identifier, ``accord-FAMILY-NNN``; empty on the classes that only group."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE
    hint: ClassVar[str] = ""

    refusal: bytes | None = None
    """The trust service's signed statement of it, where it gave one (docs/spec/release.md)."""

    def __init__(self, **details: object) -> None:
        self.details = details
        shown = {name: _one_line(value) for name, value in details.items()}
        super().__init__((type(self).__doc__ or "").format(**shown))

    @classmethod
    def fields(cls) -> tuple[str, ...]:
        """The names of the details that the message needs, in order."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(cls.__doc__ or "") if name)


def _one_line(value: object) -> str:
    """``value`` as text that cannot draw a line, or move a cursor, where it is shown."""
    text = "nothing" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def catalogue() -> dict[str, type[AccordError]]:
    """Every error with a code, by code. Raises ``RuntimeError`` where two share one."""
    found: dict[str, type[AccordError]] = {}
    pending = [AccordError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.code and found.setdefault(cls.code, cls) is not cls:
            message = f"{cls.code} names both {cls.__name__} and {found[cls.code].__name__}"
            raise RuntimeError(message)
    return dict(sorted(found.items()))
