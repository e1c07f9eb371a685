# SPDX-License-Identifier: Apache-2.0
"""Hostile programs that try to get plaintext out through what the shield itself says."""

import base64
import contextlib
import dataclasses
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from tests.unit.shield.fakes import FakeAttester, FakeService, job_in, service_of

import accord
from accord.client import TrustSession
from accord.errors import (
    AccordError,
    ConfinementError,
    GrantError,
    OutputRefusedError,
    SandboxMissingError,
    SecretError,
)
from accord.policy import SecretKind
from accord.secrets import SecretValue
from accord.shield import (
    Confinement,
    Outcome,
    PrivateMemory,
    _memory,
    _outputs,
    _runtime,
    _sandbox,
    collect_outputs,
    run_confined,
)
from accord.shield._injection import inject
from accord.shield._launch import run_attested

needs_bwrap = pytest.mark.skipif(_runtime.bubblewrap() is None, reason="needs bubblewrap")

RECORD = "anna-hiv-positive"
"""A record of the data, which no operator may read."""


def confinement(out: Path, script: str, **environment: str) -> Confinement:
    out.mkdir(exist_ok=True)
    return Confinement(
        command=("/bin/sh", "-c", script),
        environment=environment,
        workdir="/out",
        read_only={},
        writable={"/out": out},
        timeout_s=60.0,
        memory_limit_bytes=None,
    )


def everything_in(error: BaseException) -> str:
    """All that an operator, a log or a crash report could make of an error."""
    details = repr(error.details) if isinstance(error, AccordError) else ""
    shown = "".join(traceback.format_exception(error))
    before = "".join(everything_in(e) for e in (error.__cause__, error.__context__) if e)
    return f"{error} {error!r} {error.args} {details} {shown} {before}"


def _closed(path: Path) -> None:
    path.mkdir(mode=0)


def _deep(path: Path) -> None:
    path.joinpath(*[RECORD] * 40).mkdir(parents=True)


