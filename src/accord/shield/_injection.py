# SPDX-License-Identifier: Apache-2.0
"""Secrets on their way into a program: filled into its command, environment and files.

The files are in private memory, in one folder that the program sees read-only; at the paths
that the policy names are links into it. So a file can be replaced at once, as a mounted file
could not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from accord.errors import ConfinementError
from accord.policy import IDENTITY, InjectedFile, Service, names_in
from accord.secrets import SecretValue, fill, fill_file
from accord.shield._sandbox import make_folder

PLACE = "/run/.accord"
"""Where the program sees the folder; no policy's own file may be there."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A service's command and environment without templates, and where its files are."""

    command: tuple[str, ...] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    read_only: Mapping[str, Path]
    links: Mapping[str, str]
    """Path inside, and the path inside that it leads to."""


def inject(service: Service, secrets: Mapping[str, SecretValue], folder: Path) -> Injected:
    """Fills in all templates of ``service``; the files are made below the new ``folder``.

    ``folder`` must be in private memory, which is *not* checked here. No error, and nothing
    printed, holds a value. Raises SEC errors, ``ConfinementError`` or ``TooLargeError``.
    """
    command = tuple(
        fill(word, secrets, where=f"command[{number}]")
        for number, word in enumerate(service.command)
    )
    environment = {
        name: fill(value, secrets, where=f"environment.{name}")
        for name, value in service.environment.items()
    }
    for file in service.files:
        if f"{file.at}/".startswith(f"{PLACE}/"):
            raise ConfinementError(detail=f"{file.at} belongs to the shield")
    if service.files:
        with _reported(PLACE):
            make_folder(folder)
    for number, file in enumerate(service.files):
        _write(file, number, secrets, folder)
    return Injected(
        command=command,
        environment=MappingProxyType(environment),
        read_only=MappingProxyType({PLACE: folder} if service.files else {}),
        links=MappingProxyType(
            {file.at: f"{PLACE}/{number}" for number, file in enumerate(service.files)}
        ),
    )


def replace_identity(service: Service, secrets: Mapping[str, SecretValue], folder: Path) -> None:
    """Makes those files anew, each at once, that hold something of the service's certificate.

    The program sees the old content or the new, never a part. Raises as `inject` does.
    """
    for number, file in enumerate(service.files):
        if any(item.name == IDENTITY for item in names_in(file.content)):
            _write(file, number, secrets, folder)


def _write(
    file: InjectedFile, number: int, secrets: Mapping[str, SecretValue], folder: Path
) -> None:
    content = fill_file(file.content, secrets, where=f"files {file.at}")
    target, temporary = folder / str(number), folder / f".{number}"
    with _reported(file.at):
        # Of the program's user already, so that the file is, whenever it is made.
        owner = folder.stat()
        temporary.unlink(missing_ok=True)  # Of an attempt for which memory was too small.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fchmod(descriptor, int(file.mode, 8))
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        temporary.replace(target)


@contextlib.contextmanager
def _reported(at: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        detail = f"{at} cannot be made in private memory: {error.strerror}"
        raise ConfinementError(detail=detail) from error
