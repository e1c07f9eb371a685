# SPDX-License-Identifier: Apache-2.0
"""`accord service`: attesting one without a home, claiming it, and setting its owner's wishes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.support.live import Board, Hardware, ServiceProcess, reference

from accord.errors import ExitCode
from accord.evidence import Role

pytestmark = pytest.mark.e2e


@pytest.fixture
def known(hardware: Hardware, tmp_path: Path) -> Path:
    """What `accord attest reference --role service` printed."""
    path = tmp_path / "service.json"
    path.write_text(json.dumps(reference(hardware, Role.SERVICE)))
    return path


@pytest.fixture
def fresh(service: ServiceProcess) -> Iterator[ServiceProcess]:
    """A service that nobody has claimed."""
    service.claims = False
    yield service.start()
    service.stop()


def test_a_service_is_claimed_once(
    command: Command, fresh: ServiceProcess, known: Path, tmp_path: Path
) -> None:
    """The claim shows service, owner and wishes; again it changes nothing; others are refused."""
    place = ("--url", fresh.url, "--trust", known)
    for name in ("me", "thief"):
        assert command("member", "new", name, "--home", tmp_path / name).exit_code == 0
    before = command("service", "configure", *place, "--home", tmp_path / "me")
    first = command("service", "claim", *place, "--home", tmp_path / "me", "--json")
    again = command("service", "claim", *place, "--home", tmp_path / "me")
    other = command("service", "claim", *place, "--home", tmp_path / "thief")
    wished = command(
        *("service", "configure", *place, "--home", tmp_path / "me"),
        *("--founding", "owner", "--max-boards", "3"),
    )

    assert (before.exit_code, "accord-SVC-030" in before.stderr) == (ExitCode.DENIED, True)
    assert "✓ trust service attested" in first.stderr
    assert first.document["owner"]["name"] == "me"
    assert f"service   {first.document['service']}\n" in again.stdout
    assert (other.exit_code, "accord-SVC-031" in other.stderr) == (ExitCode.DENIED, True)
    assert "founding  owner, at most 3 boards\n" in wished.stdout


def test_configuring_keeps_what_is_not_named(
    command: Command, fresh: ServiceProcess, known: Path, tmp_path: Path
) -> None:
    """One option changes one wish; somebody else is told that only the owner may do that."""
    place = ("--url", fresh.url, "--trust", known)
    for name in ("me", "thief"):
        assert command("member", "new", name, "--home", tmp_path / name).exit_code == 0
    assert command("service", "claim", *place, "--home", tmp_path / "me").exit_code == 0
    mine = ("service", "configure", *place, "--home", tmp_path / "me")
    wishes = ("--founding", "owner", "--requests-per-s", "20")
    assert command(*mine, *wishes).exit_code == 0
    kept = command(*mine, "--max-boards", "3", "--json").document
    other = command("service", "configure", *place, "--home", tmp_path / "thief")

    found = (kept["founding"], kept["max_boards"], kept["requests_per_s"])
    assert found == ("owner", 3, 20)
    assert (other.exit_code, "only the owner of this service" in other.stderr) == (
        ExitCode.DENIED,
        True,
    )


def test_anybody_attests_a_service(command: Command, board: Board, known: Path) -> None:
    """By its code, by its key, or by a board's conditions; what was not compared is said."""
    url = ("--url", board.url)
    by_code = command("service", "attest", *url, "--trust", known, "--json").document
    measured = json.loads(known.read_text())
    registers = measured["attestation"][0]["measurements"]
    named = [f"--measurement={name}={value[0]}" for name, value in registers.items()]
    anchor = ("--anchor", measured["anchors"][0])
    by_register = command("service", "attest", *url, *named, *anchor, "--accept-simulated")
    by_key = command("service", "attest", *url, "--identity", by_code["identity"], *anchor)
    by_board = command("service", "attest", *url, "--board", board.genesis.digest)
    by_home = command("service", "attest", "--home", board.home("ann"))

    for answer in (by_register, by_key, by_board, by_home):
        assert (answer.exit_code, f"identity   {by_code['identity']}" in answer.stderr) == (0, True)
    assert "was NOT compared with anything" in by_key.stderr
    assert "is one that you named" in by_register.stderr
    assert "is in the genesis" in by_board.stderr


def test_a_service_that_is_another_one_is_refused(
    command: Command, board: Board, known: Path
) -> None:
    """Other code, another key, no trusted root: exit code 3 and the reason."""
    url = ("--url", board.url)
    anchor = ("--anchor", json.loads(known.read_text())["anchors"][0])
    other_code = ("--measurement", "mrtd=" + 96 * "0", *anchor, "--accept-simulated")
    other_key = ("--identity", "sha256:" + 64 * "0", *anchor)
    no_root = ("--identity", "sha256:" + 64 * "0")
    for named, code in (
        (other_code, "accord-ATT-"),
        (other_key, "accord-SVC-035"),
        (no_root, "accord-ATT-"),
    ):
        answer = command("service", "attest", *url, *named)
        assert (answer.exit_code, code in answer.stderr) == (ExitCode.NOT_VERIFIED, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("attest",),
        ("attest", "--url", "https://127.0.0.1:1"),
        ("attest", "--trust", "{known}"),
        ("attest", "--url", "https://127.0.0.1:1", "--measurement", "mrtd"),
        ("claim", "--url", "https://127.0.0.1:1", "--home", "{home}"),
        ("configure", "--url", "https://127.0.0.1:1", "--home", "{home}"),
    ],
)
def test_a_command_that_does_not_say_which_service_is_wrong_use(
    command: Command,
    known: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is connected to before it is clear what would be believed."""
    for name in ("ACCORD_HOME", "ACCORD_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    command("member", "new", "me", "--home", tmp_path / "me")
    words = [word.format(known=known, home=tmp_path / "me") for word in arguments]

    assert command("service", *words).exit_code == ExitCode.USAGE


def test_a_killed_service_with_a_counter_waits_for_its_owner(
    command: Command, service: ServiceProcess, known: Path
) -> None:
    """After an orderly end it goes on by itself; after a kill its owner looks at it first."""
    service.options = ("--counter", "simulated")
    service.start()
    try:
        service.restart()
        place = ("service", "configure", "--url", service.url, "--trust", known)
        owned = (*place, "--home", service.folder / "owner")
        orderly = command(*owned, "--json").document["counter"]
        service.kill()
        service.start()
        place = ("service", "configure", "--url", service.url, "--trust", known)
        owned = (*place, "--home", service.folder / "owner")
        killed = command(*owned, "--json").document["counter"]
        accepted = command(*owned, "--accept-counter", str(killed["value"]))
        service.stop()
        service.options = ()
        with pytest.raises(RuntimeError, match="accord-SVC-091"):
            service.start()
    finally:
        service.kill()

    assert orderly["standing"] == "open"
    assert killed == {
        "standing": "unclean",
        "value": orderly["value"],
        "expected": orderly["value"] - 1,
    }
    assert "counter" in accepted.stdout
    assert f"{orderly['value'] + 1}, the store knows {orderly['value']}: open" in accepted.stdout


def test_a_counter_does_not_go_with_a_shared_database(
    command: Command, service: ServiceProcess
) -> None:
    """Several processes share a database: none of them has its lives."""
    refused = command(
        *("service", "run", "--simulated", service.hardware.trust_host),
        *("--database", "host=/nowhere", "--counter", "simulated"),
    )
    assert (refused.exit_code, "--counter goes with --state" in refused.stderr) == (
        ExitCode.USAGE,
        True,
    )
