# SPDX-License-Identifier: Apache-2.0
"""The few system calls of the shield that Python's standard library does not offer."""

import ctypes
import os
from pathlib import Path
from typing import Protocol

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
PR_SET_DUMPABLE = 4


class Kernel(Protocol):
    """What ``enter_private_memory`` asks of the operating system; each raises ``OSError``."""

    def threads(self) -> int:
        """The number of threads of this process, those of C libraries included."""

    def unshare(self, flags: int) -> None:
        """Leave the namespaces in ``flags`` for fresh ones."""

    def keep_identity(self, uid: int, gid: int) -> None:
        """Be the same user in a fresh user namespace as outside."""

    def mount(self, source: str, target: str, kind: str | None, *, flags: int, data: str) -> None:
        """Mount, or change the propagation of a mount."""

    def detach(self, target: str) -> None:
        """Unmount, also while something below is still in use."""

    def set_dumpable(self, *, allowed: bool) -> None:
        """Allow or forbid core dumps and tracing of this process."""


class Linux:
    """The running kernel, through the C library of this process."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def threads(self) -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    def unshare(self, flags: int) -> None:
        self._check(self._libc.unshare(ctypes.c_int(flags)), "unshare")

    def keep_identity(self, uid: int, gid: int) -> None:
        # user_namespaces(7): setgroups must be denied before gid_map may be written.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")

    def mount(self, source: str, target: str, kind: str | None, *, flags: int, data: str) -> None:
        result = self._libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        )
        self._check(result, f"mount {kind or 'propagation'}")

    def detach(self, target: str) -> None:
        self._check(self._libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), "umount2")

    def set_dumpable(self, *, allowed: bool) -> None:
        zero = ctypes.c_ulong(0)
        result = self._libc.prctl(PR_SET_DUMPABLE, ctypes.c_ulong(allowed), zero, zero, zero)
        self._check(result, "prctl")

    @staticmethod
    def _check(result: int, what: str) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")
