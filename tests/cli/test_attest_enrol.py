# SPDX-License-Identifier: Apache-2.0
"""`accord attest enrol`: credential activation between a machine and whoever trusts it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.cli.conftest import Command

from accord.testing import SimulatedTPM


@dataclass(frozen=True)
class Machine:
    """A machine with a TPM, and where its owner keeps files."""

    folder: Path
    tpm: SimulatedTPM

    @classmethod
    def create(cls, folder: Path) -> Machine:
        folder.mkdir()
        return cls(folder, SimulatedTPM.create(folder / "tpm"))

    @property
    def simulated(self) -> tuple[object, ...]:
        return ("--simulated", self.folder / "tpm")

    @property
    def root(self) -> Path:
        path = self.folder / "root.pem"
        path.write_bytes(self.tpm.certificates["root"].public_bytes(Encoding.PEM))
        return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.create(tmp_path / "machine")


def request(command: Command, machine: Machine) -> Path:
    file = machine.folder / "request.json"
    assert command("attest", "enrol", "request", *machine.simulated, "--out", file).exit_code == 0
    return file


def challenge(
    command: Command, machine: Machine, asked: Path, name: str = "1"
) -> tuple[Path, Path]:
    """The challenge, and the secret file that stays with whoever enrols."""
    file, state = machine.folder / f"challenge{name}.json", machine.folder / f"secret{name}.json"
    options = ("--anchor", machine.root, "--state", state, "--out", file)
    done = command("attest", "enrol", "challenge", asked, *options)
    assert done.exit_code == 0, done.stderr
    return file, state


def answered(command: Command, machine: Machine, asked: Path) -> Path:
    file = machine.folder / "answer.json"
    done = command("attest", "enrol", "answer", asked, *machine.simulated, "--out", file)
    assert done.exit_code == 0, done.stderr
    return file


def test_a_key_is_enrolled_and_its_evidence_verifies_under_it(
    command: Command, machine: Machine
) -> None:
    """Request, challenge, answer, finish: the digest to pin is the key's that signs quotes."""
    asked, state = challenge(command, machine, request(command, machine))
    answer = answered(command, machine, asked)
    finished = command("attest", "enrol", "finish", answer, "--state", state)
    told = command("attest", "enrol", "finish", answer, "--state", state, "--json")
    evidence = machine.folder / "evidence.json"
    quoted = machine.tpm.collect(bytes(64))
    evidence.write_bytes(replace(quoted, endorsements={}).to_bytes())

    assert finished.stdout == f"{machine.tpm.ak_digest}\n"
    assert told.document["ek_root"] == machine.tpm.root_digest
    assert told.document["anchor"] == machine.tpm.ak_digest
    assert state.stat().st_mode & 0o777 == 0o600
    anchor = ("--anchor", finished.stdout.strip())
    assert command("attest", "verify", evidence, *anchor).exit_code == 0


def test_documents_are_printed_where_no_file_is_named(command: Command, machine: Machine) -> None:
    """As data on standard output."""
    plain = command("attest", "enrol", "request", *machine.simulated)
    told = command("attest", "enrol", "request", *machine.simulated, "--json")
    assert json.loads(plain.stdout) == told.document
    assert told.document["schema"] == "accord.ak-request.v1"


def test_certificates_may_come_from_files(command: Command, machine: Machine) -> None:
    """Where the TPM holds none: the maker's own pages have them."""
    file = request(command, machine)
    bare = json.loads(file.read_text()) | {"certificates": ""}
    file.write_text(json.dumps(bare))
    own = machine.folder / "ek.der"
    own.write_bytes(machine.tpm.certificates["ek"].public_bytes(Encoding.DER))
    options = ("--anchor", machine.root, "--state", machine.folder / "s", "--json")
    ask = ("attest", "enrol", "challenge", file, *options)

    assert command(*ask, "--certificate", own).exit_code == 0
    assert command(*ask).document["code"] == "accord-ATT-001"


def test_a_tpm_of_an_unknown_maker_is_not_challenged(
    command: Command, machine: Machine, tmp_path: Path
) -> None:
    """A software TPM has certificates too: its maker is nobody's anchor."""
    other = Machine.create(tmp_path / "other")
    state = tmp_path / "state"
    options = ("--anchor", other.root, "--state", state, "--json")
    refused = command("attest", "enrol", "challenge", request(command, machine), *options)

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-ATT-002")
    assert not state.exists()


def test_the_answer_of_another_machine_is_refused(
    command: Command, machine: Machine, tmp_path: Path
) -> None:
    """A key of a software TPM beside the certificate of a genuine one: the genuine TPM decides."""
    other = Machine.create(tmp_path / "other")
    theirs = json.loads(request(command, other).read_text())
    file = request(command, machine)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ak_public": theirs["ak_public"]}))
    asked, _ = challenge(command, machine, file)

    for answering in (machine, other):
        refused = command(
            *("attest", "enrol", "answer", asked, *answering.simulated, "--json"),
        )
        assert (refused.exit_code, refused.document["code"]) == (1, "accord-ATT-030")


def test_the_answer_to_an_earlier_challenge_is_refused(command: Command, machine: Machine) -> None:
    """Each challenge has a secret of its own: a recorded answer is worth nothing."""
    file = request(command, machine)
    first, _ = challenge(command, machine, file, "1")
    _, state = challenge(command, machine, file, "2")
    answer = answered(command, machine, first)
    refused = command("attest", "enrol", "finish", answer, "--state", state, "--json")

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-ATT-031")


def test_an_empty_answer_to_a_changed_secret_is_refused(command: Command, machine: Machine) -> None:
    """A secret file without a secret is no enrolment."""
    _, state = challenge(command, machine, request(command, machine))
    document = json.loads(state.read_text()) | {"secret": ""}
    state.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    answer = machine.folder / "answer.json"
    answer.write_text('{"schema":"accord.ak-answer.v1","secret":""}')

    assert command("attest", "enrol", "finish", answer, "--state", state).exit_code != 0


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["request", "x"],
        ["request", "--state", "s"],
        ["request", "--anchor", "a"],
        ["challenge"],
        ["challenge", "x", "--anchor", "a"],
        ["challenge", "x", "--state", "s"],
        ["challenge", "x", "--state", "s", "--anchor", "a", "--simulated", "t"],
        ["answer"],
        ["finish", "x"],
        ["sign", "x"],
    ],
    ids=" ".join,
)
def test_a_step_without_what_it_needs_is_wrong_use(command: Command, options: list[str]) -> None:
    """Nothing is guessed."""
    assert command("attest", "enrol", *options).exit_code == 2


def test_files_of_other_steps_are_refused(command: Command, machine: Machine) -> None:
    """An error of ours, whatever the file holds."""
    asked = request(command, machine)
    state = machine.folder / "none"
    steps = (
        ("challenge", asked.with_name("root.pem"), "--anchor", machine.root, "--state", state),
        ("answer", asked, *machine.simulated),
        ("finish", asked, "--state", state),
    )
    for step in steps:
        refused = command("attest", "enrol", *step, "--json")
        assert refused.exit_code != 0
        assert refused.document["code"].startswith("accord-ENC-")


def test_a_machine_without_a_tpm_has_nothing_to_enrol(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No device, no simulation by itself."""
    from functools import partial

    from accord.attesters import opened
    from accord.cli import _attest_enrol

    monkeypatch.setattr(_attest_enrol, "opened", partial(opened, tmp_path / "tpmrm0"))
    refused = command("attest", "enrol", "request", "--json")
    assert refused.document["code"] == "accord-COL-001"
