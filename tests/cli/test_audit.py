# SPDX-License-Identifier: Apache-2.0
"""`accord audit`: a log executed again, once and for as long as it grows."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.conftest import FinishedDemo
from tests.support.live import Board, ServiceProcess, found_board

from accord.bundle import BundleFiles
from accord.errors import SignatureInvalidError
from accord.ledger import verify_cose_receipt
from accord.release import log_origin


def test_bundle_and_board_replay_to_one_state(
    board: Board, command: Command, tmp_path: Path
) -> None:
    """Offline from a bundle, or from the service: the same entries, root and state."""
    board.enact({"ann/data": board.offer("ann", "data")})
    member = board.member("ann")
    with member.connect() as session:
        session.release(board.request(session))
        (run,) = member.read(session)[1].runs
    place = tmp_path / "bundle"
    home = ("--home", board.home("ann"))
    assert command("bundle", "create", run, "--out", place, *home).exit_code == 0
    genesis = ("--genesis", board.genesis.digest)
    offline = command("audit", "replay", place, *genesis, "--json").document
    online = command("audit", "replay", *home, "--json").document

    assert online == offline
    assert sum(offline["kinds"].values()) == offline["entries"] == online["entries"]
    assert offline["kinds"]["release"] == 1
    assert any("solo" in point for point in offline["not_proven"])
    assert "evidence  2 pieces" in command("audit", "replay", place).stdout


def test_a_damaged_bundle_is_not_replayed(bundle: Path, command: Command) -> None:
    """Exit code 3, as for `accord bundle verify`."""
    path = bundle / "entries" / "00000002.json"
    path.write_bytes(path.read_bytes()[:-1] + b" ")

    assert command("audit", "replay", bundle).exit_code == 3
    assert command("audit", "replay", bundle / "nothing").exit_code == 2
    assert command("audit", "replay").exit_code == 2


def test_receipt_of_an_entry_is_fetched_and_verified(
    board: Board, command: Command, tmp_path: Path
) -> None:
    """It holds for that entry and no other; of one that is not there is none."""
    board.offer("ann", "data")
    home, path = ("--home", board.home("bob")), tmp_path / "entry.cose"
    made = command("audit", "receipt", "2", "--out", path, *home, "--json")
    member = board.member("bob")
    with member.connect() as session:
        ledger, machine, _ = member.read(session)
    assert machine.log_key is not None
    origin, data = log_origin(board.genesis.digest), path.read_bytes()
    tree = verify_cose_receipt(data, ledger.entry_bytes(2), origin=origin, key=machine.log_key)

    assert made.exit_code == 0
    assert made.document == {
        "index": 2,
        "origin": origin,
        "root": tree.root.hex(),
        "size": tree.size,
    }
    assert ledger.root(tree.size) == tree.root
    with pytest.raises(SignatureInvalidError):
        verify_cose_receipt(data, ledger.entry_bytes(1), origin=origin, key=machine.log_key)
    assert command("audit", "receipt", "99", "--out", path, *home).exit_code == 7


def test_watch_verifies_what_came(board: Board, command: Command) -> None:
    """Each look tells of the entries, and of the evidence that they rest on."""
    home = ("--home", board.home("bob"), "--once", "--json")
    first = command("audit", "watch", *home)
    board.offer("ann", "data")
    second = command("audit", "watch", *home)

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.document["entries"] + 1 == second.document["entries"]
    assert first.document["evidence"] == 1
    assert "service-start" in first.stderr
    assert "asset" in second.stderr
    assert second.document["cosigned"] == []


def test_watch_ends_when_the_log_was_rolled_back(
    service: ServiceProcess, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older copy of the service's disk is found out: exit code 7."""
    service.start()
    board = found_board(tmp_path / "board", service.hardware, service.url)
    board.offer("ann", "early")
    service.stop()
    shutil.copytree(service.state, tmp_path / "older")
    service.start()
    board.url = service.url
    board.offer("ann", "late")
    monkeypatch.setenv("ACCORD_SERVICE", service.url)
    home = ("--home", board.home("bob"))
    assert command("audit", "watch", *home, "--once").exit_code == 0
    service.stop()
    shutil.rmtree(service.state)
    shutil.copytree(tmp_path / "older", service.state)
    service.start()
    monkeypatch.setenv("ACCORD_SERVICE", service.url)
    started = time.monotonic()
    found = command("audit", "watch", *home, "--interval", "0.1")

    assert found.exit_code == 7
    assert "accord-LED-" in found.stderr
    assert time.monotonic() - started < 60


def test_watch_of_a_service_that_is_not_there(
    service: ServiceProcess, command: Command, tmp_path: Path
) -> None:
    """Once: exit code 5. Otherwise it goes on asking."""
    service.start()
    board = found_board(tmp_path / "board", service.hardware, service.url)
    service.stop()

    assert command("audit", "watch", "--home", board.home("ann"), "--once").exit_code == 5


def test_bundle_show_says_what_is_inside(demo: FinishedDemo, command: Command) -> None:
    """And that nothing of it was verified."""
    shown = command("bundle", "show", demo.bundle, "--json")
    files = BundleFiles.read(demo.bundle).files

    assert (shown.exit_code, shown.document["verified"]) == (0, False)
    assert files.keys() == shown.document["files"].keys()
    assert "NOT VERIFIED" in shown.stderr
