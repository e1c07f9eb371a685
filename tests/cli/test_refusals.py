# SPDX-License-Identifier: Apache-2.0
"""What commands say when they refuse: one error, one hint, an exit code, never a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command
from tests.conftest import FinishedDemo
from tests.support.live import ACCORD, Board, Finished, Hardware, accord, terms_document

from accord.cli._main import run
from accord.cli._output import Output, coloured, plain
from accord.errors import ExitCode, NotConfirmedError, catalogue
from accord.identity import FileIdentity

pytestmark = pytest.mark.e2e

NO_RUN = "run-" + 32 * "0"


def refused_twice(command: Command, code: str, *arguments: object) -> Finished:
    """The refusal in words and as a document; both name the code of the catalogue."""
    text, document = command(*arguments), command(*arguments, "--json")
    error = catalogue()[code]
    assert (error.exit_code, error.exit_code) == (text.exit_code, document.exit_code)
    assert text.stdout == ""
    assert text.stderr.splitlines()[-2].startswith(f"error: {code} ")
    assert f"hint: {error.hint}" == text.stderr.splitlines()[-1]
    assert {"schema", "code", "message", "hint"} == set(document.document)
    assert ("accord.error.v1", code) == (document.document["schema"], document.document["code"])
    assert "Traceback" not in text.stderr + document.stderr
    return document


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("accord-ID-001", "member show --home {t}/nobody"),
        ("accord-ID-005", "member new bob --home {ann}"),
        ("accord-ENC-001", "member new Not-A-Name --home {t}/x"),
        ("accord-CLI-001", "member new ann --home /proc/nowhere"),
        ("accord-CLI-001", "policy check {t}/missing.yaml"),
        ("accord-CLI-001", "policy check {t}"),
        ("accord-POL-001", "policy check {t}/twice.yaml"),
        ("accord-ENC-003", "policy check {t}/huge.yaml"),
        ("accord-ENC-001", "policy check {t}/empty.json"),
        ("accord-BRD-011", "asset list --home {t}/lonely"),
        ("accord-BRD-009", "asset withdraw nothing --home {ann}"),
        ("accord-CLI-001", "asset register data --terms {t}/missing --home {ann}"),
        ("accord-ENC-001", "asset register data --terms {t}/empty.json --home {ann}"),
        ("accord-ID-001", "asset register nothing --terms {t}/terms.json --home {ann}"),
        ("accord-REL-002", "policy show nothing --home {ann}"),
        ("accord-BRD-006", "proposal show 1234 --home {ann}"),
        ("accord-BRD-006", "proposal vote 1234 --approve --home {ann}"),
        ("accord-BUN-006", f"job show {NO_RUN} --home {{ann}}"),
        ("accord-BUN-006", f"job fetch {NO_RUN} m --to {{t}}/new --home {{ann}} --storage {{t}}"),
        ("accord-CLI-001", f"job fetch {NO_RUN} m --to {{t}} --home {{ann}} --storage {{t}}"),
        ("accord-BUN-006", f"bundle create {NO_RUN} --out {{t}}/new --home {{ann}}"),
        ("accord-BUN-001", "bundle verify {t}"),
        ("accord-CLI-001", "volume seal {t}/missing --name x --home {ann} --storage {t}/s"),
        ("accord-ENC-001", "volume seal {t}/terms.json --name X/Y --home {ann} --storage {t}/s"),
        ("accord-ID-001", "volume verify nothing --home {ann} --storage {t}/s"),
        ("accord-VOL-001", "volume verify data --home {ann} --storage {t}/elsewhere"),
        ("accord-ATT-013", "attest reference --role shield --simulated {t}"),
        ("accord-ATT-013", "sim platform {t}/p --vendor {t}"),
        ("accord-CLI-001", "board new x --member nofile=role --constitution a --trust b --out c"),
        ("accord-CLI-001", "board found {t}/missing --service https://127.0.0.1:1"),
        ("accord-ENC-001", "board sign {t}/empty.json --home {ann} --service u --out {t}/o"),
        ("accord-CHN-001", "service attest --home {down}"),
    ],
)  # fmt: skip
def test_every_refusal_has_its_words_and_code(
    command: Command, board: Board, tmp_path: Path, code: str, arguments: str
) -> None:
    """Unknown nouns, unreadable files, other people's things: a code, a sentence, a hint."""
    board.offer("ann", "data")
    FileIdentity.create(tmp_path / "lonely", "lonely")
    (tmp_path / "twice.yaml").write_text("a: 1\na: 2\n")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (2 << 20))
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "terms.json").write_text(json.dumps(terms_document()))
    down = tmp_path / "down"
    FileIdentity.create(down, "ann")
    context = json.loads((board.home("ann") / "board.json").read_text())
    context["service"] = "https://127.0.0.1:1"
    (down / "board.json").write_text(json.dumps(context))
    filled = [
        word.format(t=tmp_path, ann=board.home("ann"), down=down,
                    compute=board.hardware.compute_host)
        for word in arguments.split()
    ]  # fmt: skip
    refused_twice(command, code, *filled)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["member", "nothing"],
        ["member", "new"],
        ["member", "show"],
        ["attest", "reference", "--role", "nobody", "--simulated", "x"],
        ["proposal", "vote", "1", "--home", "x"],
        ["proposal", "create", "x", "--title", "t", "--days", "0", "--home", "x"],
        ["proposal", "create", "x", "--title", "t", "--days", "99999999999", "--home", "x"],
        ["service", "run", "--simulated", "{host}", "--state", "x", "--listen", "nowhere"],
        ["service", "run", "--simulated", "{host}", "--state", "x", "--listen", "a:99999"],
        ["service", "run", "--simulated", "{host}", "--state", "x", "--listen", "a:²"],
        ["bundle", "verify"],
        ["--nothing"],
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2(command: Command, hardware: Hardware, arguments: list[str]) -> None:
    """A command line that is not one is answered with its usage and exit code 2."""
    refused = command(*(word.format(host=hardware.trust_host) for word in arguments))

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "Usage: accord" in refused.stderr or "Error:" in refused.stderr


