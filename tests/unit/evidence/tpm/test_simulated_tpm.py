# SPDX-License-Identifier: Apache-2.0
"""The simulated machine: its state, its process, and how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.unit.evidence.tpm.conftest import NOW, REPORT_DATA

from accord.errors import (
    ExitCode,
    IdentityExposedError,
    SimulatedTPMMissingError,
    SimulatorStateError,
    TPMCommandError,
)
from accord.evidence import verify_unbound
from accord.evidence.tpm import parse_quote
from accord.testing import SimulatedTPM, SimulatedTXT, SoftwareTPM, _swtpm


def test_create_gives_back_what_is_there(machine: SimulatedTPM) -> None:
    """One installation, one root, one key."""
    again = SimulatedTPM.create(machine.home)

    assert (again.root_digest, again.ak_digest) == (machine.root_digest, machine.ak_digest)


def test_an_rsa_machine_verifies(tmp_path: Path) -> None:
    """The other kind of keys."""
    machine = SimulatedTXT.create(tmp_path, kind="rsa2048", now=NOW)
    evidence = machine.collect(REPORT_DATA)

    assert parse_quote(evidence.blob).signature.scheme == "rsassa"
    assert verify_unbound(evidence, anchors=[machine.root_digest], now=NOW)
    assert SimulatedTXT.load(tmp_path).root_digest == machine.root_digest


def test_resets_are_counted(machine: SimulatedTPM) -> None:
    """Each piece of evidence is of a fresh start of the same TPM."""
    first, second = (parse_quote(machine.collect(REPORT_DATA).blob).attest for _ in range(2))

    assert second.clock.reset_count == first.clock.reset_count + 1
    assert first.clock.safe
    assert second.clock.safe


def test_report_data_have_64_bytes(machine: SimulatedTPM) -> None:
    """Anything else is a bug of the caller."""
    with pytest.raises(ValueError, match="64 bytes"):
        machine.collect(bytes(32))


def test_state_is_private(machine: SimulatedTPM) -> None:
    """Whoever reads it can forge evidence."""
    for path in (machine.home / "tpm.secret.json", machine.home / "state" / "tpm2-00.permall"):
        assert path.stat().st_mode & 0o077 == 0


def test_state_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """It may have been copied."""
    SimulatedTPM.create(tmp_path, now=NOW)
    (tmp_path / "tpm.secret.json").chmod(0o644)

    with pytest.raises(IdentityExposedError):
        SimulatedTPM.load(tmp_path)


def test_missing_or_damaged_state_is_refused(tmp_path: Path) -> None:
    """Never silently replaced."""
    with pytest.raises(SimulatorStateError):
        SimulatedTPM.load(tmp_path)
    SimulatedTPM.create(tmp_path, now=NOW)
    path = tmp_path / "tpm.secret.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"ak": ""}))
    with pytest.raises(SimulatorStateError):
        SimulatedTPM.load(tmp_path)


def test_a_damaged_tpm_is_refused(tmp_path: Path) -> None:
    """The program says what is wrong, and nothing stays behind."""
    machine = SimulatedTPM.create(tmp_path, now=NOW)
    (tmp_path / "state" / "tpm2-00.permall").write_bytes(b"damaged")

    with pytest.raises(SimulatorStateError):
        machine.collect(REPORT_DATA)
    assert not _children()


def test_without_swtpm_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no fallback."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SimulatedTPMMissingError, match="needs the program swtpm") as refused:
        SimulatedTPM.create(tmp_path)
    assert refused.value.exit_code is ExitCode.USAGE
    assert "apt-get install swtpm" in refused.value.hint


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """There is a file where the state should be."""
    (tmp_path / "state").write_bytes(b"")

    with pytest.raises(SimulatorStateError, match="exists"):
        SimulatedTPM.create(tmp_path)


@pytest.mark.parametrize("script", ["exec sleep 60", "exit 1"])
def test_a_program_that_is_no_tpm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """It never answers, or ends at once: it is stopped, by force if need be."""
    program = tmp_path / "swtpm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(_swtpm, "_SECONDS", 0.2)
    monkeypatch.setattr(_swtpm, "_GRACE_SECONDS", 0.1)

    with pytest.raises(SimulatorStateError, match="it does not answer"):
        SimulatedTPM.create(tmp_path / "home")


def test_a_second_machine_waits_for_the_first(
    machine: SimulatedTPM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two TPMs on one state would damage it; waiting ends."""
    monkeypatch.setattr(_swtpm, "_SECONDS", 0.05)

    with (
        machine.running(machine.boot),
        pytest.raises(SimulatorStateError, match="switched on"),
    ):
        machine.collect(REPORT_DATA)


def test_nothing_stays_behind(machine: SimulatedTPM) -> None:
    """Neither after evidence nor after an exception."""
    machine.collect(REPORT_DATA)
    with pytest.raises(KeyError), machine.running(machine.boot):
        raise KeyError
    with pytest.raises(TPMCommandError), machine.running(machine.boot) as running:
        running.machine.tpm.read_public(1)

    assert not _children()


def test_the_tpm_ends_with_its_user(tmp_path: Path) -> None:
    """Even where that is killed."""
    program = textwrap.dedent(
        f"""
        import os, pathlib
        from accord.testing import SoftwareTPM
        machine = SoftwareTPM(pathlib.Path({str(tmp_path)!r})).__enter__()
        print(machine._process.pid, flush=True)
        os.kill(os.getpid(), 9)
        """
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert ended.returncode == -9
    with SoftwareTPM(tmp_path) as machine:  # its lock and its state are free
        assert machine.tpm.properties(0x100, 1)
    assert not _runs(int(ended.stdout))


def test_use_out_of_order_is_a_bug(software_tpm: SoftwareTPM, tmp_path: Path) -> None:
    """Commands to a TPM that is off, and switching on twice."""
    off = SoftwareTPM(tmp_path / "off")
    for use in (lambda: off.transmit(b""), lambda: off.set_locality(0)):
        with pytest.raises(RuntimeError, match="switched off"):
            use()
    with pytest.raises(RuntimeError, match="switched on already"):
        software_tpm.__enter__()


def test_a_refused_control_command_is_an_error(software_tpm: SoftwareTPM) -> None:
    """There is no locality 9."""
    with pytest.raises(TPMCommandError, match="a control command"):
        software_tpm.set_locality(9)


def test_a_tpm_that_died_is_an_error(tmp_path: Path) -> None:
    """Both channels say so, and so does switching it off."""
    machine = SoftwareTPM(tmp_path).__enter__()
    assert machine._process is not None
    machine._process.kill()
    machine._process.wait()

    with pytest.raises(TPMCommandError):
        machine.tpm.properties(0x100, 1)
    with pytest.raises(TPMCommandError):
        machine.set_locality(0)
    with pytest.raises(TPMCommandError):
        machine.__exit__(None, None, None)
    assert not _children()


def _children() -> list[str]:
    """The software TPMs that this process has started, and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().split(" (", 1)[1].rsplit(") ", 1)
        except OSError:
            continue
        if name == "swtpm" and int(rest.split()[1]) == os.getpid():
            found.append(stat.parent.name)
    return found


def _runs(pid: int) -> bool:
    try:
        return "swtpm" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
