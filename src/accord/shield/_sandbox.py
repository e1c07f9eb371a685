# SPDX-License-Identifier: Apache-2.0
"""Running a program that nobody has to trust: no network, no environment, no other files.

A policy may give a program the network of the host; all else stays as it is.

bubblewrap builds the namespaces and mounts; a system call filter and resource limits are added.
Inside, the program is user 65534 without capabilities. Where the shield is root, that is also
a different user to the kernel, so that limits count and no file of root is its own.

Inside the sandbox a first step, a few lines of Python run by the shield's own interpreter, sets
the limits and gives up root before it becomes the program. Only then does the environment of
the program exist: no LD_PRELOAD of a policy reaches the steps before.
"""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from accord.errors import ConfinementError, NamespaceRefusedError, SandboxMissingError
from accord.policy import Network
from accord.shield._capture import capture
from accord.shield._confinement import Confinement, check
from accord.shield._descriptors import Descriptors
from accord.shield._memory import private_memory
from accord.shield._runtime import (
    base_interpreter,
    bubblewrap,
    interpreter,
    network_arguments,
    parents,
    system_arguments,
)
from accord.shield._seccomp import system_call_filter

_NOBODY = 65534
_HOSTNAME = "shield"

_MAX_PROCESSES = 512
"""Processes and threads of one program; a fork bomb ends here."""

_MAX_OPEN_FILES = 4096

_MAX_REPORT_BYTES = 64 * 1024
"""Of what bubblewrap itself reports (a few lines of JSON)."""

_SET_UP_TIMEOUT_S = 30.0
"""Set-up takes about 10 ms; a machine that needs longer than this is stuck."""

_FIRST_STEP = """
import json, os, resource, sys
with open(int(sys.argv[1])) as file:
    plan = json.load(file)
for name, value in plan["limits"].items():
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
if plan["user"]:
    os.setgroups([])
    os.setresgid(*[plan["user"]] * 3)
    os.setresuid(*[plan["user"]] * 3)
for number in map(int, os.listdir("/proc/self/fd")):
    if number > 2:
        try:
            os.set_inheritable(number, False)
        except OSError:
            pass
os.write(int(sys.argv[2]), b"1")
try:
    os.execvpe(plan["command"][0], plan["command"], plan["environment"])
except OSError as error:
    print("cannot start", plan["command"][0] + ":", error.strerror, file=sys.stderr)
    os._exit(127)
"""

_PASSWD = f"nobody:x:{_NOBODY}:{_NOBODY}:nobody:/:/usr/sbin/nologin\n"
_GROUP = f"nogroup:x:{_NOBODY}:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a confined program ended."""

    exit_code: int
    signal: int | None
    """The signal that ended it, as far as its exit code (128 + signal) tells."""

    stderr_tail: bytes = field(repr=False)
    stdout_tail: bytes = field(repr=False)
    """What it printed last. It may show the data: for tests, never for an error or a log."""

    seconds: float
    timed_out: bool = False
    """The shield killed it at its time limit."""

    stopped: bool = False
    """The shield killed it because it was no longer allowed to run."""

    sandbox_killed: bool = False
    """Somebody else killed the sandbox around it, for example the kernel, out of memory."""


def require_sandbox() -> str:
    """The path of bubblewrap; asked before keys are, so that no use is counted for nothing.

    Raises ``SandboxMissingError``.
    """
    executable = bubblewrap()
    if executable is None:
        raise SandboxMissingError(program="bubblewrap (bwrap)")
    return executable