def test_wrong_use_is_a_document_too(command: Command) -> None:
    """With --json standard output is one error document also for a wrong command line."""
    refused = command("member", "new", "--json")

    assert (refused.exit_code, refused.document["schema"]) == (2, "accord.error.v1")


def test_an_address_that_is_none_is_unreachable(command: Command, board: Board) -> None:
    """Whatever stands for a URL, the answer is a refusal with exit code 5."""
    genesis = board.genesis.to_bytes()
    (board.root / "genesis.json").write_bytes(genesis)
    for url in ("x", "https://", "https://[", "https://a:99999", "http://127.0.0.1:1", "file:///"):
        home = board.home("ann")
        signed = board.root / "signature.json"
        sign = ("board", "sign", board.root / "genesis.json", "--home", home)
        command(*sign, "--service", url, "--out", signed, "--digest", board.genesis.digest)
        refused = command("service", "attest", "--home", home, "--json")

        assert (url, 5) == (url, refused.exit_code)
        assert refused.document["code"] == "accord-CHN-001"


def test_a_failed_bundle_is_refused_with_3(
    command: Command, bundle: Path, demo: FinishedDemo
) -> None:
    """Exit code 3, and the reason names the file; another board's digest is refused as well."""
    (bundle / "checkpoint").write_bytes(b"")
    refused_twice(command, "accord-BUN-001", "bundle", "verify", bundle)
    other = "sha256:" + 64 * "0"
    refused_twice(command, "accord-BUN-003", "bundle", "verify", demo.bundle, "--genesis", other)


def test_a_folder_that_is_no_bundle_is_not_overwritten(command: Command, board: Board) -> None:
    """`accord bundle create` into a folder with something else is refused."""
    tag = board.offer("ann", "data")
    board.enact({"ann/data": tag})
    shield = accord(
        *("shield", "run", "--service-url", board.url, "--board", board.genesis.digest),
        *("--policy", "job", "--service", "train", "--storage", board.storage),
        *("--simulated", board.hardware.compute_host, "--json"),
    )
    assert shield.exit_code == 0, shield.stderr
    create = ("bundle", "create", shield.document["run"], "--home", board.home("ann"))
    precious = board.root / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    refused_twice(command, "accord-BUN-004", *create, "--out", precious)
    assert [path.name for path in precious.iterdir()] == ["file"]
    fetch = ("job", "fetch", shield.document["run"])
    where = ("--to", board.root / "new", "--storage", board.storage)
    bob = ("--home", board.home("bob"))
    refused_twice(command, "accord-BUN-005", *fetch, "model", *where, *bob)
    refused_twice(command, "accord-BUN-005", *fetch, "nothing", *where, *bob)


