# SPDX-License-Identifier: Apache-2.0
"""Runs a documentation page as a reader would: its files are written, its commands typed.

In a page, a fence ````console```` holds commands (lines that start with ``$``, continued by lines
that start with ``>``) and what they print. ``…`` stands for any text, alone on a line for any
lines. Commands without output are not compared. A command fails exactly if the page shows a
line ``error: CODE …``, and then with the exit code of that error. A fence whose info string
says ``file=PATH`` is written to PATH.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from accord.errors import catalogue

COMMAND_TIMEOUT_S = 60
_FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_REFUSAL = re.compile(r"^error: (accord-[A-Z]+-\d{3}) ", re.MULTILINE)
_END = "\x1eend-of-command\x1e"


@dataclass(frozen=True)
class Fence:
    """One fenced block of a page; ``words`` are those of its info string."""

    page: Path
    line: int
    words: tuple[str, ...]
    body: str

    @property
    def language(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def file(self) -> str | None:
        named = [word.removeprefix("file=") for word in self.words if word.startswith("file=")]
        return named[0] if named else None

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """What the reader types, and what the page says that it prints."""

    where: str
    text: str
    expected: str

    @property
    def exit_code(self) -> int:
        refused = _REFUSAL.search(self.expected)
        return int(catalogue()[refused[1]].exit_code) if refused else 0


def fences(page: Path) -> list[Fence]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Fence(
            page,
            text.count("\n", 0, match.start()) + 1,
            tuple(match["info"].split()),
            match["body"],
        )
        for match in _FENCE.finditer(text)
    ]


def commands(fence: Fence) -> Iterator[Command]:
    """The commands of one console block."""
    text: list[str] = []
    expected: list[str] = []
    started = fence.line
    for number, line in enumerate(fence.body.splitlines(), start=fence.line + 1):
        if line.startswith("$ "):
            if text:
                yield Command(f"{fence.page.name}:{started}", "\n".join(text), _lines(expected))
            text, expected, started = [line[2:]], [], number
        elif line.startswith("> ") and text and not expected:
            text.append(line[2:])
        else:
            assert text, f"{fence.where}: output before any command"
            expected.append(line)
    assert text, f"{fence.where}: no command"
    yield Command(f"{fence.page.name}:{started}", "\n".join(text), _lines(expected))


def _lines(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)


def matches(expected: str, printed: str) -> bool:
    """Whether ``printed`` is what the page shows, ``…`` standing for anything."""
    parts = [r"(?:.*\n)*?" if line == "…" else _pattern(line) for line in expected.splitlines()]
    return re.fullmatch("".join(parts), printed) is not None


def _pattern(line: str) -> str:
    return "[^\n]*".join(map(re.escape, line.split("…"))) + "\n"


class Session:
    """One shell in one folder, as a reader has it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()

    def run(self, page: Path) -> list[str]:
        """Types the whole page; returns what went otherwise than the page says."""
        wrong = []
        for fence in fences(page):
            if fence.file is not None:
                target = self._folder / fence.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(fence.body, encoding="utf-8")
            elif fence.language == "console":
                for command in commands(fence):
                    problem = self._check(command)
                    if problem:
                        wrong.append(problem)
        return wrong

    def _check(self, command: Command) -> str:
        exit_code, printed = self._type(command.text)
        if exit_code != command.exit_code:
            asked = f"exit code {command.exit_code}"
            return f"{command.where}: {command.text}\n{asked}, got {exit_code}:\n{printed}"
        if command.expected and not matches(command.expected, printed):
            return f"{command.where}: {command.text}\nprinted\n{printed}"
        return ""

    def _type(self, text: str) -> tuple[int, str]:
        typed = f"{{ {text}\n}} </dev/null\nprintf '{_END}%d\\n' $?\n"
        assert self._shell.stdin is not None
        self._shell.stdin.write(typed.encode())
        self._shell.stdin.flush()
        printed = self._read_until_end()
        output, _, code = printed.rpartition(_END)
        return int(code), output

    def _read_until_end(self) -> str:
        assert self._shell.stdout is not None
        descriptor, data = self._shell.stdout.fileno(), b""
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        ended = re.compile(re.escape(_END.encode()) + rb"\d+\n$")
        while not ended.search(data):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                message = f"no end of the command; so far:\n{data.decode(errors='replace')}"
                raise TimeoutError(message)
            part = os.read(descriptor, 1 << 16)
            if not part:
                message = f"the shell ended:\n{data.decode(errors='replace')}"
                raise EOFError(message)
            data += part
        return data.decode()
