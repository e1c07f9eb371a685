# SPDX-License-Identifier: Apache-2.0
"""Options that mean the same on every command, and reading and writing the files they name."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from accord.cli._output import Output
from accord.encoding import MAX_DOCUMENT_BYTES, Digest, parse_digest, parse_time
from accord.errors import FileAccessError, MalformedError, NotConfirmedError, TooLargeError
from accord.identity import write_whole

P = ParamSpec("P")
R = TypeVar("R")

PATH = click.Path(path_type=Path)

TYPED = 8
"""How many digits of a digest a person types to show that they looked."""


def with_output(command: Callable[Concatenate[Output, P], R]) -> Callable[P, R]:
    """Adds ``--json`` and passes the command its `Output` first."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        as_json = bool(kwargs.pop("as_json"))
        return command(Output(json=as_json), *args, **kwargs)

    return wrapped


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        type=PATH,
        required=True,
        envvar="ACCORD_HOME",
        help="Folder of your identity (or ACCORD_HOME).",
    )(command)


def storage_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--storage",
        type=PATH,
        required=True,
        envvar="ACCORD_STORAGE",
        help="Folder that holds volumes; it need not be trusted (or ACCORD_STORAGE).",
    )(command)


def simulated_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--simulated",
        type=PATH,
        required=True,
        metavar="PLATFORM",
        help="Folder of a simulated platform (`accord sim platform`). NOT HARDWARE.",
    )(command)


def cache_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--cache",
        type=PATH,
        default=default_cache,
        envvar="ACCORD_COLLATERAL",
        help="Folder of the collateral cache (or ACCORD_COLLATERAL).",
    )(command)


def default_cache() -> Path:
    """Where collateral is kept unless somebody says otherwise (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "accord" / "collateral"


def read_now(text: str) -> datetime:
    """The moment given on the command line. Raises ``click.BadParameter``."""
    try:
        return parse_time(text, what="--now")
    except MalformedError as exc:
        raise click.BadParameter(str(exc), param_hint="--now") from exc


def read_file(path: Path, *, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Raises ``FileAccessError`` or ``TooLargeError``."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as exc:
        raise FileAccessError(action="read", path=path, detail=exc.strerror) from exc
    if len(data) > limit:
        raise TooLargeError(what=str(path), limit=limit)
    return data


def read_stdin(*, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """What ``-`` stands for. Raises ``TooLargeError``."""
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(what="standard input", limit=limit)
    return data


def write_file(path: Path, data: bytes) -> None:
    """Replaces ``path`` whole or not at all; a link is replaced, never followed.

    Raises ``FileAccessError``, also for what is no file: a device must not become one.
    """
    with writing(path):
        if path.exists() and not path.is_symlink() and not path.is_file():
            raise FileAccessError(action="write", path=path, detail="it is no regular file")
        write_whole(path, data)


def read_digest(text: str, *, option: str) -> Digest:
    """The digest given on the command line. Raises ``click.BadParameter``."""
    try:
        return parse_digest(text, what=option)
    except MalformedError as exc:
        raise click.BadParameter(str(exc), param_hint=option) from exc


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure of the file system into a ``FileAccessError`` that names ``path``."""
    try:
        yield
    except OSError as exc:
        raise FileAccessError(action="write", path=path, detail=exc.strerror or str(exc)) from exc


def confirm(
    out: Output, digest: str | None, expected: Digest, *, what: str, shown: Iterable[str]
) -> None:
    """Raises ``NotConfirmedError`` unless the signer names the digest of ``what`` they sign.

    ``digest`` is what they named on the command line; without it they see ``shown`` and type.
    """
    if digest is None:
        for line in shown:
            out.note(line)
        prompt = f"type the first {TYPED} digits of the digest of {what} to sign"
        confirmed = click.prompt(prompt, err=True) == expected.removeprefix("sha256:")[:TYPED]
    else:
        confirmed = digest == expected
    if not confirmed:
        raise NotConfirmedError(what=what)


def service_url() -> str | None:
    """The trust service to use instead of the one that a home remembers."""
    return os.environ.get("ACCORD_SERVICE")
