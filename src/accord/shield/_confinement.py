# SPDX-License-Identifier: Apache-2.0
"""What a confined program may see, and the refusal of descriptions that make no sense."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from accord.errors import ConfinementError
from accord.policy import Network
from accord.shield._runtime import runtime_paths

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev", "/etc")
"""Paths inside that belong to the system; a policy may not lay its own files over them."""

_SCRATCH = ("/", "/tmp", "/run")  # noqa: S108 - inside the sandbox
"""Fresh and empty inside; files may be shown below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """A program and everything that it may see. Paths on the left are inside the sandbox."""

    command: tuple[str, ...]
    """``python`` as the first word means the interpreter, and the packages, of the shield."""

    environment: Mapping[str, str] = field(repr=False)
    """All of it. May hold secrets: it never appears on a command line, or where this is printed."""

    workdir: str
    read_only: Mapping[str, Path]
    writable: Mapping[str, Path]
    timeout_s: float | None
    memory_limit_bytes: int | None
    """Address space of each process, and size of each in-memory file system."""

    links: Mapping[str, str] = field(default_factory=dict)
    """Symbolic links: a path inside, and the path inside that it leads to."""

    network: Network = Network.NONE


def check(confinement: Confinement) -> None:
    """Refuse what could not be meant. Raises ``ConfinementError``."""
    for text in _texts(confinement):
        _check_text(text)
    if not confinement.command or not confinement.command[0]:
        raise ConfinementError(detail="the command is empty")
    for name in confinement.environment:
        if not name or "=" in name:
            raise ConfinementError(detail=f"{name!r} is not the name of a variable")
    _check_places(confinement)
    if not PurePosixPath(confinement.workdir).is_absolute():
        raise ConfinementError(detail="the working directory is not an absolute path")
    limits = {"time": confinement.timeout_s, "memory": confinement.memory_limit_bytes}
    for name, limit in limits.items():
        # Written so that a limit that is not a number is refused as well.
        if limit is not None and not limit > 0:
            raise ConfinementError(detail=f"the {name} limit is not positive")


def _check_places(confinement: Confinement) -> None:
    both = set(confinement.read_only) & set(confinement.writable)
    if both:
        raise ConfinementError(detail=f"{min(both)} is both read-only and writable")
    for path, source in (*confinement.read_only.items(), *confinement.writable.items()):
        _check_mount(path, source)
    for path in confinement.links:
        _check_place(path)
        if path in {*confinement.read_only, *confinement.writable}:
            raise ConfinementError(detail=f"{path} is both a link and something else")
    for path, source in confinement.writable.items():
        if not source.is_dir():
            raise ConfinementError(detail=f"{path} is writable and not a directory")


def _texts(confinement: Confinement) -> Iterator[str]:
    yield from confinement.command
    yield from confinement.environment
    yield from confinement.environment.values()
    yield confinement.workdir
    for mounts in (confinement.read_only, confinement.writable, confinement.links):
        yield from mounts
        yield from map(str, mounts.values())


def _check_text(text: str) -> None:
    try:
        whole = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        whole = False
    if not whole:
        # The text itself is not repeated: it may be a secret.
        raise ConfinementError(detail="a word, path or variable is not plain text")


def _check_mount(path: str, source: Path) -> None:
    _check_place(path)
    if not source.exists():
        raise ConfinementError(detail=f"there is nothing to show at {path}")


def _check_place(path: str) -> None:
    inside = PurePosixPath(path)
    if str(inside) != path or not inside.is_absolute() or ".." in inside.parts:
        raise ConfinementError(detail=f"{path!r} is not a plain absolute path")
    if path in _SCRATCH or any(inside.is_relative_to(system) for system in _SYSTEM):
        raise ConfinementError(detail=f"{path} belongs to the system")
    if any(runtime.is_relative_to(path) for runtime in runtime_paths()):
        raise ConfinementError(detail=f"{path} would hide the Python runtime")
