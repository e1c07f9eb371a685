# SPDX-License-Identifier: Apache-2.0
"""Hostile programs in the sandbox: each tries to get out, or to get something out."""

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import accord
from accord.errors import OutputRefusedError
from accord.policy import Network
from accord.shield import Confinement, Outcome, collect_outputs, run_confined

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")

SOURCES = Path(accord.__file__).parents[1]

NAMING = [
    name for name in ("/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs") if Path(name).exists()
]
"""What a program with a network needs, as far as this machine has it."""


@dataclass
class Sandbox:
    """A code directory and an output directory, and programs run with just these two."""

    base: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.code.mkdir(parents=True)
        self.out.mkdir()

    @property
    def code(self) -> Path:
        return self.base / "code"

    @property
    def out(self) -> Path:
        return self.base / "out"

    def confinement(
        self,
        program: str,
        *arguments: str,
        timeout_s: float | None = 30.0,
        memory_limit_bytes: int | None = None,
        read_only: Mapping[str, Path] | None = None,
    ) -> Confinement:
        (self.code / "program.py").write_text(textwrap.dedent(program))
        return Confinement(
            command=("python", "/code/program.py", *arguments),
            environment=self.environment,
            workdir="/out",
            read_only={"/code": self.code, **(read_only or {})},
            writable={"/out": self.out},
            timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes,
        )

    def run(self, program: str, *arguments: str, timeout_s: float | None = 30.0) -> Outcome:
        return run_confined(self.confinement(program, *arguments, timeout_s=timeout_s))

    def says(self, program: str, *arguments: str) -> str:
        """What a program prints that must end well."""
        outcome = self.run(program, *arguments)
        assert (outcome.exit_code, outcome.stderr_tail) == (0, b"")
        return outcome.stdout_tail.decode().strip()


def processes_naming(marker: str) -> list[int]:
    """The processes of this machine with ``marker`` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "sandbox")


@pytest.fixture
def listener() -> Iterator[int]:
    """A server on the host's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_sandbox_runs_an_unmodified_numpy_program(sandbox: Sandbox) -> None:
    """What is confined still works: NumPy, files in and out, its own modules."""
    (sandbox.code / "helper.py").write_text("FACTOR = 2\n")
    program = """
        import numpy, helper
        numpy.save("result.npy", numpy.arange(3) * helper.FACTOR)
        print(numpy.arange(3).sum())
    """
    assert sandbox.says(program) == "3"
    assert [path.name for path in collect_outputs(sandbox.out, max_files=1, max_bytes=999)] == [
        "result.npy"
    ]


def test_program_reaches_no_network(sandbox: Sandbox, listener: int) -> None:
    """Neither the test network, nor the loopback of the host, nor a name."""
    program = f"""
        import socket
        for target in (("192.0.2.1", 80), ("127.0.0.1", {listener})):
            try:
                socket.create_connection(target, timeout=2)
                print("connected to", target)
            except OSError as error:
                print(error.errno)
        try:
            print(socket.getaddrinfo("example.org", 80))
        except OSError as error:
            print("no name")
    """
    assert sandbox.says(program).splitlines() == ["97", "97", "no name"]