def _long(path: Path) -> None:
    """Too long for one system call, so made step by step."""
    here = os.open(path.parent, os.O_RDONLY)
    for _ in range(18):
        os.mkdir(RECORD * 14, dir_fd=here)
        below = os.open(RECORD * 14, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def _many(path: Path) -> None:
    for number in range(30):
        path.with_name(f"{RECORD}-{number}").touch()


def _second_name(path: Path) -> None:
    path.touch()
    path.with_name(f"{RECORD}-again").hardlink_to(path)


PLANTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "symlink": (lambda path: path.symlink_to(RECORD), "it has a symbolic link"),
    "pipe": (os.mkfifo, "it has a pipe"),
    "hard-link": (_second_name, "it has a file with more than one name"),
    "escape": (
        lambda path: path.with_name(f"{RECORD}\x1b[2J").touch(),
        "it has a name that is not printable text",
    ),
    "giant": (
        lambda path: path.write_bytes(bytes(2000)),
        "all its files together are larger than allowed",
    ),
    "many": (_many, "it has more files and directories than allowed"),
    "deep": (_deep, "it has directories too deep in one another"),
    "long": (_long, "it has a path that is too long"),
    "closed": (_closed, "a file or directory of it cannot be read"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_refused_output_names_nothing_that_the_program_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Records as names beside a planted link: the refusal is one fixed sentence."""
    plant, sentence = PLANTS[name]
    folder = tmp_path / RECORD
    folder.mkdir()
    plant(folder / f"{RECORD}-planted")
    if name == "closed":
        real_open = os.open

        def refusing(path: str, flags: int, *, dir_fd: int | None = None) -> int:
            if str(path).endswith("planted"):
                raise PermissionError(13, "Permission denied", path)
            return real_open(path, flags, dir_fd=dir_fd)

        # To root nothing is closed.
        monkeypatch.setattr(os, "open", refusing)
    if name == "deep":
        monkeypatch.setattr(_outputs, "_MAX_DEPTH", 5)
    with pytest.raises(OutputRefusedError) as caught:
        collect_outputs(tmp_path, max_files=20, max_bytes=1000)
    assert str(caught.value) == f"the program's output is refused: {sentence}"
    assert caught.value.details == {"detail": sentence}
    assert RECORD not in everything_in(caught.value)


def test_file_that_vanishes_while_collected_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of the system carry file names; none of them gets out."""
    (tmp_path / RECORD).touch()

    def gone(path: str, **_: object) -> os.stat_result:
        raise FileNotFoundError(2, "No such file or directory", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", gone)
        with pytest.raises(OutputRefusedError) as caught:
            collect_outputs(tmp_path, max_files=10, max_bytes=1000)
    assert RECORD not in everything_in(caught.value)


@needs_bwrap
def test_confined_program_cannot_speak_through_its_output_folder(tmp_path: Path) -> None:
    """The attack as it was found: a record as a folder, and a link in it."""
    out = tmp_path / "out"
    script = 'mkdir -p "$RECORD/$RECORD" && ln -s "/$RECORD" "$RECORD/$RECORD/$RECORD"'
    assert run_confined(confinement(out, script, RECORD=RECORD)).exit_code == 0
    with pytest.raises(OutputRefusedError) as caught:
        collect_outputs(out, max_files=10, max_bytes=1000)
    assert RECORD not in everything_in(caught.value)


def test_input_that_cannot_be_handed_over_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of input files are data as well."""
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / RECORD).touch()
    monkeypatch.setattr(_memory, "_entered", PrivateMemory(tmp_path, never_swapped=True))

    def refusing(path: Path, *_: int, **__: bool) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    job = Confinement(
        command=("true",),
        environment={},
        workdir="/",
        read_only={"/in": inputs},
        writable={},
        timeout_s=None,
        memory_limit_bytes=None,
    )
    monkeypatch.setattr(os, "chown", refusing)
    with pytest.raises(ConfinementError, match="cannot be handed") as caught:
        _sandbox._hand_over(job)
    assert str(inputs) not in everything_in(caught.value)


def _bubblewraps(parent: int) -> list[int]:
    """The processes named bwrap that ``parent`` started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, rest = (entry / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            except (OSError, IndexError):
                continue
            if name == "bwrap" and int(rest.split()[1]) == parent:
                found.append(int(entry.name))
    return found


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@needs_bwrap
@pytest.mark.parametrize("other_user", [True, False])
@pytest.mark.parametrize("victim", ["bubblewrap", "init"])
def test_words_of_a_killed_program_are_not_taken_for_those_of_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str, *, other_user: bool
) -> None:
    """Out of memory: the program printed a record as if it were bubblewrap, and the run ends.

    It also tries to make the shield forget that it was started.
    """
    if not other_user:
        monkeypatch.setattr(_sandbox, "_may_use_another_user", lambda: False)
    out = tmp_path / "out"
    script = """
        for f in /proc/[0-9]*/fd/*; do [ -r "$f" ] && timeout 0.1 cat "$f" >/dev/null; done 2>&-
        echo "bwrap: namespace $RECORD" >&2; echo "$RECORD"
        touch up; sleep 60
    """
    ends: list[Outcome | BaseException] = []

    def run() -> None:
        try:
            ends.append(run_confined(confinement(out, script, RECORD=RECORD)))
        except AccordError as error:
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    _wait_for(lambda: (out / "up").exists() or ends)
    (monitor,) = _bubblewraps(os.getpid())
    target = monitor if victim == "bubblewrap" else _bubblewraps(monitor)[0]
    os.kill(target, signal.SIGKILL)
    thread.join(20)
    (end,) = ends
    assert isinstance(end, Outcome), end
    assert (end.exit_code, end.signal, end.timed_out) == (137, signal.SIGKILL, False)
    assert end.sandbox_killed is (victim == "bubblewrap")
    # The words were there to be quoted.
    assert RECORD in end.stderr_tail.decode()
    assert RECORD not in repr(end) + str(end)


@needs_bwrap
def test_failed_set_up_still_explains_itself(tmp_path: Path) -> None:
    """Where no program was started, the words can only be those of bubblewrap."""
    out = tmp_path / "out"
    job = confinement(out, 'touch started; echo "$RECORD" >&2', RECORD=RECORD)
    missing = Confinement(
        command=job.command,
        environment=job.environment,
        workdir="/nowhere",
        read_only={},
        writable=job.writable,
        timeout_s=60.0,
        memory_limit_bytes=None,
    )
    with pytest.raises(ConfinementError, match="chdir to /nowhere: No such file") as caught:
        run_confined(missing)
    assert "was not started" in caught.value.hint
    assert not (out / "started").exists()
    assert RECORD not in everything_in(caught.value)


@needs_bwrap
def test_failing_first_step_is_not_a_failing_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its limits the program is not started, and nobody is told that it failed."""
    monkeypatch.setattr(_sandbox, "_MAX_OPEN_FILES", -7)
    with pytest.raises(ConfinementError, match="ValueError: ") as caught:
        run_confined(confinement(tmp_path / "out", "touch started", RECORD=RECORD))
    assert not (tmp_path / "out" / "started").exists()
    assert RECORD not in everything_in(caught.value)


@needs_bwrap
def test_printed_words_and_variables_are_in_no_repr(tmp_path: Path) -> None:
    """A dataclass in a log line or a crash report shows no data."""
    job = confinement(tmp_path / "out", 'echo "$RECORD"; echo "$RECORD" >&2', RECORD=RECORD)
    outcome = run_confined(job)
    assert (outcome.stdout_tail, outcome.stderr_tail) == (f"{RECORD}\n".encode(),) * 2
    assert RECORD not in f"{outcome} {outcome!r} {job} {job!r}"


def test_planted_bubblewrap_on_the_path_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets PATH would otherwise run a program of his own on the plaintext."""
    planted, trace = tmp_path / "bwrap", tmp_path / "trace"
    planted.write_text(f"#!/bin/sh\ntouch {trace}\nexit 1\n")
    planted.chmod(planted.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("bwrap") == str(planted)
    try:
        run_confined(confinement(tmp_path / "out", "true"))
    except SandboxMissingError:
        assert _runtime.bubblewrap() is None
    assert not trace.exists()
    directories = {str(Path(path).parent) for path in _runtime._BUBBLEWRAP}
    assert directories == {"/usr/bin", "/bin", "/usr/local/bin"}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param("Filename Type\n", False, id="no-swap"),
        pytest.param("Filename Type\n/swap file\n", True, id="swap"),
    ],
)
def test_swap_space_is_told(monkeypatch: pytest.MonkeyPatch, table: str, *, expected: bool) -> None:
    """A private memory that is never swapped says nothing about the heap of the shield."""
    monkeypatch.setattr(Path, "read_text", lambda _: table)
    assert _memory.machine_swaps() is expected


# --- secrets that a policy injects ----------------------------------------------------------

_SHIELD = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from accord.client import TrustSession
from accord.errors import AccordError
from accord.policy import SecretKind
from accord.secrets import SecretValue
from accord.shield import launch
from tests.unit.shield.fakes import FakeAttester, FakeService, job_in, service_of
value = sys.stdin.readline().strip()
service = service_of(
    command=["/bin/sh", "-c", sys.argv[4], "sh", *sys.argv[5:]],
    environment={"SECRET": "{{ accord.word }}"},
    files=[{"at": "/run/secret", "content": "{{ accord.word:base64 }} {{ accord.word }}"}],
)
fake = FakeService(service, {"word": SecretValue(SecretKind.ASSET, value.encode())})
TrustSession.open = lambda *_, **__: fake
job = job_in(Path(sys.argv[3]))
try:
    print(launch(job, FakeAttester(), progress=print))
except AccordError as error:
    print(error, error.hint, repr(error), error.details)
"""


def _injecting(folder: Path, script: str, *words: str) -> subprocess.Popen[str]:
    """A shield that waits for the value of its secret on standard input."""
    sources, tests = Path(accord.__file__).parents[1], Path(__file__).parents[2]
    arguments = [str(sources), str(tests), str(folder), script, *words]
    return subprocess.Popen(
        [sys.executable, "-c", _SHIELD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        cwd=folder,
    )


def _naming(marker: str, *, but: int) -> list[Path]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            numbered = entry.name.isdigit() and int(entry.name) not in (but, os.getpid())
            if numbered and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(entry)
    return found


def _holding(value: str, entry: Path) -> bool:
    try:
        return value.encode() in entry.read_bytes()
    except OSError:
        return False


@needs_bwrap
@pytest.mark.parametrize("end", ["true", "exit 3"], ids=["success", "failure"])
def test_injected_secret_is_on_no_disk_and_in_no_argument(tmp_path: Path, end: str) -> None:
    """While the program that has it runs, and in what the shield says at the end."""
    value, marker = secrets.token_hex(20), f"injected-{os.getpid()}-{end[:4]}"
    script = f"""
        case "$(cat /run/secret)" in *" $SECRET") ;; *) exit 9 ;; esac; : {marker}
        n=0; while [ $n -lt 30 ]; do sleep 0.1; n=$((n + 1)); done; {end}
    """
    shield = _injecting(tmp_path, script)
    assert shield.stdin is not None
    shield.stdin.write(f"{value}\n")
    shield.stdin.flush()
    _wait_for(lambda: _naming(marker, but=shield.pid) or shield.poll() is not None)
    time.sleep(0.3)

    processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert [entry for entry in processes if _holding(value, entry / "cmdline")] == []
    # The program's own environment is what the policy made it; bubblewrap and shield have none.
    holders = [entry for entry in processes if _holding(value, entry / "environ")]
    assert [e for e in holders if (e / "comm").read_text().strip() in ("bwrap", "python")] == []
    encoded = base64.b64encode(value.encode()).decode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if _holding(value, path) or _holding(encoded, path)] == []
    assert list((tmp_path / "memory").iterdir()) == []
    said, _ = shield.communicate(timeout=60)
    assert value not in said
    assert encoded not in said
    assert ("accord-SHD" in said or "failed" in said) is (end != "true"), said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if _holding(value, path)] == []


@needs_bwrap
def test_secret_is_in_an_argument_where_the_policy_puts_it_and_nowhere_before(
    tmp_path: Path,
) -> None:
    """The program's own, and not one of bubblewrap or the shield, which every user could read."""
    value, marker = secrets.token_hex(20), f"argument-{os.getpid()}"
    shield = _injecting(tmp_path, f"sleep 2; : {marker}", "{{ accord.word }}")
    assert shield.stdin is not None
    shield.stdin.write(f"{value}\n")
    shield.stdin.flush()
    _wait_for(lambda: _naming(marker, but=shield.pid) or shield.poll() is not None)
    time.sleep(0.3)
    holders = [entry for entry in Path("/proc").iterdir() if _holding(value, entry / "cmdline")]
    assert {(entry / "comm").read_text().strip() for entry in holders} <= {"sh"}
    assert holders
    said, _ = shield.communicate(timeout=60)
    assert value not in said