def test_a_key_that_others_can_read_is_not_used(command: Command, board: Board) -> None:
    """A private key open to everybody is refused with 4."""
    (board.home("ann") / "identity.secret.json").chmod(0o644)

    refused_twice(command, "accord-ID-002", "member", "show", "--home", board.home("ann"))


def test_a_genesis_must_list_who_signs_it(command: Command, board: Board, tmp_path: Path) -> None:
    """Somebody who is no founder cannot sign, and a home belongs to one board."""
    (tmp_path / "genesis.json").write_bytes(board.genesis.to_bytes())
    FileIdentity.create(tmp_path / "eve", "eve")
    sign = ("board", "sign", tmp_path / "genesis.json", "--service", board.url)
    where = ("--out", tmp_path / "out.json")
    refused_twice(command, "accord-BRD-001", *sign, *where, "--home", tmp_path / "eve")
    assert not (tmp_path / "out.json").exists()


def test_signatures_over_different_documents_found_nothing(
    command: Command, demo: FinishedDemo, tmp_path: Path
) -> None:
    """`accord board found` refuses to mix the signatures of two boards."""
    one = demo.folder / "board" / "lab.signature.json"
    document = json.loads(one.read_text())
    document["payload"] = "e30="
    (tmp_path / "other.json").write_text(
        json.dumps(document, separators=(",", ":"), sort_keys=True)
    )
    found = ("board", "found", one, tmp_path / "other.json", "--service", "https://127.0.0.1:1")

    refused_twice(command, "accord-BRD-001", *found)


def test_a_trust_file_that_is_none_is_refused(command: Command, tmp_path: Path) -> None:
    """`accord board new` wants what `attest reference` printed."""
    FileIdentity.create(tmp_path / "ann", "ann")
    (tmp_path / "trust.json").write_text("[]")
    (tmp_path / "c.yaml").write_text("policy.enact: {all: [ann]}\n")
    member = f"{tmp_path / 'ann' / 'identity.json'}=data-owner"
    new = ("board", "new", "b", "--member", member, "--constitution", tmp_path / "c.yaml")

    refused_twice(
        command, "accord-BRD-001", *new, "--trust", tmp_path / "trust.json", "--out", tmp_path / "g"
    )


# --- votes ----------------------------------------------------------------------------------


def open_proposal(command: Command, board: Board) -> dict[str, Any]:
    listed = command("proposal", "list", "--home", board.home("bob"), "--json")
    (item,) = listed.document["proposals"]
    return dict(item)


@pytest.mark.parametrize("typed", ["00000000\n", "\n", "", "y\n"])
def test_a_vote_without_the_typed_digits_signs_nothing(
    command: Command, voted: Board, typed: str
) -> None:
    """Whoever did not read the digest does not vote."""
    item = open_proposal(command, voted)
    vote = ("proposal", "vote", item["proposal"], "--approve", "--home", voted.home("bob"))
    refused = accord(*vote, stdin=typed)

    assert refused.exit_code in (ExitCode.DENIED, ExitCode.INTERRUPTED)
    assert refused.stdout == ""
    assert open_proposal(command, voted)["missing"] == ["bob"]


def test_a_vote_with_the_typed_digits_is_cast(command: Command, voted: Board) -> None:
    """The first eight digits of the policy's digest stand for having read it."""
    item = open_proposal(command, voted)
    digits = item["digest"].removeprefix("sha256:")[:8]
    vote = ("proposal", "vote", item["proposal"], "--approve", "--home", voted.home("bob"))
    cast = accord(*vote, stdin=digits + "\n")

    assert cast.exit_code == 0, cast.stderr
    assert item["digest"] in cast.stderr
    assert "status    enacted" in cast.stdout