@pytest.fixture
def greeter() -> Iterator[int]:
    """A server on the host's loopback that greets everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        pytest.param(Network.NONE, "97 97 []", id="none"),
        pytest.param(Network.OPEN, f"hello 111 {NAMING}", id="open"),
    ],
)
def test_network_of_the_host_is_reached_by_open_services_alone(
    sandbox: Sandbox, greeter: int, network: Network, expected: str
) -> None:
    """``none`` has no socket to dial with; ``open`` reaches what the host reaches."""
    program = f"""
        import os, socket
        said = []
        for target in (("127.0.0.1", {greeter}), ("127.0.0.1", 1)):
            try:
                with socket.create_connection(target, timeout=5) as connection:
                    said.append(connection.recv(5).decode())
            except OSError as error:
                said.append(str(error.errno))
        names = ("/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs", "/etc/ssl/private",
                 "/etc/shadow", "/etc/ssh")
        print(*said, [n for n in names if os.path.exists(n)])
    """
    job = dataclasses.replace(sandbox.confinement(program), network=network)
    outcome = run_confined(job)
    assert (outcome.stdout_tail.decode().strip(), outcome.stderr_tail) == (expected, b"")


@pytest.mark.parametrize("family", ["AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"])
def test_open_network_brings_internet_sockets_alone(sandbox: Sandbox, family: str) -> None:
    """VSOCK leads out of a virtual machine past every rule of its network."""
    program = f"""
        import socket
        try:
            socket.socket(socket.{family}, socket.SOCK_RAW)
        except OSError as error:
            print(error.errno)
    """
    job = dataclasses.replace(sandbox.confinement(program), network=Network.OPEN)
    assert run_confined(job).stdout_tail == b"97\n"


def test_open_network_gives_no_privilege_over_it(sandbox: Sandbox) -> None:
    """No raw sockets, no low ports, and nothing else is shared with the host."""
    program = """
        import os, socket
        for make in (
            lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
            lambda: socket.sethostname("mine"),
        ):
            try:
                make()
                print("done")
            except OSError as error:
                print(error.errno)
        print(socket.gethostname(), [p for p in os.listdir("/proc") if p.isdigit() and int(p) > 9])
    """
    job = dataclasses.replace(sandbox.confinement(program), network=Network.OPEN)
    assert run_confined(job).stdout_tail == b"1\n1\nshield []\n"


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
def test_program_opens_no_socket_but_unix_ones(sandbox: Sandbox, family: str) -> None:
    """VSOCK is the one to fear in a virtual machine: no namespace confines it."""
    program = f"""
        import errno, socket
        socket.socketpair()[0].close()
        try:
            socket.socket(socket.{family}, socket.SOCK_RAW)
        except OSError as error:
            print(errno.errorcode[error.errno])
    """
    assert sandbox.says(program) == "EAFNOSUPPORT"


def test_unix_sockets_of_the_host_are_out_of_sight(sandbox: Sandbox) -> None:
    """Abstract Unix sockets belong to the network namespace."""
    name = f"\0accord-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        program = f"""
            import socket
            try:
                socket.socket(socket.AF_UNIX).connect({name!r})
            except OSError as error:
                print(type(error).__name__)
        """
        assert sandbox.says(program) == "ConnectionRefusedError"


def test_program_reads_no_file_of_the_host(sandbox: Sandbox, tmp_path: Path) -> None:
    """Passwords, homes, other data of the shield and other mounts are not in its tree."""
    secret = tmp_path / "secret"
    secret.write_text("plaintext of somebody else")
    secret.chmod(0o644)
    paths = ["/etc/shadow", "/home", "/var", "/sys", "/boot", "/mnt", "/root/.ssh", "/proc/1/root"]
    paths += [str(secret), str(Path.home() / ".bashrc"), str(SOURCES / "accord")]
    program = """
        import os, sys
        for path in sys.argv[1:]:
            try:
                os.scandir(path) if os.path.isdir(path) else open(path)
                print("opened", path)
            except OSError:
                pass
        print(*sorted(os.listdir("/")), "|", *sorted(os.listdir("/etc")))
    """
    seen = sandbox.says(program, *paths)
    # The sandbox's own root, if it may be looked at through process 1, is the same sandbox.
    root, _, etc = seen.removeprefix("opened /proc/1/root\n").partition(" | ")
    own = {"code", "dev", "etc", "out", "proc", "run", "tmp", "usr"}
    system = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}
    # An interpreter outside /usr is mounted where it is, so the paths to it start at the root too.
    prefixes = (sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve()))
    assert own <= set(root.split()) <= own | system | {Path(path).parts[1] for path in prefixes}
    assert etc
    assert "shadow" not in etc


def test_environment_is_exactly_the_given_one(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the shield's environment is inherited, and nothing is added."""
    monkeypatch.setenv("ACCORD_TEST_MARKER", "secret of the shield")
    sandbox.environment = {"GIVEN": "a=b\nc", "LC_ALL": "C.UTF-8"}
    program = "import os; print(sorted(os.environ.items()))"
    expected = [("GIVEN", "a=b\nc"), ("LC_ALL", "C.UTF-8")]
    assert sandbox.says(program) == str(expected)


