# SPDX-License-Identifier: Apache-2.0
"""What every command says when it succeeds: words on stderr, data on stdout, one JSON document."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.conftest import FinishedDemo
from tests.support.live import (
    EVERYBODY,
    Board,
    Finished,
    Hardware,
    ServiceProcess,
    accord,
    terms_document,
)

pytestmark = pytest.mark.e2e


def said_twice(command: Command, *arguments: object) -> tuple[Finished, Finished]:
    """The command for people and for programs; both succeed, and the second is one document."""
    text, document = command(*arguments), command(*arguments, "--json")
    assert (text.exit_code, document.exit_code) == (0, 0), text.stderr + document.stderr
    assert isinstance(document.document, dict)
    assert text.stdout
    assert "\x1b" not in text.stdout + text.stderr
    return text, document


def test_simulated_hardware_is_made_and_says_that_it_is(command: Command, tmp_path: Path) -> None:
    """`accord sim vendor` and `sim platform` warn, print the anchor, and may be repeated."""
    text, document = said_twice(command, "sim", "vendor", tmp_path / "vendor")
    assert "! SIMULATED" in text.stderr
    assert f"anchor  {document.document['anchor']}\n" == text.stdout
    place = ("sim", "platform", tmp_path / "host", "--vendor", tmp_path / "vendor")
    _, platform = said_twice(command, *place)
    assert document.document == platform.document


def test_identities_are_made_once(command: Command, tmp_path: Path) -> None:
    """`accord member new` twice keeps the key; `member show` prints the same."""
    new = ("member", "new", "ann", "--home", tmp_path / "ann")
    text, document = said_twice(command, *new)
    _, shown = said_twice(command, "member", "show", "--home", tmp_path / "ann")

    assert document.document == shown.document
    assert f"name    ann\nkey     {shown.document['key_id']}\n" == text.stdout
    assert "keep the rest secret" in text.stderr


def test_the_home_may_come_from_the_environment(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ACCORD_HOME stands for --home."""
    monkeypatch.setenv("ACCORD_HOME", str(tmp_path / "ann"))
    command("member", "new", "ann")

    assert "name    ann" in command("member", "show").stdout


@pytest.mark.parametrize("role", ["service", "shield"])
def test_reference_values_are_printed(command: Command, hardware: Hardware, role: str) -> None:
    """`accord attest reference` prints what a genesis or policy must name."""
    text, document = said_twice(
        command, "attest", "reference", "--role", role, "--simulated", hardware.trust_host
    )
    (variant,) = document.document["attestation"]
    assert variant["simulated"] is True
    assert variant["measurements"]["mrtd"][0] in text.stdout
    assert document.document["anchors"][0] in text.stdout


def test_a_board_is_founded_by_hand(
    command: Command, hardware: Hardware, shared_service: ServiceProcess, tmp_path: Path
) -> None:
    """new, sign, sign, found, show: the way of any board, and each step may be repeated."""
    trust = command(
        *("attest", "reference", "--role", "service"),
        *("--simulated", hardware.trust_host, "--json"),
    )
    (tmp_path / "trust.json").write_text(trust.stdout)
    (tmp_path / "constitution.yaml").write_text(json.dumps(EVERYBODY))
    members = []
    for name, role in (("ann", "data-owner"), ("bob", "code-owner")):
        command("member", "new", name, "--home", tmp_path / name)
        members += ["--member", f"{tmp_path / name / 'identity.json'}={role}"]
    new = ("board", "new", "two", *members, "--constitution", tmp_path / "constitution.yaml")
    genesis = tmp_path / "genesis.json"
    made = command(*new, "--trust", tmp_path / "trust.json", "--out", genesis, "--json")
    assert made.exit_code == 0, made.stderr
    assert "freshness solo" in made.stderr
    signatures = []
    for name in ("ann", "bob"):
        signatures.append(tmp_path / f"{name}.signature.json")
        sign = ("board", "sign", genesis, "--home", tmp_path / name)
        place = ("--service", shared_service.url, "--out", signatures[-1])
        named = ("--digest", made.document["digest"])
        text, _ = said_twice(command, *sign, *place, *named)
        assert f"{name} signed board {made.document['digest']}" in text.stderr
    text, founded = said_twice(
        command, "board", "found", *signatures, "--service", shared_service.url
    )
    assert "✓ trust service attested\n✓ board founded\n" in text.stderr
    _, shown = said_twice(command, "board", "show", "--home", tmp_path / "ann")
    text, checked = said_twice(command, "board", "check", genesis)
    assert "everyone with role" in text.stdout or "owner of an asset" in text.stdout
    assert made.document == founded.document == shown.document == checked.document


