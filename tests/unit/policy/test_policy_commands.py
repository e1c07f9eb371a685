# SPDX-License-Identifier: Apache-2.0
"""`accord policy`: what each command prints, and how it ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.board import policy_json
from tests.support.live import Board, Finished

from accord.cli._main import run
from accord.policy import Policy, parse_policy, policy_schema

Command = Callable[..., Finished]
JSON = dict[str, Any]

SESSION = """\
name: demo
version: "0.3"
services:
  - name: app
    command: [app]
    mrenclaves: ["1111111111111111111111111111111111111111111111111111111111111111"]
"""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one command of `accord policy` in this process."""

    def call(*arguments: object) -> Finished:
        capsys.readouterr()
        exit_code = run(["policy", *(str(argument) for argument in arguments)])
        said = capsys.readouterr()
        return Finished(exit_code, said.out, said.err)

    return call


def written(folder: Path, name: str, **changes: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(policy_json(**changes)))
    return path


def test_digest_is_printed_alone(command: Command, tmp_path: Path) -> None:
    """So that a script can compare it."""
    expected = Policy.from_json(policy_json()).digest
    file = written(tmp_path, "p.json")

    assert command("digest", file).stdout == f"{expected}\n"
    assert command("digest", file, "--json").document == {"policy": "train", "digest": expected}


def test_diff_says_what_changes_and_which_values(command: Command, tmp_path: Path) -> None:
    """Sentences with a sign, and the fate of every secret."""
    secrets = {"key": {"kind": "key", "algorithm": "p256"}, "word": {"kind": "ascii"}}
    old = written(tmp_path, "old.json", secrets=secrets)
    new = written(tmp_path, "new.json", secrets=secrets, purpose="sales")

    shown = command("diff", old, new)
    assert (shown.exit_code, shown.stdout.splitlines()) == (
        0,
        [
            "+ the purpose is sales",
            "- the purpose is screening",
            "~ secret key gets a new value",
        ],
    )
    document = command("diff", old, new, "--json").document
    assert document["secrets"] == {"key": "generated", "word": "kept"}
    assert [item["sign"] for item in document["changes"]] == ["+", "-", "~"]
    assert command("diff", old, old).stderr == "nothing changes\n"


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, [], 0),
        ({}, ["--strict"], 1),  # The hardware of this policy is simulated.
        ({"access": {"update": "stoppers"}}, [], 1),
    ],
)
def test_lint_fails_on_errors(
    command: Command, tmp_path: Path, changes: JSON, options: list[str], expected: int
) -> None:
    """And, where that is asked for, on warnings."""
    shown = command("lint", written(tmp_path, "p.json", **changes), *options)

    assert shown.exit_code == expected
    assert "warning  simulated  policy.services.train.attestation[0].simulated: " in shown.stdout
    assert "1 warnings, 1 notes" in shown.stderr


def test_lint_compares_with_a_previous_version(command: Command, tmp_path: Path) -> None:
    """Of which the new one must know."""
    old = written(tmp_path, "old.json", purpose="sales")
    shown = command("lint", written(tmp_path, "new.json"), "--previous", old, "--json")

    assert shown.exit_code == 1
    assert shown.document["findings"][0]["code"] == "stale"


def test_schema_is_printed_as_json(command: Command) -> None:
    """With and without the option: it is nothing else."""
    assert command("schema").document == policy_schema()
    assert command("schema", "--json").document == policy_schema()
    assert command("schema", "--json").stderr == ""


def test_session_is_converted(command: Command, tmp_path: Path) -> None:
    """The policy on stdout, the remarks beside it."""
    file = tmp_path / "session.yaml"
    file.write_text(SESSION)
    shown = command("import-scone", file)

    assert shown.exit_code == 0
    assert parse_policy(shown.stdout.encode()).name == "demo"
    assert "the purpose is imported" in shown.stderr
    assert command("import-scone", file, "--json").document["missing"] == []