def test_environment_acts_on_the_program_alone(sandbox: Sandbox) -> None:
    """A library named by LD_PRELOAD is not loaded while the sandbox is still being set up."""
    sandbox.environment = {"LD_PRELOAD": "/code/missing.so"}
    outcome = sandbox.run("print('ran')")
    assert outcome.stdout_tail == b"ran\n"
    assert outcome.stderr_tail.count(b"missing.so") == 1


def test_secrets_are_on_no_command_line(sandbox: Sandbox) -> None:
    """Every user of a host can read the command lines of all processes."""
    marker = "c2VjcmV0-in-the-environment"
    sandbox.environment = {"TOKEN": marker}
    started = subprocess.Popen(
        [sys.executable, "-c", _RUN_AND_WAIT, str(SOURCES), str(sandbox.code), marker],
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == b"running\n"
        assert processes_naming(marker) == [started.pid]
    finally:
        started.kill()
        started.communicate()


_RUN_AND_WAIT = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from accord.shield import Confinement, run_confined
code = Path(sys.argv[2])
(code / "program.py").write_text("import time; time.sleep(60)")
threading.Thread(target=run_confined, daemon=True, args=(Confinement(
    command=("python", "/code/program.py"), environment={"TOKEN": sys.argv[3]}, workdir="/",
    read_only={"/code": code}, writable={}, timeout_s=None, memory_limit_bytes=None),)).start()
time.sleep(0.5)
print("running", flush=True)
time.sleep(60)
"""


def test_no_descriptor_is_inherited(sandbox: Sandbox) -> None:
    """Even a descriptor that the shield forgot to protect is closed."""
    readable, writable = os.pipe()
    os.set_inheritable(writable, True)
    try:
        program = """
            import os
            print(sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in range(3)))
            for number in range(3, 1024):
                try:
                    os.fstat(number)
                    print("inherited", number)
                except OSError:
                    pass
        """
        assert sandbox.says(program) == "['/dev/null', 'pipe', 'pipe']"
    finally:
        os.close(readable)
        os.close(writable)


def test_program_writes_to_its_output_and_scratch_only(sandbox: Sandbox) -> None:
    """The system, the code and the root directory are read-only."""
    program = """
        import os
        for path in ("/x", "/usr/x", "/etc/x", "/code/x", "/code/program.py", "/dev/x", "/root/x",
                     "/etc/passwd", "/proc/sys/kernel/core_pattern", "/proc/self/oom_score_adj",
                     "/out/fine", "/tmp/fine", "/dev/shm/fine"):
            try:
                open(path, "a").close()
                print(path)
            except OSError:
                pass
    """
    expected = ["/out/fine", "/tmp/fine", "/dev/shm/fine"]
    assert sandbox.says(program).splitlines() == expected
    assert [path.name for path in sandbox.out.iterdir()] == ["fine"]


def test_memory_of_the_shield_is_out_of_reach(sandbox: Sandbox) -> None:
    """The shield has no process number in there, and tracing is refused altogether."""
    program = """
        import ctypes, os, sys
        print([p for p in os.listdir("/proc") if p.isdigit() and int(p) > 9])
        print(os.getppid() < 9, os.path.exists(f"/proc/{sys.argv[1]}/mem"))
        libc = ctypes.CDLL(None, use_errno=True)
        for pid in (1, os.getppid()):
            print(libc.ptrace(16, pid, 0, 0), ctypes.get_errno())
        for pid in {1, os.getppid()}:
            try:
                open(f"/proc/{pid}/mem", "rb").read(1)
                print("opened")
            except OSError:
                pass
        try:
            os.kill(int(sys.argv[1]), 0)
        except OSError as error:
            print(type(error).__name__)
    """
    seen = sandbox.says(program, str(os.getpid())).splitlines()
    assert seen == ["[]", "True False", "-1 1", "-1 1", "ProcessLookupError"]


def test_program_has_no_privilege_and_gains_none(sandbox: Sandbox) -> None:
    """Not root, no capability, and a set-user-id program keeps it that way."""
    program = """
        import os, subprocess
        print(os.getresuid(), os.getresgid(), os.getgroups())
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        print(int(status["CapPrm"], 16), int(status["CapEff"], 16), int(status["CapAmb"], 16))
        print(status["NoNewPrivs"].strip(), status["Seccomp"].strip())
        for change in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
            try:
                change()
                print("became root")
            except OSError:
                pass
        found = [p for p in ("/usr/bin/su", "/usr/bin/mount") if os.path.exists(p)]
        for path in found:
            print(bool(os.statvfs(path).f_flag & os.ST_NOSUID))
    """
    seen = sandbox.says(program).splitlines()
    assert seen[0].startswith("(65534, 65534, 65534) (65534, 65534, 65534) [")
    assert seen[1:3] == ["0 0 0", "1 2"]
    assert set(seen[3:]) <= {"True"}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system call numbers of x86_64")
@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        pytest.param(272, (0x10000000,), 1, id="unshare-user-namespace"),
        pytest.param(272, (0x00020000,), 1, id="unshare-mount-namespace"),
        pytest.param(56, (0x10000011, 0, 0, 0, 0), 1, id="clone-user-namespace"),
        pytest.param(435, (0, 88), 38, id="clone3"),
        pytest.param(165, (0, 0, 0, 0, 0), 1, id="mount"),
        pytest.param(428, (-100, 0, 1), 1, id="open_tree"),
        pytest.param(250, (0, -3, 1), 1, id="keyctl"),
        pytest.param(321, (0, 0, 0), 1, id="bpf"),
        pytest.param(298, (0, 0, -1, -1, 0), 1, id="perf_event_open"),
        pytest.param(323, (1,), 1, id="userfaultfd"),
        pytest.param(425, (1, 0), 1, id="io_uring_setup"),
        pytest.param(246, (0, 0, 0, 0), 1, id="kexec_load"),
        pytest.param(175, (0, 0, 0), 1, id="init_module"),
        pytest.param(304, (-100, 0, 0), 1, id="open_by_handle_at"),
        pytest.param(0x40000000 + 41, (2, 1, 0), 38, id="socket-in-x32-numbering"),
    ],
)
def test_dangerous_system_call_is_refused(
    sandbox: Sandbox, number: int, arguments: tuple[int, ...], expected: int
) -> None:
    """The filter answers before the kernel's own code sees the call."""
    program = f"""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc.syscall(*(ctypes.c_long(n) for n in {(number, *arguments)}))
        if result == 0:
            import os; os._exit(0)
        print(result, ctypes.get_errno())
    """
    assert sandbox.says(program) == f"-1 {expected}"


