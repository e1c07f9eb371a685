# SPDX-License-Identifier: Apache-2.0
"""Known secrets are searched for wherever a host could find them: files, database, logs, /proc."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.live import (
    ACCORD,
    Board,
    Hardware,
    ServiceProcess,
    accord,
    found_board,
    terms_document,
)
from tests.support.postgres import Postgres

from accord.board import Terms
from accord.client import deposit_secret
from accord.encoding import Fields, base64_encode
from accord.policy import Policy

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap"),
]

RUN_TIMEOUT_S = 100
MARKER = "# the program that the policy names"
NAMES = ("deposited", "generated", "random", "signing")
PROGRAM = f"""{MARKER}
import json, os, pathlib, sys, time
values = {{name: pathlib.Path("/run/sweep", name).read_text() for name in {NAMES}}}
values["variable"] = os.environ["VARIABLE"]
pathlib.Path("/out/model/values.json").write_text(json.dumps(values))
print(values, flush=True)
print(values, file=sys.stderr, flush=True)
time.sleep(2)
"""
FAILING = f"{PROGRAM}raise RuntimeError(values)\n"


@dataclass
class Host:
    """What root of a machine sees of some processes, looked at again and again."""

    service: int
    seen: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    """By the process's name and the file of /proc, what was in it."""

    core: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Of each process its name and its limits of core files, as they were last seen."""

    def look(self, shield: int) -> None:
        """The trust service, the shield, and every process below it."""
        for pid in (self.service, *_tree(shield)):
            with contextlib.suppress(OSError):  # It ended, or this user may not look into it.
                self._look_at(Path(f"/proc/{pid}"))

    def _look_at(self, entry: Path) -> None:
        # First of all, so that what it became meanwhile is not taken for what this was of.
        environ = (entry / "environ").read_bytes()
        name, command = (entry / "comm").read_text().strip(), (entry / "cmdline").read_bytes()
        self._keep(name, "cmdline", command)
        limits = (entry / "limits").read_text().splitlines()
        core = next(line.split() for line in limits if line.startswith("Max core file size"))
        self.core[int(entry.name)] = (name, " ".join(core[4:6]))
        # A policy may put a secret into its own program's environment, which is inside the TEE.
        if name == "bwrap" or MARKER.encode() not in command:
            self._keep(name, "environ", environ)

    def _keep(self, name: str, file: str, data: bytes) -> None:
        self.seen.setdefault((name, file), set()).add(data)

    def of(self, file: str) -> set[bytes]:
        """What all processes had in ``file``."""
        return {data for (_, kind), found in self.seen.items() if kind == file for data in found}


def _tree(root: int) -> Iterator[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                rest = (entry / "stat").read_text().rsplit(")", 1)[1]
                parents[int(entry.name)] = int(rest.split()[1])
    yield root
    reached = {root}
    while new := {pid for pid, parent in parents.items() if parent in reached} - reached:
        yield from new
        reached |= new


@dataclass
class Sweep:
    """A board whose policy has secrets of all sources, on one kind of store."""

    board: Board
    service: ServiceProcess
    folder: Path
    at_rest: Callable[[], list[Path]]
    """Ends the service's writing, and names the files of its store."""

    deposited: str
    said: list[str] = field(default_factory=list)
    """What every command printed."""

    def accord(self, *arguments: object, stdin: str | None = None) -> Any:
        done = accord(*arguments, stdin=stdin, environment=self.environment)
        self.said += [done.stdout, done.stderr]
        return done

    @property
    def environment(self) -> dict[str, str]:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return {"TMPDIR": str(scratch), "ACCORD_DEBUG": "1", "ACCORD_SERVICE": self.board.url}

    def run(self, name: str, host: Host) -> tuple[int, str]:
        """Runs a service of the policy, watched; its exit code and the id of its run."""
        words = ["shield", "run", "--service-url", self.board.url, "--policy", "job"]
        words += ["--board", self.board.genesis.digest, "--service", name]
        words += ["--storage", str(self.board.storage)]
        words += ["--simulated", str(self.board.hardware.compute_host), "--json"]
        out, errors = self.folder / f"{name}.out", self.folder / f"{name}.err"
        with out.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                [*ACCORD, *words],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **self.environment},
                cwd=self.folder,
            )
            deadline = time.monotonic() + RUN_TIMEOUT_S
            while process.poll() is None:
                if time.monotonic() > deadline:
                    process.kill()
                    message = f"the run has no end: {errors.read_text()}"
                    raise TimeoutError(message)
                host.look(process.pid)
                time.sleep(0.05)
        self.said += [out.read_text(), errors.read_text()]
        document = json.loads(out.read_text())
        return process.returncode, str(document.get("run", document.get("code")))


