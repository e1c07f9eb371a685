# SPDX-License-Identifier: Apache-2.0
"""The system call filter of a confined program, as classic BPF for seccomp(2).

Namespaces and dropped capabilities already make most of these calls fail; the filter takes away
the kernel code behind them. Listed are calls that look into other processes, change mounts or
the kernel, make namespaces, or work around the filter (io_uring opens sockets by itself).
Sockets other than Unix ones do not exist: a program without a network has nothing to dial. With
an open network there are IPv4 and IPv6 as well, and still no VSOCK, netlink or packet sockets.
"""

import errno
import platform
import struct
from dataclasses import dataclass

from accord.errors import ConfinementError
from accord.policy import Network

# linux/filter.h and linux/seccomp.h
_LOAD = 0x20
_EQUAL = 0x15
_AT_LEAST = 0x35
_ANY_BIT = 0x45
_RETURN = 0x06
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000
_KILL = 0x80000000

# struct seccomp_data: int nr; u32 arch; u64 ip; u64 args[6] (little-endian: low half first)
_NUMBER = 0
_ARCHITECTURE = 4
_FIRST_ARGUMENT = 16

_AF_UNIX = 1
_AF_INET = 2
_AF_INET6 = 10
_FAMILIES = {Network.NONE: (_AF_UNIX,), Network.OPEN: (_AF_UNIX, _AF_INET, _AF_INET6)}
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

_X32_BIT = 0x40000000
"""The second numbering of the x86_64 kernel would slip past every comparison below."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """System call numbers of one processor family."""

    audit: int
    clone: int
    sockets: tuple[int, ...]
    refused: tuple[int, ...]


# Numbers from 424 on are the same everywhere: pidfd_getfd, mount_setattr, quotactl_fd, the mount
# calls from open_tree to fspick, and io_uring.
_COMMON = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 443)
_CLONE3 = 435

_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        clone=56,
        sockets=(41, 53),
        # ptrace process_vm_readv process_vm_writev kcmp | mount umount2 pivot_root chroot |
        # unshare setns | add_key request_key keyctl | bpf perf_event_open userfaultfd |
        # kexec_load kexec_file_load init_module finit_module delete_module | reboot swapon
        # swapoff acct quotactl syslog iopl ioperm modify_ldt vhangup | name_to_handle_at
        # open_by_handle_at fanotify_init | settimeofday adjtimex clock_settime clock_adjtime
        # sethostname setdomainname
        refused=(
            *(101, 310, 311, 312, 165, 166, 155, 161, 272, 308, 248, 249, 250, 321, 298, 323),
            *(246, 320, 175, 313, 176, 169, 167, 168, 163, 179, 103, 172, 173, 154, 153),
            *(303, 304, 300, 164, 159, 227, 305, 170, 171),
        ),
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        clone=220,
        sockets=(198, 199),
        # The same calls in the same order, less iopl, ioperm and modify_ldt.
        refused=(
            *(117, 270, 271, 272, 40, 39, 41, 51, 97, 268, 217, 218, 219, 280, 241, 282),
            *(104, 294, 105, 273, 106, 142, 224, 225, 89, 60, 116, 58),
            *(264, 265, 262, 170, 171, 112, 266, 161, 162),
        ),
    ),
}


def system_call_filter(machine: str | None = None, *, network: Network = Network.NONE) -> bytes:
    """The filter for ``machine`` (default: this one), as an array of ``struct sock_filter``.

    Raises ``ConfinementError`` for a processor family that it has no numbers for.
    """
    machine = machine or platform.machine()
    numbers = _MACHINES.get(machine)
    if numbers is None:
        raise ConfinementError(detail=f"there is no system call filter for {machine}")
    program = [
        _op(_LOAD, _ARCHITECTURE),
        _op(_EQUAL, numbers.audit, then=1),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [_op(_AT_LEAST, _X32_BIT, otherwise=1), _refuse(errno.ENOSYS)]
    for number in (*numbers.refused, *_COMMON):
        program += [_op(_EQUAL, number, otherwise=1), _refuse(errno.EPERM)]
    # clone3 keeps its flags in memory, out of the filter's sight. Without it the C library
    # falls back to clone.
    program += [_op(_EQUAL, _CLONE3, otherwise=1), _refuse(errno.ENOSYS)]
    program += [
        _op(_EQUAL, numbers.clone, otherwise=3),
        _op(_LOAD, _FIRST_ARGUMENT),
        _op(_ANY_BIT, _NEW_NAMESPACES, otherwise=1),
        _refuse(errno.EPERM),
        _op(_LOAD, _NUMBER),
    ]
    families = _FAMILIES[network]
    for number in numbers.sockets:
        program += [
            _op(_EQUAL, number, otherwise=2 + len(families)),
            _op(_LOAD, _FIRST_ARGUMENT),
            *(_op(_EQUAL, item, then=len(families) - n) for n, item in enumerate(families)),
            _refuse(errno.EAFNOSUPPORT),
            _op(_LOAD, _NUMBER),
        ]
    return b"".join([*program, _op(_RETURN, _ALLOW)])


def _op(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; a jump counts the instructions to skip."""
    return struct.pack("<HBBI", code, then, otherwise, value)


def _refuse(number: int) -> bytes:
    return _op(_RETURN, _REFUSE | number)