def run_confined(confinement: Confinement, *, allowed: Callable[[], bool] | None = None) -> Outcome:
    """Run the program to its end and say how it went; a failing program is not an error here.

    ``allowed`` is asked several times a second; once it says no, the program is killed. Every
    process that it started is gone on return. Where the sandbox dies around the program, the
    program counts as killed (exit code 137). As root, writable directories (and read-only ones
    in private memory) are handed to the user inside; other read-only files must be readable for
    everybody. Not checked: what the program wrote, see ``collect_outputs``.

    Raises ``ConfinementError``, ``NamespaceRefusedError`` or ``SandboxMissingError``; in these
    cases the program was not started.
    """
    executable = require_sandbox()
    check(confinement)
    other_user = _may_use_another_user()
    if other_user:
        _hand_over(confinement)
    started = time.monotonic()
    deadline = None if confinement.timeout_s is None else started + confinement.timeout_s
    with contextlib.ExitStack() as stack:
        process, status, mark = _start(executable, confinement, other_user=other_user, stack=stack)
        printed = capture(process, deadline=deadline, allowed=allowed)
        reported = _reported_exit(os.read(status, _MAX_REPORT_BYTES))
        begun = _marked(mark)
    killed = printed.timed_out or printed.stopped
    if not (begun or killed):
        # The words of bubblewrap or of the first step: there was no program yet.
        raise _set_up_error(printed.stderr)
    sandbox_killed = reported is None and not killed
    if killed or reported is None:
        reported = 128 + signal.SIGKILL
    return Outcome(
        exit_code=reported,
        signal=reported - 128 if 128 < reported < 128 + signal.NSIG else None,  # noqa: PLR2004
        stderr_tail=printed.stderr,
        stdout_tail=printed.stdout,
        seconds=time.monotonic() - started,
        timed_out=printed.timed_out,
        sandbox_killed=sandbox_killed,
        stopped=printed.stopped,
    )


def make_folder(folder: Path) -> None:
    """An empty folder of the user that the program will be; others may look into it.

    Raises ``OSError``.
    """
    folder.mkdir(mode=0o755)
    if _may_use_another_user():
        os.chown(folder, _NOBODY, _NOBODY)


def _start(
    executable: str, confinement: Confinement, *, other_user: bool, stack: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], int, socket.socket]:
    """Bubblewrap at work, its report, and the first step's mark; ``stack`` ends all three."""
    data = Descriptors(stack)
    # A socket: a pipe could be opened anew through /proc and read empty by the program.
    mark, mark_write = map(stack.enter_context, socket.socketpair())
    data.pass_on(mark_write.fileno())
    status, status_write = data.pipe()
    arguments = ["--json-status-fd", str(status_write)]
    data.pass_on(status_write)
    map_pipes = None
    if other_user:
        info, info_write = data.pipe()
        block_read, block = data.pipe()
        arguments += ["--info-fd", str(info_write), "--userns-block-fd", str(block_read)]
        data.pass_on(info_write, block_read)
        map_pipes = info, block
    arguments += _arguments(confinement, data, other_user=other_user)
    # Arguments go through memory: a command line can be read by every user of the host.
    listed = data.memory(b"".join(os.fsencode(word) + b"\0" for word in arguments))
    plan = data.memory(_plan(confinement, other_user=other_user))
    first_step = [base_interpreter(), "-I", "-S", "-c", _FIRST_STEP, str(plan)]
    first_step.append(str(mark_write.fileno()))
    try:
        process = subprocess.Popen(
            [executable, "--args", str(listed), "--", *first_step],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=data.inherited,
            env={},
            cwd="/",
        )
    except OSError as error:
        raise ConfinementError(detail=f"bubblewrap does not start: {error.strerror}") from error
    stack.callback(_end, process)
    data.close_inherited()
    mark_write.close()
    if map_pipes is not None:
        _map_users(*map_pipes)
    return process, status, mark


def _arguments(confinement: Confinement, data: Descriptors, *, other_user: bool) -> list[str]:
    arguments = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    arguments += ["--hostname", _HOSTNAME, "--clearenv", "--cap-drop", "ALL"]
    if other_user:
        # For the first step only, which needs them to become another user and so loses them.
        arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        arguments += ["--uid", str(_NOBODY), "--gid", str(_NOBODY)]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    size = confinement.memory_limit_bytes
    for directory in ("/tmp", "/run", "/dev/shm"):  # noqa: S108 - inside the sandbox
        arguments += ["--perms", "1777", *(["--size", str(size)] if size else [])]
        arguments += ["--tmpfs", directory]
    # After /tmp and /run: an interpreter may be installed below them.
    arguments += system_arguments()
    for content, path in ((_PASSWD, "/etc/passwd"), (_GROUP, "/etc/group")):
        arguments += ["--perms", "0444", "--ro-bind-data", str(data.memory(content.encode())), path]
    if confinement.network is Network.OPEN:
        arguments += network_arguments()
    # Parents first: one folder read-only and one below it writable is a usual pair.
    mounts = {
        **{path: ("--ro-bind", source) for path, source in confinement.read_only.items()},
        **{path: ("--bind", source) for path, source in confinement.writable.items()},
    }
    for path in sorted(mounts, key=PurePosixPath):
        option, source = mounts[path]
        arguments += [*parents(path), option, str(source), path]
    for path, target in confinement.links.items():
        arguments += [*parents(path), "--symlink", target, path]
    # Root and /dev are in memory: nothing may grow there. /proc/sys belongs to the machine.
    for directory in ("/", "/dev", "/proc"):
        arguments += ["--remount-ro", directory]
    arguments += ["--chdir", confinement.workdir]
    arguments += ["--seccomp", str(data.memory(system_call_filter(network=confinement.network)))]
    return arguments