def test_a_vote_for_another_digest_is_refused(command: Command, voted: Board) -> None:
    """`--digest` of something else than the policy proposed ends with 4 and no vote."""
    item = open_proposal(command, voted)
    vote = ("proposal", "vote", item["proposal"], "--approve", "--home", voted.home("bob"))
    refused_twice(command, NotConfirmedError.code, *vote, "--digest", "sha256:" + 64 * "0")

    assert open_proposal(command, voted)["missing"] == ["bob"]


# --- the terminal ---------------------------------------------------------------------------


def test_what_others_wrote_cannot_steer_the_terminal(
    command: Command, board: Board, tmp_path: Path
) -> None:
    """Escape sequences in a title are refused when it is proposed, and never printed."""
    policy = board.policy({"ann/data": board.offer("ann", "data")})
    (tmp_path / "policy.json").write_text(json.dumps(policy.to_json()))
    create = ("proposal", "create", tmp_path / "policy.json", "--home", board.home("bob"))
    for title in ("\x1b[2Jgone", "a\x07b", "\u202eover", "\x9b31m"):
        refused = command(*create, "--title", title)
        listed = command("proposal", "list", "--home", board.home("bob"))
        said = refused.stdout + refused.stderr + listed.stdout + listed.stderr

        assert not set("\x1b\x07\x9b\u202e") & set(said)


def test_only_printable_characters_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever reaches the printer, control characters do not reach the terminal."""
    out = Output(json=False)
    for say in (out.note, out.fact, out.warn):
        say("a\x1b[2J\r\x00\udcffb")
    out.result({}, "a\x1bb")

    said = capsys.readouterr()
    assert plain("a\x1b[2J\r\x00\udcffb\n") == "a?[2J???b\\n"
    assert not set("\x1b\r\x00") & set(said.out + said.err)


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes get none, NO_COLOR turns them off, FORCE_COLOR turns them on."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert coloured("x", "red", stream_is_terminal=False) == "x"
    assert coloured("x", "red", stream_is_terminal=True) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert coloured("x", "red", stream_is_terminal=False) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "")
    assert coloured("x", "red", stream_is_terminal=True) == "x"


# --- processes ------------------------------------------------------------------------------


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    """`python -m accord` is the command."""
    done = accord("member", "new", "ann", "--home", tmp_path / "ann", "--json")

    assert (done.exit_code, done.document["name"]) == (0, "ann")


def test_accord_shield_is_the_entry_point_of_a_tee() -> None:
    """`accord-shield` is `accord shield`."""
    program = (str(Path(sys.executable).parent / "accord-shield"),)
    done = accord("run", "--help", program=program)

    assert done.exit_code == 0
    assert "Run one service of an enacted policy" in done.stdout


INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Tests started in the background of a shell inherit that Ctrl-C is ignored."""


@pytest.mark.parametrize(
    "arguments",
    [
        "bundle verify {t} --genesis abc",
        "shield run --service-url x --board b --policy p --service s --storage {t} --simulated {t}",
    ],
)
def test_a_digest_that_is_none_is_wrong_use(
    command: Command, tmp_path: Path, hardware: Hardware, arguments: str
) -> None:
    """A mistyped digest is not a failed verification: exit code 2, and the option is named."""
    simulated = str(hardware.compute_host)
    words = [word.format(t=tmp_path) for word in arguments.split()]
    if "--simulated" in words:
        words[-1] = simulated
    text, document = command(*words), command(*words, "--json")

    assert (text.exit_code, document.exit_code) == (ExitCode.USAGE, ExitCode.USAGE)
    assert "expected sha256:" in text.stderr
    assert document.document["code"] == "accord-CLI-005"


