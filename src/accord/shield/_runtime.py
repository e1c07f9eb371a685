# SPDX-License-Identifier: Apache-2.0
"""What a confined program sees of the machine: the system and the Python runtime, read-only."""

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_SYSTEM_ROOTS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""On a merged-/usr system these are links into /usr; on others, directories of their own."""

_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives")
"""How the loader finds shared libraries (Debian's BLAS is a link through alternatives)."""

_NETWORK_FILES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
)
"""How names are found and public certificates verified; not /etc/ssl, which may hold keys."""

_BUBBLEWRAP = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
"""Where it is looked for, in this order. Never on PATH: whoever starts the shield chooses PATH,
and would have it run a program of his own, outside any sandbox, on the plaintext."""


def bubblewrap() -> str | None:
    """The path of bubblewrap, or None where it is not installed."""
    return next((path for path in _BUBBLEWRAP if os.access(path, os.X_OK)), None)


def interpreter() -> str:
    """The Python that runs the shield, as the program will call it (a venv keeps its packages)."""
    return str(Path(sys.executable).absolute())


def base_interpreter() -> str:
    """The same interpreter outside any venv, for the shield's own first step."""
    return str(Path(sys.executable).resolve())


def system_arguments() -> list[str]:
    """The bubblewrap arguments that bind the system and the Python runtime."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM_ROOTS:
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    for file in _SYSTEM_FILES:
        arguments += [*parents(file), "--ro-bind-try", file, file]
    for path in runtime_paths():
        arguments += [*parents(str(path)), "--ro-bind", str(path), str(path)]
    # The program is not meant to find the shield's own code beside its libraries.
    own = Path(sysconfig.get_paths()["purelib"], "accord")
    if own.is_dir():
        arguments += ["--tmpfs", str(own)]
    return arguments


def network_arguments() -> list[str]:
    """The bubblewrap arguments that leave a program the network of the host."""
    arguments = ["--share-net"]
    for file in _NETWORK_FILES:
        arguments += [*parents(file), "--ro-bind-try", file, file]
    return arguments


def parents(path: str) -> list[str]:
    """The arguments that make the directories above ``path``, which bubblewrap makes private."""
    arguments = []
    for parent in reversed(PurePosixPath(path).parents[:-1]):
        arguments += ["--perms", "0755", "--dir", str(parent)]
    return arguments


def runtime_paths() -> Iterator[Path]:
    """Interpreter, standard library and installed packages; not the rest of their prefixes."""
    prefixes = dict.fromkeys(
        (Path(sys.prefix), Path(sys.base_prefix), Path(base_interpreter()).parent.parent)
    )
    for prefix in prefixes:
        if prefix == Path("/") or prefix.is_relative_to("/usr"):
            continue
        for name in ("bin", "lib", "lib64", "pyvenv.cfg"):
            path = prefix / name
            if path.exists():
                yield path
