# SPDX-License-Identifier: Apache-2.0
"""Private memory: the one place where the shield keeps plaintext files.

It is a tmpfs in a mount namespace of the shield's own. Other processes of the host do not have
it in their file tree, and the kernel frees it with the last process of the namespace, however
that process died. In a TEE the host cannot read the memory either; without a TEE, root can.
"""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

from accord.errors import NamespaceRefusedError
from accord.shield import _kernel
from accord.shield._kernel import Kernel, Linux

_SIZE = "75%"
"""Of physical memory: a sealed data set must fit, and a full tmpfs must not take the machine."""


@dataclass(frozen=True, slots=True)
class PrivateMemory:
    """The private memory that this process entered."""

    path: Path
    never_swapped: bool
    """The kernel promised not to write it to swap space, or there was no swap space.

    Of these files only. Where ``machine_swaps()``, the heaps of shield and program (keys,
    plaintext) and the program's /tmp, /run and /dev/shm may be swapped all the same.
    """


_entered: PrivateMemory | None = None


def private_memory() -> PrivateMemory | None:
    """The private memory of this process, or None before ``enter_private_memory``."""
    return _entered


def enter_private_memory(base: Path, *, kernel: Kernel | None = None) -> Path:
    """Cover ``base`` with memory that only this process and its children can see.

    Call it once per process, before any thread starts (importing NumPy starts some): a
    namespace belongs to a thread. Core dumps are off from here on, and other processes of the
    same user cannot attach. Not covered: the heap of this process (keys in it) and the memory of
    the program may be swapped, see ``machine_swaps``. Whether these files may, says
    ``private_memory().never_swapped``; it is not an error here.

    Raises ``NamespaceRefusedError``; ``RuntimeError`` when called twice or with threads running.
    """
    global _entered  # noqa: PLW0603 - a process has one mount namespace
    if _entered is not None:
        message = f"private memory is already at {_entered.path}"
        raise RuntimeError(message)
    kernel = kernel or Linux()
    if kernel.threads() > 1:
        message = "private memory must be entered before threads start"
        raise RuntimeError(message)
    # (1) No core dump from the first moment on. PR_SET_DUMPABLE comes last, because it gives
    #     /proc/self to root and would keep an ordinary user from writing the identity maps.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # (2) A mount namespace; an ordinary user gets it through a user namespace.
    _leave_mount_namespace(kernel)
    # (3) Nothing mounted here is passed on to the host.
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = _kernel.MS_REC | _kernel.MS_PRIVATE
        kernel.mount("none", "/", None, flags=private, data="")
        # (4) The memory itself.
        never_swapped = _mount_tmpfs(kernel, base)
        # (5) Nobody of the same user may read this process's memory or attach to it.
        kernel.set_dumpable(allowed=False)
    except OSError as error:
        raise NamespaceRefusedError(
            action=f"mount private memory at {base}", detail=error.strerror
        ) from error
    _entered = PrivateMemory(base, never_swapped)
    return base


def discard_private_memory(*, kernel: Kernel | None = None) -> None:
    """Let go of the private memory and what is in it; the folder below it is an empty one again.

    The process stays in its own mount namespace and may not be traced. Killed before this, the
    memory is gone all the same and only the empty folder stays.
    """
    global _entered  # noqa: PLW0603 - a process has one mount namespace
    if _entered is not None:
        (kernel or Linux()).detach(str(_entered.path))
        _entered = None


def _leave_mount_namespace(kernel: Kernel) -> None:
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid == 0:
            kernel.unshare(_kernel.CLONE_NEWNS)
            return
        kernel.unshare(_kernel.CLONE_NEWUSER | _kernel.CLONE_NEWNS)
        kernel.keep_identity(uid, gid)
    except OSError as error:
        raise NamespaceRefusedError(
            action="make a mount namespace", detail=error.strerror
        ) from error


def _mount_tmpfs(kernel: Kernel, base: Path) -> bool:
    """Mount it, without swap where the kernel can (6.4 and later, as real root only)."""
    flags = _kernel.MS_NOSUID | _kernel.MS_NODEV
    options = f"mode=0700,size={_SIZE}"
    try:
        kernel.mount("accord", str(base), "tmpfs", flags=flags, data=f"{options},noswap")
    except OSError:
        kernel.mount("accord", str(base), "tmpfs", flags=flags, data=options)
        return not machine_swaps()
    return True


def machine_swaps() -> bool:
    """Whether the machine has swap space now; True if that cannot be found out."""
    try:
        # The first line is a heading.
        return len(Path("/proc/swaps").read_text().splitlines()) > 1
    except OSError:
        return True