def test_program_makes_no_device_and_sees_few(sandbox: Sandbox) -> None:
    """No disks, no TPM, no /dev/kvm: what is there holds no data."""
    program = """
        import os, stat
        try:
            os.mknod("/out/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
        except OSError as error:
            print(type(error).__name__)
        print(sorted(n for n in os.listdir("/dev") if stat.S_ISBLK(os.lstat("/dev/" + n).st_mode)
                     or n in ("kvm", "mem", "tpm0", "fuse", "sev-guest", "tdx_guest", "vsock")))
    """
    assert sandbox.says(program).splitlines() == ["PermissionError", "[]"]


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        pytest.param("os.symlink('/etc/shadow', 'model')", "symbolic link", id="link-to-file"),
        pytest.param("os.symlink('/', 'model')", "symbolic link", id="link-to-directory"),
        pytest.param("os.mkfifo('model')", "pipe", id="pipe"),
        pytest.param(
            "import socket; socket.socket(socket.AF_UNIX).bind('model')", "socket", id="socket"
        ),
        pytest.param("open('a', 'w'); os.link('a', 'model')", "more than one name", id="hard-link"),
        pytest.param("open('model', 'w').truncate(1 << 40)", "larger than", id="sparse-giant"),
        pytest.param(
            "[open(f'f{n}', 'w') for n in range(20)]", "more files and dir", id="many-files"
        ),
        pytest.param(
            "[os.mkdir(f'd{n}') for n in range(20)]", "more files and dir", id="many-folders"
        ),
        pytest.param("open('a\\x1b[2J', 'w')", "printable", id="terminal-escape-in-name"),
        pytest.param("open(b'a\\xff', 'w')", "printable", id="name-is-not-text"),
        pytest.param("os.makedirs('/'.join('d' * 40))", "more files and dir", id="deep"),
    ],
)
def test_planted_output_is_refused(sandbox: Sandbox, plant: str, reason: str) -> None:
    """The shield takes regular files only and follows nothing that the program planted."""
    sandbox.says(f"import os\n{plant}\n")
    with pytest.raises(OutputRefusedError, match=reason):
        collect_outputs(sandbox.out, max_files=10, max_bytes=1000)


