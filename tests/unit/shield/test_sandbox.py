# SPDX-License-Identifier: Apache-2.0
"""How a confined program's end is told, and what is refused before anything starts."""

import dataclasses
import io
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accord.errors import ConfinementError, NamespaceRefusedError, SandboxMissingError
from accord.shield import (
    Confinement,
    PrivateMemory,
    _capture,
    _memory,
    _runtime,
    _sandbox,
    run_confined,
)

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


@pytest.fixture
def confinement(tmp_path: Path) -> Confinement:
    out = tmp_path / "out"
    out.mkdir()
    return Confinement(
        command=("/bin/sh", "-c", "true"),
        environment={},
        workdir="/out",
        read_only={},
        writable={"/out": out},
        timeout_s=30.0,
        memory_limit_bytes=None,
    )


def _shell(confinement: Confinement, script: str) -> Confinement:
    return dataclasses.replace(confinement, command=("/bin/sh", "-c", script))


@needs_bwrap
@pytest.mark.parametrize(
    ("script", "exit_code", "ended_by"),
    [
        pytest.param("exit 0", 0, None, id="success"),
        pytest.param("exit 7", 7, None, id="failure"),
        pytest.param("kill -SEGV $$", 128 + 11, signal.SIGSEGV, id="signal"),
        pytest.param("exit 255", 255, None, id="no-such-signal"),
    ],
)
def test_end_of_the_program_is_told(
    confinement: Confinement, script: str, exit_code: int, ended_by: int | None
) -> None:
    """Exit codes and signals come through unchanged."""
    outcome = run_confined(_shell(confinement, script))
    assert (outcome.exit_code, outcome.signal, outcome.timed_out) == (exit_code, ended_by, False)
    assert 0 < outcome.seconds < 30


@needs_bwrap
def test_unknown_command_fails_inside_the_sandbox(confinement: Confinement) -> None:
    """As in a shell, 127 says that there is no such program."""
    outcome = run_confined(dataclasses.replace(confinement, command=("/code/missing",)))
    assert outcome.exit_code == 127
    assert outcome.stderr_tail == b"cannot start /code/missing: No such file or directory\n"


@needs_bwrap
def test_program_may_run_without_a_time_limit(confinement: Confinement) -> None:
    """No limit means no limit, not zero."""
    assert run_confined(dataclasses.replace(confinement, timeout_s=None)).exit_code == 0