def _plan(confinement: Confinement, *, other_user: bool) -> bytes:
    """What the first step is to do, read by it from memory and by nobody else."""
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": _MAX_OPEN_FILES,
        "RLIMIT_NPROC": _MAX_PROCESSES,
    }
    if confinement.memory_limit_bytes is not None:
        limits["RLIMIT_AS"] = confinement.memory_limit_bytes
    first, *rest = confinement.command
    # -B: nowhere to write byte code; -s: no packages from a home directory.
    words = [interpreter(), "-B", "-s"] if first == "python" else [first]
    plan = {
        "limits": limits,
        "user": _NOBODY if other_user else 0,
        "command": [*words, *rest],
        "environment": dict(confinement.environment),
    }
    return json.dumps(plan).encode()


def _may_use_another_user() -> bool:
    """True as root of a machine, or of a container with more than one user."""
    if os.geteuid() != 0:
        return False
    return any(
        int(first) <= _NOBODY < int(first) + int(count)
        for first, _, count in map(str.split, Path("/proc/self/uid_map").read_text().splitlines())
    )


def _map_users(info: int, block: int) -> None:
    """Give the sandbox two users, root for its set-up and nobody, and let it go on."""
    report = b""
    while b"}" not in report and len(report) < _MAX_REPORT_BYTES:
        part = os.read(info, _MAX_REPORT_BYTES)
        if not part:
            # bubblewrap ended by itself; what it said is on its standard error.
            return
        report += part
    child = json.loads(report)["child-pid"]
    identities = f"0 0 1\n{_NOBODY} {_NOBODY} 1\n"
    try:
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{kind}").write_text(identities)
    except OSError as error:
        raise NamespaceRefusedError(
            action="give the program a user of its own", detail=error.strerror
        ) from error
    os.write(block, b"1")


def _hand_over(confinement: Confinement) -> None:
    """Make the user inside the owner of what it may write, and of the shield's own copies."""
    memory = private_memory()
    sources = list(confinement.writable.values())
    if memory is not None:
        own = memory.path.resolve()
        sources += [
            source
            for source in confinement.read_only.values()
            if source.resolve().is_relative_to(own)
        ]
    try:
        for source in sources:
            for path in _tree(source):
                os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
    except OSError:
        done = False
    else:
        done = True
    if not done:
        # Not inside the handler: the error of the system names a file of the inputs.
        raise ConfinementError(detail="its files cannot be handed to the user inside")


def _tree(top: Path) -> Iterator[Path]:
    """``top`` and everything below it, links not followed."""
    yield top
    if stat.S_ISDIR(top.lstat().st_mode):
        for directory, names, files in os.walk(top):
            yield from (Path(directory, name) for name in (*names, *files))


def _reported_exit(status: bytes) -> int | None:
    """The exit code in bubblewrap's report, which it writes only if the program was started."""
    for line in status.splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("exit-code"), int):
                return int(record["exit-code"])
    return None


def _marked(mark: socket.socket) -> bool:
    """Whether the first step said that it becomes the program now.

    bubblewrap's own report does not tell: ``child-pid`` is in it before anything is mounted.
    """
    mark.setblocking(False)
    try:
        return mark.recv(1) != b""
    except BlockingIOError:
        return False


def _set_up_error(stderr: bytes) -> ConfinementError | NamespaceRefusedError:
    """Only for a program that was not started: afterwards ``stderr`` is what *it* printed."""
    said = stderr.decode(errors="replace").strip().removeprefix("bwrap: ") or "no reason given"
    if "amespace" in said or "uid map" in said:
        return NamespaceRefusedError(action="make a sandbox", detail=said)
    return ConfinementError(detail=said)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left; the sandbox dies with bubblewrap (--die-with-parent)."""
    if process.poll() is None:
        process.kill()
        process.wait(_SET_UP_TIMEOUT_S)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
