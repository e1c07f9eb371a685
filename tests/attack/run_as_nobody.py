# SPDX-License-Identifier: Apache-2.0
"""Run a file of tests as user 65534: run_as_nobody.py SOURCES TESTS. Needs root.

Interpreter and checkout may lie in a home directory that is closed to others; they are shown in
a mount namespace of this process, without touching the permissions of the machine.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

NOBODY = 65534
REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = Path(sys.argv[1])

CLONE_NEWNS = 0x20000
MS_BIND_REC = 0x1000 | 0x4000
MS_PRIVATE_REC = 0x40000 | 0x4000


def _main() -> None:
    """In a process of its own: open the way to the files, stop being root, run the tests."""
    needed = [
        Path(sys.base_prefix),
        Path(sys.executable).resolve().parent.parent,
        Path(sys.prefix),
        SOURCES,
        REPOSITORY,
    ]
    _make_reachable(needed)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",
        "USER": "nobody",
    }
    probe = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"
    if subprocess.run([sys.executable, "-c", probe], env=environment, check=False).returncode != 0:
        sys.exit("user 65534 cannot make user namespaces")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", str(REPOSITORY)]
    options += ["-c", str(REPOSITORY / "pyproject.toml")]
    os.chdir("/")
    command = [sys.executable, "-m", "pytest", *options, *sys.argv[2:]]
    os.execve(sys.executable, command, environment)  # noqa: S606 - this is the point


def _make_reachable(paths: list[Path]) -> None:
    """Show ``paths`` below fresh directories wherever one above them is closed to others."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    call(libc.unshare(CLONE_NEWNS))
    call(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_PRIVATE_REC), None))
    hidden = {
        path: next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)
        for path in dict.fromkeys(paths)
    }
    opened = {path: os.open(path, os.O_PATH) for path, closed in hidden.items() if closed}
    for closed in {closed for closed in hidden.values() if closed}:
        call(libc.mount(b"none", os.fsencode(closed), b"tmpfs", ctypes.c_ulong(0), b"mode=0755"))
    for path, descriptor in opened.items():
        path.mkdir(parents=True, exist_ok=True)
        source = f"/proc/self/fd/{descriptor}".encode()
        call(libc.mount(source, os.fsencode(path), None, ctypes.c_ulong(MS_BIND_REC), None))


if __name__ == "__main__":
    _main()