def test_an_interrupted_service_ends_with_130(hardware: Hardware, tmp_path: Path) -> None:
    """Ctrl-C ends a running service in order: exit code 130, no traceback."""
    arguments = ["service", "run", "--simulated", str(hardware.trust_host)]
    arguments += ["--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0"]
    arguments += ["--url-file", str(tmp_path / "url")]
    with subprocess.Popen(
        [*INTERRUPTIBLE, *ACCORD, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()  # The file with its address is there before.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert process.returncode == ExitCode.INTERRUPTED
    assert "listening at https://127.0.0.1:" in said
    assert "Traceback" not in out + err


def test_an_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    """Ctrl-C at a prompt or in the middle of work ends with 130 and says so."""
    code = (
        "import os, signal, sys; from accord.cli import _main;"
        "_main.cli.main = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT);"
        "sys.exit(_main.run([]))"
    )
    done = subprocess.run(
        [*INTERRUPTIBLE, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_reader_who_goes_away_is_no_failure_to_report(hardware: Hardware) -> None:
    """`accord … | head` ends without a traceback when nobody reads on."""
    reading, writing = os.pipe()
    os.close(reading)
    reference = ("attest", "reference", "--role", "shield", "--simulated")
    with subprocess.Popen(
        [*ACCORD, *reference, str(hardware.trust_host)], stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        _, said = process.communicate(timeout=30)

    assert process.returncode == ExitCode.FAILURE
    assert b"Traceback" not in said
    assert b"internal failure" not in said


def test_a_service_may_live_as_long_as_its_supervisor(hardware: Hardware, tmp_path: Path) -> None:
    """With --until-eof the service ends when its standard input does."""
    arguments = ["service", "run", "--simulated", str(hardware.trust_host), "--until-eof"]
    arguments += ["--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0"]
    arguments += ["--url-file", str(tmp_path / "url")]
    with subprocess.Popen(
        [*ACCORD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not (tmp_path / "url").exists():
            assert process.poll() is None
            time.sleep(0.02)
        _, said = process.communicate(timeout=20)

    assert process.returncode in (-signal.SIGTERM, 0, ExitCode.INTERRUPTED)
    assert b"Traceback" not in said


def on_a_terminal(*arguments: object) -> tuple[int, str]:
    """The command with standard error on a terminal, and what that terminal got."""
    controller, terminal = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [*ACCORD, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        env={**environment, "TERM": "xterm"},
    ) as process:
        os.close(terminal)
        said = b""
        with contextlib.suppress(OSError):
            while part := os.read(controller, 65536):
                said += part
    os.close(controller)
    return process.returncode, said.decode()


def test_a_terminal_gets_colours_and_a_progress_bar(board: Board, tmp_path: Path) -> None:
    """On a terminal long work shows a bar, and refusals are red."""
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.csv").write_text("1,2\n" * 1000)
    where = ("--home", board.home("ann"), "--storage", tmp_path / "storage")
    exit_code, said = on_a_terminal(
        "volume", "seal", tmp_path / "records", "--name", "records", *where
    )
    assert (exit_code, "sealing" in said) == (0, True)
    exit_code, said = on_a_terminal("volume", "verify", "nothing", *where)
    assert (exit_code, "\x1b[31merror:\x1b[0m" in said) == (2, True)


def test_a_volume_that_was_never_finished_is_not_verified(
    command: Command, board: Board, tmp_path: Path
) -> None:
    """A ring entry without a tag, as a kill leaves it, is no volume yet."""
    where = ("--home", board.home("ann"), "--storage", tmp_path / "storage")
    command("volume", "seal", tmp_path, "--name", "records", *where)
    path = board.home("ann") / "volumes" / "records.secret.json"
    document = json.loads(path.read_text())
    del document["tag"]
    path.write_text(json.dumps(document))

    refused_twice(command, "accord-BRD-009", "volume", "verify", "records", *where)


def test_the_demo_says_what_it_lacks(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without NumPy the demo names the extra to install."""
    monkeypatch.setitem(sys.modules, "numpy", None)

    refused_twice(command, "accord-CLI-003", "demo", "hospitals", "--out", tmp_path / "out")


def test_a_bug_is_admitted_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody foresaw is one line and a hint; ACCORD_DEBUG shows where."""
    from accord.cli import _main

    def broken(*_: object, **__: object) -> None:
        message = "secret"
        raise RuntimeError(message)

    monkeypatch.setattr(_main.cli, "main", broken)
    assert run([]) == ExitCode.FAILURE
    said = capsys.readouterr().err
    assert "internal failure (RuntimeError)" in said
    assert "secret" not in said
    monkeypatch.setenv("ACCORD_DEBUG", "1")
    run([])
    assert "Traceback" in capsys.readouterr().err


def test_the_environment_needs_no_locale(tmp_path: Path) -> None:
    """In an empty environment, without a locale, the words still come out."""
    clean = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*ACCORD, "sim", "vendor", str(tmp_path / "vendor")],
        env=clean, capture_output=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout[:6]) == (0, b"anchor")
