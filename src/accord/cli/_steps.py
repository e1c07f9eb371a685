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
_RANGE = re.compile(r"^\s*# \(\d+\) (?:to|and) \(\d+\)")
_MORE = re.compile(r"^\s*# ?(?!\()(.*)$")
_PACKAGE = "accord.evidence."


@dataclass(frozen=True, slots=True)
class Step:
    """One step, where it stands, and where the next one begins."""

    number: int
    words: str
    file: str
    first: int
    last: int


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
    try:
        steps = {step.number: step for f in _functions(verifier, set()) for step in _steps(f)}
    except OSError:
        return ()
    return tuple(steps[number] for number in sorted(steps))


def _functions(function: Callable[..., object], seen: set[object]) -> Iterator[FunctionType]:
    """The function, and those of the evidence package that it calls by name."""
    plain = inspect.unwrap(function)
    if not isinstance(plain, FunctionType) or plain in seen:
        return
    seen.add(plain)
    yield plain
    for name in plain.__code__.co_names:
        called = plain.__globals__.get(name)
        if callable(called) and getattr(called, "__module__", "").startswith(_PACKAGE):
            yield from _functions(called, seen)


def _steps(function: FunctionType) -> Iterator[Step]:
    lines, first = inspect.getsourcelines(function)
    found: list[tuple[int, int, str]] = []
    for at, line in enumerate(lines):
        marked = _STEP.match(line)
        if marked is None or _RANGE.match(line):
            continue
        words = [marked[2]]
        for more in lines[at + 1 :]:
            continued = _MORE.match(more)
            if continued is None or _STEP.match(more):
                break
            words.append(continued[1])
        found.append((int(marked[1]), at, _sentence(" ".join(words))))
    ends = [at for _, at, _ in found[1:]] + [len(lines)]
    for (number, at, words_), end in zip(found, ends, strict=True):
        yield Step(number, words_, function.__code__.co_filename, first + at, first + end - 1)


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
