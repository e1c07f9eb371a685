# SPDX-License-Identifier: Apache-2.0
"""Entering private memory: the order of steps, and every refusal of the kernel."""

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import accord
from accord.errors import NamespaceRefusedError
from accord.shield import (
    _kernel,
    _memory,
    discard_private_memory,
    enter_private_memory,
    private_memory,
)

SOURCES = Path(accord.__file__).parents[1]


class FakeKernel:
    """Does nothing, remembers everything, and refuses what it is told to."""

    def __init__(self, *refused: str) -> None:
        self.calls: list[str] = []
        self.mounted: list[tuple[str, str, int]] = []
        self._refused = refused

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self._refused:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def threads(self) -> int:
        return 1

    def unshare(self, flags: int) -> None:
        self._call(f"unshare {flags:#x}")

    def keep_identity(self, uid: int, gid: int) -> None:
        self._call(f"identity {uid} {gid}")

    def mount(self, source: str, target: str, kind: str | None, *, flags: int, data: str) -> None:
        self.mounted.append((source, target, flags))
        self._call(f"mount {kind} {data}")

    def detach(self, target: str) -> None:
        self._call(f"detach {target}")

    def set_dumpable(self, *, allowed: bool) -> None:
        self._call(f"dumpable {allowed}")


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As far as the module knows, this process has not entered private memory."""
    monkeypatch.setattr(_memory, "_entered", None)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    yield
    assert resource.getrlimit(resource.RLIMIT_CORE) == limits


WITHOUT_SWAP = "mount tmpfs mode=0700,size=75%,noswap"
WITH_SWAP = "mount tmpfs mode=0700,size=75%"


def test_root_needs_no_user_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespace, private propagation, memory, and only then the protection of /proc/self."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    kernel = FakeKernel()
    base = tmp_path / "a" / "private"
    assert enter_private_memory(base, kernel=kernel) == base
    assert kernel.calls == ["unshare 0x20000", "mount None ", WITHOUT_SWAP, "dumpable False"]
    # MS_REC | MS_PRIVATE on everything, then MS_NOSUID | MS_NODEV on the memory.
    assert kernel.mounted == [("none", "/", 0x44000), ("accord", str(base), 0x6)]
    assert private_memory() == _memory.PrivateMemory(base, never_swapped=True)


def test_ordinary_user_goes_through_a_user_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity inside is the one outside; nobody becomes root by it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 100)
    kernel = FakeKernel()
    enter_private_memory(tmp_path, kernel=kernel)
    assert kernel.calls[:2] == ["unshare 0x10020000", "identity 1000 100"]
    assert kernel.calls[-1] == "dumpable False"


@pytest.mark.parametrize(
    ("swaps", "never_swapped"),
    [
        pytest.param("Filename Type Size\n", True, id="no-swap-space"),
        pytest.param("Filename Type Size\n/dev/sda2 partition 1\n", False, id="swap-space"),
        pytest.param(None, False, id="unknown"),
    ],
)
def test_swap_is_told_honestly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: str | None, *, never_swapped: bool
) -> None:
    """Where the kernel cannot promise noswap, what counts is whether there is any swap space."""

    def read_text(path: Path) -> str:
        assert path == Path("/proc/swaps")
        if swaps is None:
            raise PermissionError
        return swaps

    kernel = FakeKernel(WITHOUT_SWAP)
    monkeypatch.setattr(Path, "read_text", read_text)
    enter_private_memory(tmp_path, kernel=kernel)
    entered = private_memory()
    assert entered is not None
    assert entered.never_swapped is never_swapped
    assert WITH_SWAP in kernel.calls


@pytest.mark.parametrize(
    ("refused", "action"),
    [
        pytest.param(("unshare 0x20000",), "make a mount namespace", id="namespace"),
        pytest.param(("mount None ",), "mount private memory", id="propagation"),
        pytest.param((WITHOUT_SWAP, WITH_SWAP), "mount private memory", id="tmpfs"),
        pytest.param(("dumpable False",), "mount private memory", id="dumpable"),
    ],
)
def test_refusal_of_the_kernel_says_how_to_allow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...], action: str
) -> None:
    """The shield does not go on with plaintext in a directory that others see."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(NamespaceRefusedError, match=action) as caught:
        enter_private_memory(tmp_path, kernel=FakeKernel(*refused))
    assert "max_user_namespaces" in caught.value.hint
    assert private_memory() is None


def test_second_entry_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    """One process has one private memory."""
    enter_private_memory(tmp_path, kernel=FakeKernel())
    with pytest.raises(RuntimeError, match="already"):
        enter_private_memory(tmp_path, kernel=FakeKernel())


def test_discarding_lets_go_of_the_memory_once(tmp_path: Path) -> None:
    """Afterwards there is no private memory; discarding again does nothing."""
    kernel = FakeKernel()
    enter_private_memory(tmp_path, kernel=kernel)
    discard_private_memory(kernel=kernel)
    discard_private_memory(kernel=kernel)
    assert kernel.calls.count(f"detach {tmp_path}") == 1
    assert private_memory() is None


def test_entry_after_a_thread_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    """The other threads would stay in the namespace of the host."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="before threads"):
            enter_private_memory(tmp_path)
    finally:
        stop.set()
        thread.join()


def test_real_kernel_gives_private_memory(tmp_path: Path) -> None:
    """In a process of its own: mode 0700, nothing on the host, no core dumps, no tracing."""
    base = tmp_path / "private"
    program = f"""
import ctypes, os, resource, sys
sys.path.insert(0, {str(SOURCES)!r})
from pathlib import Path
from accord.shield import discard_private_memory, enter_private_memory
path = enter_private_memory(Path({str(base)!r}))
(path / "plaintext").write_text("x")
flags = os.statvfs(path).f_flag
print(oct(path.stat().st_mode & 0o7777), bool(flags & os.ST_NOSUID), bool(flags & os.ST_NODEV))
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
print(os.listdir({str(base)!r}), flush=True)
input()
discard_private_memory()
print(os.listdir({str(base)!r}))
os.rmdir({str(base)!r})
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(3)]
        assert lines == ["0o700 True True", "(0, 0) 0", "['plaintext']"]
        assert list(base.iterdir()) == []
        assert process.communicate("\n")[0].strip() == "[]"
    assert process.returncode == 0
    assert not base.exists()


def test_refusal_of_a_system_call_is_an_os_error() -> None:
    """What the C library reports comes with its number and its name."""
    linux = _kernel.Linux()
    linux.unshare(0)
    linux.set_dumpable(allowed=True)
    with pytest.raises(OSError, match="mount tmpfs") as caught:
        linux.mount("none", "/nonexistent/accord", "tmpfs", flags=0, data="mode=0700")
    assert caught.value.errno in {errno.ENOENT, errno.EPERM}
    with pytest.raises(OSError, match="unshare") as caught:
        linux.unshare(1)
    assert caught.value.errno == errno.EINVAL


def test_identity_of_the_first_user_namespace_cannot_be_changed() -> None:
    """Outside a fresh user namespace the kernel refuses, and nothing changes."""
    with pytest.raises(OSError, match=r"not permitted|Permission"):
        _kernel.Linux().keep_identity(1000, 1000)