def test_session_with_gaps_is_a_draft(command: Command, tmp_path: Path) -> None:
    """The command fails with 4 and lists them."""
    file = tmp_path / "session.yaml"
    file.write_text(SESSION + "volumes: [{name: data}]\n")
    shown = command("import-scone", file, "--json")

    assert shown.exit_code == 4
    assert [item["where"] for item in shown.document["missing"]] == ["session.volumes[0]"]
    assert "! session.volumes[0]: seal data" in shown.stderr


def test_other_files_are_no_sessions(command: Command, tmp_path: Path) -> None:
    """The refusal has its code."""
    shown = command("import-scone", written(tmp_path, "p.json"), "--json")

    assert (shown.exit_code, shown.document["code"]) == (2, "accord-POL-010")


def test_all_versions_are_kept_and_shown(command: Command, board: Board) -> None:
    """Who proposed and approved each; each can be read in full, for ever."""
    tag = board.offer("ann", "data")
    first = board.enact({"ann/data": tag})
    home = ("--home", board.home("ann"))

    shown = command("log", first.name, *home, "--json").document
    assert shown["policy"] == first.name
    assert [item["digest"] for item in shown["versions"]] == [first.digest]
    assert shown["versions"][0]["author"] == "ann"
    assert shown["versions"][0]["approved"] == ["ann", "bob"]
    assert first.digest in command("log", first.name, *home).stdout

    old = command("show", first.name, "--digest", first.digest, *home, "--json").document
    assert old["policy"] == first.to_json()
    assert command("show", first.name, *home, "--json").document == old


def test_unknown_policies_and_versions_are_refused(command: Command, board: Board) -> None:
    """Each with a code of its own."""
    policy = board.enact({"ann/data": board.offer("ann", "data")})
    home = ("--home", board.home("ann"), "--json")
    other = "sha256:" + "0" * 64

    assert command("log", "nothing", *home).document["code"] == "accord-REL-002"
    assert command("show", policy.name, "--digest", other, *home).document["code"] == (
        "accord-POL-011"
    )


def test_lint_knows_the_board(command: Command, board: Board, tmp_path: Path) -> None:
    """Members, the version in force and the other policies, from your home."""
    policy = board.enact({"ann/data": board.offer("ann", "data")})
    file = tmp_path / "p.json"
    document = policy.to_json() | {"access": {"update": "member:eve"}}
    file.write_text(json.dumps(document))
    shown = command("lint", file, "--home", board.home("ann"), "--json")

    codes = {item["code"] for item in shown.document["findings"]}
    assert shown.exit_code == 1
    assert {"stale", "lock-out", "unknown-member"} <= codes


def test_resolved_policy_is_printed_whole(command: Command, board: Board, tmp_path: Path) -> None:
    """With what another policy of the board supplies; stdout can be proposed as it is."""
    fragments = {"f": {"to": ["other"], "environment": {"REGION": "eu"}}}
    supplier = board.policy({"ann/data": board.offer("ann", "data")}).to_json()
    assert isinstance(supplier, dict)
    policy = Policy.from_json({**supplier, "fragments": fragments})
    board.vote(board.propose("ann", policy), "ann", "bob")
    services: Any = supplier["services"]
    services["train"]["fragments"] = [{"policy": policy.name, "fragment": "f"}]
    file = tmp_path / "source.json"
    file.write_text(json.dumps({**supplier, "name": "other"}))
    home = ("--home", board.home("ann"))

    assert command("check", file, "--json").document["code"] == "accord-POL-020"
    printed = command("resolve", file, *home)
    resolved = parse_policy(printed.stdout.encode())
    assert resolved.services["train"].environment["REGION"] == "eu"
    assert f"fragment f of {policy.name}, version {policy.digest}" in printed.stderr
    assert command("resolve", file, *home, "--json").document["digest"] == resolved.digest
    file.write_text(printed.stdout)
    assert command("lint", file, *home).exit_code == 0
    file.write_text(json.dumps({**supplier, "name": "stranger"}))
    assert command("resolve", file, *home, "--json").document["code"] == "accord-POL-022"