@needs_bwrap
def test_one_user_is_enough(confinement: Confinement, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container that has no second user the program is nobody by name only."""
    monkeypatch.setattr(_sandbox, "_may_use_another_user", lambda: False)
    outcome = run_confined(_shell(confinement, "id -u; cat /proc/self/uid_map"))
    uid, first_line, *others = outcome.stdout_tail.decode().splitlines()
    assert (uid, first_line.split()[0], others) == ("65534", "65534", [])


@needs_bwrap
def test_program_is_killed_once_it_may_not_run(confinement: Confinement) -> None:
    """Asked again and again, while it prints as much as it can."""
    answers = iter([True, True, False])
    outcome = run_confined(_shell(confinement, "yes"), allowed=lambda: next(answers))
    assert (outcome.stopped, outcome.timed_out, outcome.sandbox_killed) == (True, False, False)
    assert (outcome.exit_code, outcome.signal) == (137, signal.SIGKILL)
    assert outcome.seconds < 5


@needs_bwrap
def test_program_that_may_never_run_is_killed_at_once(confinement: Confinement) -> None:
    """Whether it had begun by then makes no difference to what is told."""
    outcome = run_confined(_shell(confinement, "sleep 60"), allowed=lambda: False)
    assert (outcome.stopped, outcome.exit_code) == (True, 137)


@needs_bwrap
def test_links_lead_to_what_is_shown(confinement: Confinement, tmp_path: Path) -> None:
    """The folders above a link are made; the link is the shield's, not the program's."""
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "0").write_text("content")
    shown.chmod(0o755)
    change: dict[str, Any] = {
        "read_only": {"/run/.accord": shown},
        "links": {"/run/a/b": "/run/.accord/0"},
    }
    script = "cat /run/a/b; readlink /run/a/b; rm /run/a/b 2>/dev/null || echo stays"
    outcome = run_confined(dataclasses.replace(_shell(confinement, script), **change))
    assert outcome.stdout_tail == b"content/run/.accord/0\nstays\n"


@needs_bwrap
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the program another user")
def test_root_never_runs_the_program_as_root(confinement: Confinement) -> None:
    """To the kernel of the host, too, it is somebody else."""
    run_confined(_shell(confinement, "mkdir deep; touch deep/made"))
    made = confinement.writable["/out"] / "deep" / "made"
    assert made.stat().st_uid == 65534


@needs_bwrap
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the program another user")
def test_only_copies_of_the_shield_change_their_owner(
    confinement: Confinement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only input outside private memory stays as it is on the host."""
    memory, outside = tmp_path / "memory", tmp_path / "outside"
    for directory in (memory, outside):
        directory.mkdir()
        (directory / "file").write_text("x")
        (directory / "link").symlink_to("/etc/passwd")
    monkeypatch.setattr(_memory, "_entered", PrivateMemory(memory, never_swapped=True))
    shown = {"/own": memory, "/other": outside, "/single": memory / "file"}
    run_confined(dataclasses.replace(confinement, read_only=shown))
    assert (memory / "file").stat().st_uid == 65534
    assert (outside / "file").stat().st_uid == 0
    assert Path("/etc/passwd").stat().st_uid == 0


def test_missing_bubblewrap_is_refused(
    confinement: Confinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs unconfined because a tool is missing."""
    monkeypatch.setattr(_runtime, "_BUBBLEWRAP", ("/nonexistent/bwrap",))
    with pytest.raises(SandboxMissingError) as caught:
        run_confined(confinement)
    assert "apt install bubblewrap" in caught.value.hint


_FAKES = {
    "said": (
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n",
        NamespaceRefusedError,
        "setting up uid map: Permission denied",
    ),
    "other": (
        "#!/bin/sh\necho 'bwrap: Can not find source path' >&2; exit 1\n",
        ConfinementError,
        "Can not find source path",
    ),
    "silent": ("#!/bin/sh\nexit 1\n", ConfinementError, "no reason given"),
    "not-a-program": ("\0", ConfinementError, "bubblewrap does not start"),
}


@pytest.mark.parametrize("name", _FAKES)
def test_failing_set_up_is_refused_with_its_reason(
    confinement: Confinement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A sandbox that did not come up is never mistaken for a program that failed."""
    content, error, reason = _FAKES[name]
    fake = tmp_path / "bwrap"
    fake.write_text(content)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(_runtime, "_BUBBLEWRAP", (str(fake),))
    with pytest.raises(error, match=reason):
        run_confined(confinement)


@needs_bwrap
def test_vanished_input_is_refused(confinement: Confinement, tmp_path: Path) -> None:
    """bubblewrap's own refusal becomes one of the catalogue."""
    with pytest.raises(ConfinementError, match="nowhere"):
        run_confined(dataclasses.replace(confinement, workdir="/nowhere"))


@needs_bwrap
@pytest.mark.skipif(os.geteuid() != 0, reason="only root maps users")
def test_refused_user_map_ends_the_sandbox(
    confinement: Confinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a user of its own the program is not started."""
    monkeypatch.setattr(_sandbox, "_NOBODY", -5)
    monkeypatch.setattr(_sandbox, "_may_use_another_user", lambda: True)
    monkeypatch.setattr(_sandbox, "_hand_over", lambda _: None)
    with pytest.raises(NamespaceRefusedError, match="a user of its own"):
        run_confined(confinement)


def test_container_with_one_user_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root of a machine has user 65534 to give away; other users have nothing."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _sandbox._may_use_another_user() is False
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for text, expected in {"0 0 4294967295": True, "0 1000 1": False, "": False}.items():
        monkeypatch.setattr(Path, "read_text", lambda _, text=text: text)
        assert _sandbox._may_use_another_user() is expected


@pytest.mark.parametrize(
    "report",
    [b"", b"not json\n", b'{"child-pid": 7}\n', b"\xff\n", b"7\n", b'{"exit-code": []}\n'],
)
def test_report_without_exit_code_is_no_report(report: bytes) -> None:
    """Whatever bubblewrap wrote, only its exit code counts."""
    assert _sandbox._reported_exit(report) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"command": ()}, "command is empty", id="no-command"),
        pytest.param({"command": ("",)}, "command is empty", id="empty-word"),
        pytest.param({"command": ("a\0b",)}, "not plain text", id="zero-byte"),
        pytest.param({"environment": {"A": "\ud800"}}, "not plain text", id="surrogate"),
        pytest.param({"environment": {"A=B": "x"}}, "name of a variable", id="equals-in-name"),
        pytest.param({"environment": {"": "x"}}, "name of a variable", id="empty-name"),
        pytest.param({"workdir": "out"}, "working directory", id="relative-workdir"),
        pytest.param({"timeout_s": 0.0}, "time limit", id="no-time"),
        pytest.param({"timeout_s": float("nan")}, "time limit", id="time-not-a-number"),
        pytest.param({"memory_limit_bytes": -1}, "memory limit", id="negative-memory"),
        pytest.param({"read_only": {"/out": Path("/usr")}}, "both", id="twice"),
        pytest.param({"read_only": {"in": Path("/usr")}}, "plain absolute", id="relative"),
        pytest.param({"read_only": {"/in/../x": Path("/usr")}}, "plain absolute", id="dots"),
        pytest.param({"read_only": {"/in/": Path("/usr")}}, "plain absolute", id="slash"),
        pytest.param({"read_only": {"/": Path("/usr")}}, "belongs to the system", id="root"),
        pytest.param({"read_only": {"/usr/x": Path("/usr")}}, "belongs to", id="inside-usr"),
        pytest.param({"read_only": {"/proc": Path("/usr")}}, "belongs to", id="proc"),
        pytest.param({"read_only": {"/etc/passwd": Path("/usr")}}, "belongs to", id="passwd"),
        pytest.param({"read_only": {"/in": Path("/nonexistent")}}, "nothing to show", id="nothing"),
        pytest.param({"links": {"/usr/x": "/in"}}, "belongs to", id="link-inside-usr"),
        pytest.param({"links": {"/out": "/in"}}, "both a link", id="link-and-mount"),
        pytest.param({"links": {"/run/x": "a\0b"}}, "not plain text", id="link-to-zero-byte"),
        pytest.param({"writable": {"/out": Path("/etc/hostname")}}, "directory", id="file"),
    ],
)
def test_senseless_confinement_is_refused(
    confinement: Confinement, change: dict[str, Any], reason: str
) -> None:
    """The program is not started, and the message names the reason."""
    with pytest.raises(ConfinementError, match=reason):
        run_confined(dataclasses.replace(confinement, **change))


def test_nothing_may_hide_the_python_runtime(
    confinement: Confinement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A mount above the interpreter would end in a confusing failure."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "lib").mkdir()
    with pytest.raises(ConfinementError, match="hide the Python runtime"):
        run_confined(dataclasses.replace(confinement, read_only={str(tmp_path): Path("/usr")}))


@needs_bwrap
def test_installed_accord_is_hidden_from_the_program(
    confinement: Confinement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The program does not find the shield's code next to its libraries."""
    packages = tmp_path / "lib" / "python" / "site-packages"
    (packages / "accord").mkdir(parents=True)
    (packages / "accord" / "module.py").touch()
    packages.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"purelib": str(packages)})
    outcome = run_confined(_shell(confinement, f"ls {packages} {packages}/accord"))
    assert outcome.stderr_tail == b""
    assert b"module.py" not in outcome.stdout_tail


def test_system_directories_are_shown_as_the_machine_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a merged /usr, /lib is a directory of its own; Python may live in /usr."""
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    monkeypatch.setattr(Path, "is_dir", lambda path: path in {Path("/bin"), Path("/lib")})
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(_runtime, "base_interpreter", lambda: "/usr/bin/python3")
    arguments = " ".join(_runtime.system_arguments())
    assert "--ro-bind /bin /bin --ro-bind /lib /lib --perms" in arguments
    assert arguments.count("--ro-bind /usr /usr") == 1
    assert list(_runtime.runtime_paths()) == []


class _StubbornProcess:
    """A process whose pipes stay open even after it was killed."""

    def __init__(self) -> None:
        read, self.write = os.pipe()
        self.stdout = io.FileIO(read)
        self.stderr = None
        self.killed = False

    def kill(self) -> None:
        self.killed = True

    def wait(self, timeout: float) -> int:
        assert timeout > 0
        return -9


def test_capture_ends_even_if_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the kill there is one more limit, so that the shield itself cannot hang."""
    monkeypatch.setattr(_capture, "_END_TIMEOUT_S", 0.05)
    process: Any = _StubbornProcess()
    os.write(process.write, b"last words")
    printed = _capture.capture(process, deadline=0.0)
    assert (printed.stdout, printed.stderr) == (b"last words", b"")
    assert (printed.timed_out, printed.stopped, process.killed) == (True, False, True)
    process.stdout.close()
    os.close(process.write)


def test_mark_of_the_first_step_is_read_without_waiting() -> None:
    """Neither silence nor a closed end says that a program was started."""
    mark, write = socket.socketpair()
    with mark:
        with write:
            assert _sandbox._marked(mark) is False
            write.send(b"1")
            assert _sandbox._marked(mark) is True
        assert _sandbox._marked(mark) is False


def test_leftover_process_is_killed() -> None:
    """An exception in the shield does not leave a sandbox behind."""
    process = subprocess.Popen(["sleep", "60"])
    _sandbox._end(process)
    assert process.returncode == -signal.SIGKILL
