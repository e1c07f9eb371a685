# SPDX-License-Identifier: Apache-2.0
"""The system call filter, run on a small interpreter of classic BPF."""

import errno
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import ConfinementError
from accord.policy import Network
from accord.shield._seccomp import system_call_filter

ALLOWED = "allowed"
KILLED = "killed"
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def decide(
    machine: str,
    number: int,
    *arguments: int,
    audit: int | None = None,
    network: Network = Network.NONE,
) -> str | int:
    """What the filter says about one call: allowed, killed, or the number of an error."""
    program = list(struct.iter_unpack("<HBBI", system_call_filter(machine, network=network)))
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", number, audit or AUDIT[machine], 0, *padded)
    position = accumulator = 0
    while True:
        code, then, otherwise, value = program[position]
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            if value == 0x7FFF0000:
                return ALLOWED
            if value == 0x80000000:
                return KILLED
            assert value & 0xFFFF0000 == 0x00050000
            return int(value & 0xFFFF)
        else:
            test = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            position += then if test else otherwise


@pytest.mark.parametrize(
    ("machine", "number"),
    [
        *(("x86_64", number) for number in (101, 165, 272, 308, 250, 321, 298, 323, 246, 175, 425)),
        *(("aarch64", number) for number in (117, 40, 97, 268, 219, 280, 241, 282, 104, 105, 425)),
    ],
)
def test_dangerous_call_is_refused(machine: str, number: int) -> None:
    """ptrace, mount, unshare, setns, keyctl, bpf, perf, userfaultfd, kexec, modules, io_uring."""
    assert decide(machine, number) == errno.EPERM


@pytest.mark.parametrize(("machine", "clone"), [("x86_64", 56), ("aarch64", 220)])
def test_clone_makes_threads_and_processes_but_no_namespaces(machine: str, clone: int) -> None:
    """Each of the seven namespaces is refused; clone3, whose flags cannot be seen, altogether."""
    assert decide(machine, clone, 0x003D0F00) == ALLOWED
    assert decide(machine, clone, 0x01200011) == ALLOWED
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(machine, clone, flag | 0x11) == errno.EPERM
    assert decide(machine, 435) == errno.ENOSYS


@pytest.mark.parametrize(("machine", "numbers"), [("x86_64", (41, 53)), ("aarch64", (198, 199))])
def test_only_unix_sockets_exist(machine: str, numbers: tuple[int, ...]) -> None:
    """INET, INET6, NETLINK, PACKET, ALG, VSOCK and XDP do not."""
    for number in numbers:
        assert decide(machine, number, 1, 1) == ALLOWED
        for family in (2, 10, 16, 17, 38, 40, 44):
            assert decide(machine, number, family, 1) == errno.EAFNOSUPPORT


@pytest.mark.parametrize(("machine", "numbers"), [("x86_64", (41, 53)), ("aarch64", (198, 199))])
def test_open_network_adds_internet_sockets_alone(machine: str, numbers: tuple[int, ...]) -> None:
    """Still no NETLINK, PACKET, ALG, VSOCK or XDP; and the calls after these are judged as ever."""
    for number in numbers:
        for family in (1, 2, 10):
            assert decide(machine, number, family, 1, network=Network.OPEN) == ALLOWED
        for family in (0, 3, 9, 11, 16, 17, 38, 40, 44):
            found = decide(machine, number, family, 1, network=Network.OPEN)
            assert found == errno.EAFNOSUPPORT
    assert decide(machine, 425, network=Network.OPEN) == errno.EPERM


@pytest.mark.parametrize("machine", AUDIT)
def test_foreign_numbering_is_not_looked_up(machine: str) -> None:
    """A 32-bit call has other numbers: the program is killed rather than misjudged."""
    assert decide(machine, 0, audit=0x40000003) == KILLED


def test_x32_numbering_does_not_exist() -> None:
    """x32 shares the architecture of x86_64 and differs in one bit of the number."""
    assert decide("x86_64", 0x40000000 | 101) == errno.ENOSYS


@pytest.mark.parametrize(
    ("machine", "numbers"), [("x86_64", (0, 1, 9, 59, 231)), ("aarch64", (63, 64, 222, 221, 94))]
)
def test_ordinary_call_is_allowed(machine: str, numbers: tuple[int, ...]) -> None:
    """read, write, mmap, execve and exit_group."""
    assert [decide(machine, number) for number in numbers] == [ALLOWED] * 5


@settings(max_examples=200)
@given(
    machine=st.sampled_from(sorted(AUDIT)),
    number=st.integers(0, 2**31 - 1),
    argument=st.integers(0, 2**64 - 1),
)
def test_filter_always_decides(machine: str, number: int, argument: int) -> None:
    """No call runs off the end of the program."""
    assert decide(machine, number, argument) in {
        ALLOWED, errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT,
    }  # fmt: skip


def test_filter_fits_the_kernel() -> None:
    """The kernel takes at most 4096 instructions."""
    assert all(len(system_call_filter(machine)) <= 4096 * 8 for machine in AUDIT)


def test_unknown_machine_is_refused() -> None:
    """Without numbers there is no filter, and without a filter no run."""
    with pytest.raises(ConfinementError, match="riscv64"):
        system_call_filter("riscv64")
