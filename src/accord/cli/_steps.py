# SPDX-License-Identifier: Apache-2.0
"""The numbered steps of a verification, and at which of them evidence failed.

Every verifier marks its steps in its code with comments, ``# (n) What must hold``; the pages of
the specification have the same numbers. They are read from there, so that what is shown is what
runs: where the sources are not installed, there are none to show.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import FunctionType, TracebackType

from accord.policy import Family

_STEP = re.compile(r"^\s*# \((\d+)\) (.*)$")
_RANGE = re.compile(r"^(?:to|and) \((\d+)\) (.*)$")
_MORE = re.compile(r"^\s*# ?(?!\()(.*)$")
_PACKAGE = "accord.evidence."


@dataclass(frozen=True, slots=True)
class Step:
    """One step, or several that stand together, and the lines of code that are theirs."""

    number: int
    end: int
    words: str
    file: str
    first: int
    last: int

    @property
    def label(self) -> str:
        """As the pages of the specification number it."""
        if self.end == self.number:
            return f"({self.number}) {self.words}"
        return f"({self.number}) to ({self.end}) {self.words}"


def steps_of(family: Family) -> tuple[Step, ...]:
    """The steps of a family's verifier, by number; none where there are no sources."""
    name = f"verify_{family.value}"
    verifier = next(
        (
            found
            for package in ("intel", "amd", "tpm", "azure", "nitro", "arm", "keystone", "nvidia")
            if (found := getattr(import_module(_PACKAGE + package), name, None)) is not None
        ),
        None,
    )
    if verifier is None:
        return ()
    package = f"{_PACKAGE}{verifier.__module__.removeprefix(_PACKAGE).partition('.')[0]}."
    try:
        found = [step for f in _functions(verifier, package, set()) for step in _steps(f)]
    except OSError:
        return ()
    single = {step.number: step for step in found if step.number == step.end}
    # "(2) to (6)" announces steps that follow one by one, unless they do not.
    joint = {
        step.number: step for step in found if not single.keys() & range(step.number, step.end + 1)
    }
    return tuple(step for _, step in sorted({**joint, **single}.items()))


def _functions(
    function: Callable[..., object], package: str, seen: set[object]
) -> Iterator[FunctionType]:
    """The function, and those of its package that it names: other families have their own."""
    plain = inspect.unwrap(function)
    if not isinstance(plain, FunctionType) or plain in seen:
        return
    seen.add(plain)
    yield plain
    for name in plain.__code__.co_names:
        called = plain.__globals__.get(name)
        if callable(called) and f"{getattr(called, '__module__', '')}.".startswith(package):
            yield from _functions(called, package, seen)


def _steps(function: FunctionType) -> Iterator[Step]:
    lines, first = inspect.getsourcelines(function)
    found: list[tuple[int, int, int, str]] = []
    for at, line in enumerate(lines):
        marked = _STEP.match(line)
        if marked is None:
            continue
        number = end = int(marked[1])
        words = marked[2]
        joint = _RANGE.match(words)
        if joint is not None:
            end, words = int(joint[1]), joint[2]
        for more in lines[at + 1 :]:
            continued = _MORE.match(more)
            if continued is None or _STEP.match(more):
                break
            words += f" {continued[1]}"
        found.append((at, number, end, _sentence(words)))
    file = function.__code__.co_filename
    nexts = [*(item[0] for item in found[1:]), len(lines)]
    for (at, number, end, words), following in zip(found, nexts, strict=False):
        yield Step(number, end, words, file, first + at, first + following - 1)


def _sentence(text: str) -> str:
    """The first sentence, without its full stop."""
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0]


def failed_step(steps: tuple[Step, ...], trace: TracebackType | None) -> int | None:
    """The number of the step at which the traceback of a refusal passed, the innermost one."""
    number = None
    while trace is not None:
        file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        for step in steps:
            if step.file == file and step.first <= line <= step.last:
                number = step.number
        trace = trace.tb_next
    return number