@pytest.mark.parametrize(
    "text",
    [
        "{{ accord.word }} {{ accord.other }}",
        "{{ accord.word:nothing }}",
        "{{ accord.word }} {{ accord.wo rd }}",
        "{{ accord.word:bin }}",
    ],
)
def test_refused_template_quotes_no_value(tmp_path: Path, text: str) -> None:
    """Names and places, all of which are in the policy that everybody may read."""
    word = SecretValue(SecretKind.ASSET, RECORD.encode())
    # Made by hand: a policy with such a text is refused when it is read.
    service = dataclasses.replace(service_of(), environment={"A": text})
    with pytest.raises(SecretError) as caught:
        inject(service, {"word": word}, tmp_path / "injected")
    assert RECORD not in everything_in(caught.value)


@pytest.mark.parametrize("value", [RECORD.encode() + b"\0", RECORD.encode() + b"\xff"])
def test_value_that_is_no_text_is_not_quoted(tmp_path: Path, value: bytes) -> None:
    """A zero byte would end an argument early; the error does not show what was before it."""
    service = dataclasses.replace(service_of(), command=("{{ accord.word }}",))
    with pytest.raises(SecretError) as caught:
        inject(service, {"word": SecretValue(SecretKind.ASSET, value)}, tmp_path / "injected")
    assert RECORD not in everything_in(caught.value)
    assert RECORD not in repr(inject(service_of(), {}, tmp_path / "injected"))


def test_unreadable_value_in_a_grant_is_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of another version may send what we cannot read."""
    environment = {"A": "{{ accord.word }}"}
    fake = FakeService(
        service_of(environment=environment),
        change=lambda g: dataclasses.replace(g, secrets={"word": f'{{"{RECORD}":1}}'.encode()}),
    ).install(monkeypatch)
    job, session = job_in(tmp_path), cast(TrustSession, fake)
    with pytest.raises(GrantError) as caught:
        run_attested(session, job, FakeAttester(), job.memory, progress=lambda _: None)
    assert RECORD not in everything_in(caught.value)