def test_hard_link_to_the_code_is_impossible(sandbox: Sandbox) -> None:
    """A second name for an input would let the program pass it off as its output."""
    program = """
        import os
        try:
            os.link("/code/program.py", "/out/model")
        except OSError as error:
            print(type(error).__name__)
    """
    assert sandbox.says(program) in {"OSError", "PermissionError"}


def test_fork_bomb_ends_at_the_process_limit(sandbox: Sandbox) -> None:
    """The kernel counts the program's processes apart from everybody else's."""
    program = """
        import os, sys, time
        count = 0
        try:
            while count < 2000:
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
                count += 1
        except OSError as error:
            print(type(error).__name__, count < 512)
    """
    marker = f"fork-bomb-{os.getpid()}"
    assert sandbox.says(program, marker) == "BlockingIOError True"
    assert processes_naming(marker) == []


def test_time_limit_ends_the_whole_family(sandbox: Sandbox) -> None:
    """A child in a session of its own, deaf to signals, dies with the sandbox."""
    program = """
        import os, signal, time
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            os.closerange(0, 3)
        time.sleep(60)
    """
    marker = f"deaf-child-{os.getpid()}"
    outcome = sandbox.run(program, marker, timeout_s=1.0)
    assert (outcome.timed_out, outcome.signal, outcome.exit_code) == (True, signal.SIGKILL, 137)
    assert outcome.seconds < 5
    assert _gone(marker)


def test_child_left_behind_dies_with_the_program(sandbox: Sandbox) -> None:
    """Nobody is left to change the outputs while they are collected."""
    program = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
    """
    marker = f"left-behind-{os.getpid()}"
    assert sandbox.says(program, marker) == ""
    assert processes_naming(marker) == []


def test_memory_limit_holds(sandbox: Sandbox) -> None:
    """The program gets a MemoryError; the machine keeps its memory."""
    program = """
        try:
            bytearray(1 << 30)
        except MemoryError:
            print("refused")
        try:
            with open("/dev/shm/big", "wb") as file:
                for _ in range(512):
                    file.write(bytes(1 << 20))
        except OSError as error:
            print(error.strerror)
    """
    outcome = run_confined(sandbox.confinement(program, memory_limit_bytes=256 << 20))
    assert outcome.stdout_tail == b"refused\nNo space left on device\n"


def test_flood_of_output_neither_blocks_nor_fills_memory(sandbox: Sandbox) -> None:
    """Both streams are read at the same time and only their ends are kept."""
    program = """
        import sys
        for _ in range(64):
            sys.stdout.write("o" * 65536)
            sys.stderr.write("e" * 65536)
        sys.stdout.write("end")
    """
    outcome = sandbox.run(program)
    assert outcome.exit_code == 0
    assert outcome.stdout_tail == b"o" * 4093 + b"end"
    assert outcome.stderr_tail == b"e" * 4096


_SHIELD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from accord.shield import Confinement, enter_private_memory, run_confined
memory = enter_private_memory(Path(sys.argv[2]))
(memory / "in").mkdir()
(memory / "in" / "records.csv").write_text("plaintext of a patient")
(memory / "in" / "records.csv").chmod(0o600)
(memory / "in" / "program.py").write_text(sys.argv[3])
(memory / "out").mkdir()
outcome = run_confined(Confinement(
    command=("python", "/in/program.py", sys.argv[4]), environment={}, workdir="/out",
    read_only={"/in": memory / "in"}, writable={"/out": memory / "out"}, timeout_s=60,
    memory_limit_bytes=None))
print(outcome.exit_code, outcome.stdout_tail, (memory / "out" / "copy").read_text())
"""