def _policy(board: Board) -> Policy:
    document: Any = board.policy({}).to_json()
    service = document["services"]["train"]
    service["environment"] = {"VARIABLE": "{{ accord.generated }}"}
    service["files"] = [
        {"at": f"/run/sweep/{name}", "content": f"{{{{ accord.{name} }}}}"} for name in NAMES
    ]
    document["secrets"] = {
        "deposited": {"kind": "asset", "asset": "ann/word"},
        "generated": {"kind": "ascii", "size": 40},
        "random": {"kind": "binary", "size": 32},
        "signing": {"kind": "key", "algorithm": "ed25519"},
    }
    document["services"] = {
        "train": {**service, "command": ["python", "-c", PROGRAM]},
        "fail": {**service, "command": ["python", "-c", FAILING]},
    }
    return Policy.from_json(document)


def _spellings(value: str) -> Iterator[bytes]:
    """A value as the program got it, and as a store or a log could have it."""
    if value.startswith("-----BEGIN"):
        raw = base64.b64decode("".join(value.splitlines()[1:-1]))[-32:]
        yield from (line.encode() for line in value.splitlines()[1:-1])
    elif len(value) == 64:
        raw = bytes.fromhex(value)
    else:
        raw = value.encode()
    yield value.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield base64_encode(raw).encode().rstrip(b"=")


def _files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(params=["sqlite", "postgresql"])
def sweep(
    request: pytest.FixtureRequest, hardware: Hardware, postgres: Postgres, tmp_path: Path
) -> Iterator[Sweep]:
    """A service over each store that writes a line for each request, and a board on it."""
    database = postgres.database() if request.param == "postgresql" else None
    options = ("--log-level", "info")
    service = ServiceProcess(hardware, tmp_path / "service", database=database, options=options)
    service.start()

    def at_rest() -> list[Path]:
        service.stop()
        if database is None:
            return _files(service.state)
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        return _files(postgres.data, postgres.folder)

    board = found_board(tmp_path / "board", hardware, service.url)
    word = secrets.token_hex(20)
    member = board.member("ann")
    terms = Terms.from_fields(Fields(terms_document(), "terms"))
    with member.connect() as session:
        _, machine, _ = member.read(session)
        deposit_secret(member, session, machine, "word", word.encode(), terms=terms)
    board.vote(board.propose("ann", _policy(board)), "ann", "bob")
    board.storage.mkdir(exist_ok=True)
    try:
        yield Sweep(board, service, tmp_path, at_rest, word)
    finally:
        service.kill()


def test_secrets_are_nowhere_on_the_host(sweep: Sweep) -> None:
    """Deposited and made values: in no file, database, log, output, argument or environment."""
    host = Host(sweep.service.pid)
    board, home = sweep.board, sweep.board.home("ann")
    code, run = sweep.run("train", host)
    assert code == 0, sweep.said
    code, failure = sweep.run("fail", host)
    assert (code, failure) == (1, "accord-SHD-021")
    too_large = (sweep.deposited + "!" * 40) * 1024
    terms = sweep.folder / "terms.json"
    terms.write_text(json.dumps(terms_document()))
    put = ("secret", "put", "large", "--stdin", "--terms", terms, "--home", home)
    assert sweep.accord(*put, stdin=too_large).exit_code != 0
    for noun in (("secret", "list"), ("why", "job/generated"), ("job", "show", run)):
        assert sweep.accord(*noun, "--home", home, "--json").exit_code == 0
    fetched = sweep.folder / "board" / "ann" / "model"
    to = ("--to", fetched, "--home", home, "--storage", board.storage)
    assert sweep.accord("job", "fetch", run, "model", *to).exit_code == 0
    values = json.loads((fetched / "values.json").read_text())
    with board.member("ann").connect() as session:
        _, machine, _ = board.member("ann").read(session)
    nonces = [record.release.nonce for record in machine.runs.values()]
    at_rest = sweep.at_rest()

    assert values["deposited"] == sweep.deposited
    assert values["variable"] == values["generated"]
    spelled = {spelling for value in values.values() for spelling in _spellings(value)}
    nonce = {spelling for item in nonces for spelling in (item, *_spellings(item.hex()))}
    assert len(nonces) == 2
    # A search that finds nothing proves something only if it would have found it.
    plain = (fetched / "values.json").read_bytes()
    assert all(value.encode() in plain for value in values.values() if "\n" not in value)

    outside = [*_files(sweep.service.folder, board.storage, sweep.folder / "scratch")]
    outside += [*at_rest, *sweep.folder.glob("*.out"), *sweep.folder.glob("*.err")]
    for path in {path for path in outside if path.exists()}:
        data = path.read_bytes()
        assert not [item for item in spelled if item in data], path
    said = "\n".join(sweep.said).encode() + sweep.service.log.read_bytes()
    assert not [item for item in spelled | nonce if item in said]
    assert b"Traceback" not in said
    for file in ("cmdline", "environ"):
        found = b"\n".join(host.of(file))
        assert not [item for item in spelled | nonce if item in found], file
    assert {"bwrap", "cmdline"} <= {word for key in host.seen for word in key}
    assert MARKER.encode() in b"".join(host.of("cmdline"))
    assert {limits for _, limits in host.core.values()} == {"0 0"}, host.core