def test_a_service_is_attested(command: Command, board: Board) -> None:
    """`accord service attest` lists what was checked and says simulated."""
    text, document = said_twice(command, "service", "attest", "--home", board.home("ann"))

    assert "! assurance  SIMULATED" in text.stderr
    assert (document.document["assurance"], document.document["channel"]) == ("simulated", "L2")
    assert text.stderr.count("✓") == 4


def test_a_volume_is_sealed_and_verified(command: Command, board: Board, tmp_path: Path) -> None:
    """`accord volume seal` makes versions; `--if-changed` only of changed bytes; verify reads."""
    source = tmp_path / "records"
    source.mkdir()
    (source / "a.csv").write_text("1,2\n")
    where = ("--home", board.home("ann"), "--storage", tmp_path / "storage")
    seal = ("volume", "seal", source, "--name", "records", *where)
    first = command(*seal, "--json")
    assert (first.exit_code, first.document["version"]) == (0, 1)
    same = command(*seal, "--if-changed", "--json")
    assert first.document == same.document
    (source / "a.csv").write_text("1,3\n")
    second = command(*seal, "--if-changed", "--json")
    assert second.document["version"] == 2
    text, verified = said_twice(command, "volume", "verify", "records", *where)
    assert second.document == verified.document
    assert "every chunk is authentic" in text.stderr
    single = command("volume", "seal", source / "a.csv", "--name", "one", *where, "--if-changed")
    again = command("volume", "seal", source / "a.csv", "--name", "one", *where, "--if-changed")
    assert single.stdout == again.stdout


def test_an_asset_is_registered_listed_and_withdrawn(
    command: Command, board: Board, tmp_path: Path
) -> None:
    """register and withdraw may be repeated without effect; list shows state and uses."""
    (tmp_path / "terms.yaml").write_text(json.dumps(terms_document()))
    board.offer("ann", "data")
    home = ("--home", board.home("ann"))
    register = ("asset", "register", "data", "--terms", tmp_path / "terms.yaml", *home)
    text, first = said_twice(command, *register)
    assert "ann/data is on offer" in text.stderr
    text, listed = said_twice(command, "asset", "list", "--home", board.home("bob"))
    assert [
        (item["asset"], item["withdrawn"], item["uses"]) for item in listed.document["assets"]
    ] == [("ann/data", False, 0)]
    assert "on offer" in text.stdout
    text, withdrawn = said_twice(command, "asset", "withdraw", "data", *home)
    assert "ann/data is withdrawn" in text.stderr
    assert "withdrawn" in command("asset", "list", *home).stdout
    again = command(*register, "--json")
    assert again.document["index"] > withdrawn.document["index"] > first.document["index"]


def test_a_policy_is_checked_proposed_voted_on_and_shown(
    command: Command, board: Board, tmp_path: Path
) -> None:
    """The way of a policy: check, create, list, show, vote, vote, in force."""
    tag = board.offer("ann", "data")
    policy = board.policy({"ann/data": tag})
    (tmp_path / "policy.yaml").write_text(json.dumps(policy.to_json()))
    text, checked = said_twice(command, "policy", "check", tmp_path / "policy.yaml")
    assert policy.digest == checked.document["digest"]
    assert f"digest  {policy.digest}" in text.stdout
    home = ("--home", board.home("bob"))
    create = ("proposal", "create", tmp_path / "policy.yaml", "--title", "Joint model", *home)
    _, created = said_twice(command, *create)
    proposal = created.document["proposal"]
    assert (created.document["status"], created.document["missing"]) == ("open", ["ann", "bob"])
    text, listed = said_twice(command, "proposal", "list", *home)
    assert len(listed.document["proposals"]) == 1
    assert "ann, bob" in text.stdout
    text, _ = said_twice(command, "proposal", "show", proposal[:15], *home)
    assert "missing   ann, bob" in text.stdout
    vote = ("proposal", "vote", proposal, "--approve", "--digest", policy.digest)
    said_twice(command, *vote, "--home", board.home("ann"))
    text, _ = said_twice(command, *vote, *home)
    assert "status    enacted" in text.stdout
    assert "nothing to do" in command(*vote, *home).stderr
    _, shown = said_twice(command, "policy", "show", "job", "--home", board.home("ann"))
    assert policy.to_json() == shown.document["policy"]


