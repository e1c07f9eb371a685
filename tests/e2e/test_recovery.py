# SPDX-License-Identifier: Apache-2.0
"""A board moves to another machine with the commands that its operator and members type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.live import Hardware, ServiceProcess, accord, make_genesis
from tests.support.recovering import NAMES, RULES

from accord.board import Genesis
from accord.client import MemberHome, TrustSession
from accord.errors import ExitCode
from accord.identity import FileIdentity, sign_statement
from accord.testing import SimulatedPlatform


class NewMachine(Hardware):
    """Another machine of the same vendor: its sealing key is another one."""

    @property
    def trust_host(self) -> Path:
        return self.root / "new-host"


@pytest.fixture
def new_service(hardware: Hardware, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A trust service on another machine, not started."""
    if not (hardware.root / "new-host").exists():
        SimulatedPlatform.create(hardware.root / "new-host", hardware.root / "vendor")
    service = ServiceProcess(NewMachine(hardware.root), tmp_path / "new")
    yield service
    service.kill()


def test_a_board_moves_to_another_machine(
    hardware: Hardware, service: ServiceProcess, new_service: ServiceProcess, tmp_path: Path
) -> None:
    """Backup while it runs, kill, restore, show, share, open: the log goes on, on new hardware."""
    service.start()
    made, _ = make_genesis(tmp_path, hardware, names=NAMES, constitution=RULES)
    genesis = Genesis.from_json({**made.to_json(), "recovery": {"threshold": 2, "epoch": 1}})
    people = [FileIdentity.load(tmp_path / name).signer for name in NAMES]
    with TrustSession.attest(service.url, genesis) as session:
        session.found(sign_statement("genesis", genesis.to_json(), people))
    for name in NAMES:
        MemberHome.join(tmp_path / name, genesis, service.url)
    checked = accord("recovery", "check", "--home", tmp_path / "bob", "--json")
    assert {"threshold": 2, "holders": [*NAMES]}.items() <= checked.document.items()

    file = tmp_path / "board.backup"
    place = ("--url", service.url, "--board", genesis.digest, "--out", file)
    assert accord("service", "backup", *place).exit_code == ExitCode.OK
    service.kill()

    restored = accord("service", "restore", file, "--state", new_service.state)
    assert restored.exit_code == ExitCode.OK, restored.stderr
    new_service.start()
    there = {"ACCORD_SERVICE": new_service.url}

    def member(verb: str, name: str) -> int:
        finished = accord("recovery", verb, "--home", tmp_path / name, environment=there)
        return finished.exit_code

    assert member("status", "ann") == ExitCode.PENDING
    assert member("show", "ann") == ExitCode.OK
    assert member("share", "ann") == ExitCode.OK
    assert member("open", "ann") == ExitCode.PENDING
    assert member("share", "cid") == ExitCode.OK
    assert member("status", "bob") == ExitCode.OK
    assert member("open", "bob") == ExitCode.OK
    shown = accord("board", "show", "--home", tmp_path / "ann", environment=there)
    assert shown.exit_code == ExitCode.OK, shown.stderr


def test_a_backup_that_was_cut_off_is_not_restored(tmp_path: Path) -> None:
    """The operator learns it at once, not when the members are waiting."""
    file = tmp_path / "b.backup"
    file.write_bytes(b"\0\0\0\5{}")
    finished = accord("service", "restore", file, "--state", tmp_path / "state")
    assert finished.exit_code == ExitCode.INTEGRITY
    assert "accord-RCV-002" in finished.stderr