def _start_shield(base: Path, program: str, marker: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _SHIELD, str(SOURCES), str(base), textwrap.dedent(program)]
    return subprocess.Popen([*command, marker], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _gone(marker: str) -> bool:
    for _ in range(100):
        if not processes_naming(marker):
            return True
        time.sleep(0.05)
    return False


def test_private_memory_of_the_shield_feeds_the_program(tmp_path: Path) -> None:
    """Plaintext goes in and out without ever being a file that the host can name."""
    base = tmp_path / "private"
    program = """
        import os
        assert not os.path.exists("/tmp/pytest-of-root")
        open("copy", "w").write(open("/in/records.csv").read().upper())
    """
    stdout, stderr = _start_shield(base, program, "unmarked").communicate(timeout=60)
    assert (stdout, stderr) == (b"0 b'' PLAINTEXT OF A PATIENT\n", b"")
    assert list(base.iterdir()) == []


def test_killed_shield_leaves_neither_process_nor_plaintext(tmp_path: Path) -> None:
    """kill -9 of the shield: the kernel takes the program and the memory along."""
    base = tmp_path / "private"
    marker = f"orphan-{os.getpid()}"
    shield = _start_shield(base, "import time; time.sleep(60)", marker)
    try:
        before: list[int] = []
        running = processes_naming(marker)
        # Twice the same ones: a process that is only forked has its parent's command line.
        for _ in range(800):
            if (len(running) > 1 and running == before) or shield.poll() is not None:
                break
            time.sleep(0.05)
            before, running = running, processes_naming(marker)
        assert len(running) > 1
        # While it runs, too, the host's file tree has nothing there.
        assert list(base.iterdir()) == []
        assert str(base) not in Path("/proc/self/mountinfo").read_text()
    finally:
        shield.kill()
        shield.communicate()
    assert _gone(marker)
    assert list(base.iterdir()) == []
    assert [pid for pid in _processes() if str(base) in _mounts(pid)] == []


def _processes() -> list[str]:
    return [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _mounts(pid: str) -> str:
    try:
        return Path("/proc", pid, "mountinfo").read_text()
    except OSError:
        return ""


def test_another_process_of_the_same_user_cannot_read_the_shield(tmp_path: Path) -> None:
    """An ordinary user's other programs cannot attach to the shield (root of the host can)."""
    marker = f"watched-{os.getpid()}"
    shield = _start_shield(tmp_path / "private", "import time; time.sleep(60)", marker)
    try:
        for _ in range(200):
            if len(processes_naming(marker)) > 1:
                break
            time.sleep(0.05)
        assert Path(f"/proc/{shield.pid}/mem").stat().st_uid == 0
        if os.geteuid() != 0:
            with pytest.raises(PermissionError):
                Path(f"/proc/{shield.pid}/environ").read_bytes()
    finally:
        shield.kill()
        shield.communicate()


@pytest.mark.timeout(110)
def test_all_of_this_holds_for_an_ordinary_user_as_well() -> None:
    """As root, run this file once more as nobody; as anybody else, it was just run so."""
    if os.geteuid() != 0:
        return
    driver = Path(__file__).with_name("run_as_nobody.py")
    command = [sys.executable, str(driver), str(SOURCES), __file__]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if "cannot make user namespaces" in result.stderr:
        pytest.skip("this kernel lets only root make user namespaces")
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