def test_a_vote_against_is_a_vote(command: Command, voted: Board) -> None:
    """`--reject` is counted and shown."""
    listed = command("proposal", "list", "--home", voted.home("bob"), "--json")
    (item,) = listed.document["proposals"]
    home = ("--home", voted.home("bob"))
    reject = ("proposal", "vote", item["proposal"], "--reject", "--digest", item["digest"], *home)
    text, rejected = said_twice(command, *reject)

    assert (rejected.document["approved"], rejected.document["rejected"]) == (["ann"], ["bob"])
    assert "bob voted to reject" in text.stderr


def test_the_url_of_the_service_may_come_from_the_environment(
    command: Command, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ACCORD_SERVICE overrides the address that a home remembers."""
    monkeypatch.setenv("ACCORD_SERVICE", "https://127.0.0.1:1")

    assert command("asset", "list", "--home", board.home("ann")).exit_code == 5


def test_a_run_is_listed_shown_fetched_and_bundled(
    command: Command, board: Board, tmp_path: Path
) -> None:
    """shield run, job list, job show, job fetch, bundle create, bundle verify."""
    script = "open('/out/model/m.txt', 'w').write(open('/in/ann-data/file.txt').read() * 2)"
    tags = {"ann/data": board.offer("ann", "data", text="ab")}
    board.enact(tags, command=("python", "-c", script))
    shield = (
        *("--service-url", board.url, "--board", board.genesis.digest, "--policy", "job"),
        *("--service", "train", "--storage", board.storage),
        *("--simulated", board.hardware.compute_host),
    )
    ran = accord("shield", "run", *shield, "--json")
    assert ran.exit_code == 0, ran.stderr
    in_words = accord("run", *shield, program=(str(Path(sys.executable).parent / "accord-shield"),))
    assert in_words.exit_code == 0, in_words.stderr
    assert "assurance  SIMULATED" in in_words.stdout
    assert "! SIMULATED TEE" in in_words.stderr
    run, home = ran.document["run"], ("--home", board.home("ann"))
    text, listed = said_twice(command, "job", "list", *home)
    assert [run] == [item["run"] for item in listed.document["runs"]][:1]
    assert "succeeded" in text.stdout
    text, shown = said_twice(command, "job", "show", run, *home)
    assert shown.document["outputs"][0]["readers"] == ["ann"]
    fetch = ("job", "fetch", run, "model", *home, "--storage", board.storage)
    for place in ("text", "json"):
        flags = ("--json",) if place == "json" else ()
        fetched = command(*fetch, "--to", tmp_path / place, *flags)
        assert (fetched.exit_code, (tmp_path / place / "m.txt").read_text()) == (0, "abab")
    said_twice(command, "bundle", "create", run, "--out", tmp_path / "bundle", *home)
    text, verified = said_twice(
        command, "bundle", "verify", tmp_path / "bundle", "--genesis", board.genesis.digest
    )
    assert f"verified: {run} succeeded (SIMULATED)\n" == text.stdout
    assert verified.document["genesis_pinned"] is True


def test_the_bundle_of_the_demo_is_verified_in_words(command: Command, demo: FinishedDemo) -> None:
    """Facts with ticks, open points with exclamation marks, and one line of result."""
    text, document = said_twice(command, "bundle", "verify", demo.bundle)

    assert len(document.document["facts"]) == text.stderr.count("✓")
    assert len(document.document["not_proven"]) == text.stderr.count("! not proven")


def test_the_demo_ends_with_a_table(command: Command, demo: FinishedDemo, tmp_path: Path) -> None:
    """Stakeholders, models, attacks, measurements, assurance and time are in the final words."""
    from accord.cli._demo import _text

    said = "\n".join(_text(demo.result))

    for words in ("hospital-a", "operator", "joint, by accord", "constructed", "refused"):
        assert words in said
    assert "assurance      SIMULATED" in said
    assert demo.result["measurements"]["shield"] in said
