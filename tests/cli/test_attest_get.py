# SPDX-License-Identifier: Apache-2.0
"""`accord attest get`: parts of a machine, GPUs, attestation keys of TPMs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.cli.conftest import Command

from accord.attesters import Choices, TPMCollector
from accord.cli import _attest_get
from accord.evidence import Evidence
from accord.policy import Family
from accord.testing import SimulatedTPM, create_simulated, switched_on

HEX = "5a" * 64


class Recorded:
    """A collector that notes what it was opened with."""

    def __init__(self, family: Family, choices: Choices) -> None:
        self.family, self.choices = family, choices

    def collect(self, report_data: bytes) -> Evidence:
        return Evidence(self.family, report_data)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Every collector that the command opened on a machine that has them all."""
    found: list[Recorded] = []

    def open_recorded(family: Family | None = None, *, choices: Choices) -> Recorded:
        found.append(Recorded(family or Family.TDX, choices))
        return found[-1]

    monkeypatch.setattr(_attest_get, "open_collector", open_recorded)
    return found


def test_a_simulated_machine_with_parts_verifies(command: Command, tmp_path: Path) -> None:
    """A TD, its vTPM and two GPUs, asked together; every test root is printed."""
    file = tmp_path / "evidence.json"
    parts = [f"--part={part}" for part in ("vtpm=tpm", "gpu0=nvidia", "gpu1=nvidia")]
    collected = command(
        *("attest", "get", "--family", "tdx", "--simulated", tmp_path / "machine", *parts),
        *("--report-data", HEX, "--out", file, "--json"),
    )
    anchors = [f"--anchor={anchor}" for anchor in collected.document["anchors"]]
    verify = ("attest", "verify", file, "--report-data", HEX, "--cache", tmp_path / "none")
    verified = command(*verify, *anchors)

    assert collected.exit_code == 0
    assert list(collected.document["evidence"]["parts"]) == ["vtpm", "gpu0", "gpu1"]
    assert len(anchors) == 6
    assert verified.exit_code == 0, verified.stderr
    assert command(*verify, anchors[0]).exit_code == 3


def test_a_part_of_another_moment_is_refused(command: Command, tmp_path: Path) -> None:
    """A GPU's evidence for another nonce, put below this machine's."""
    machine = tmp_path / "machine"
    get = ("attest", "get", "--family", "tdx", "--simulated", machine, "--part", "gpu0=nvidia")
    found = [
        command(*get, "--report-data", HEX, "--json").document,
        command(*get, "--report-data", "ab" * 64, "--json").document,
    ]
    mixed = Evidence.from_bytes(command(*get, "--report-data", HEX).stdout.strip().encode())
    gpu = create_simulated(Family.NVIDIA, machine / "parts/gpu0").collect(b"\xab" * 64)
    file = tmp_path / "mixed.json"
    file.write_bytes(
        Evidence(mixed.family, mixed.blob, mixed.endorsements, mixed.aux, {"gpu0": gpu}).to_bytes()
    )
    anchors = [f"--anchor={anchor}" for anchor in found[0]["anchors"]]
    refused = command("attest", "verify", file, "--report-data", HEX, *anchors, "--json")

    assert found[0]["anchors"] == found[1]["anchors"]
    assert refused.exit_code == 3
    assert "gpu0" in refused.document["message"]


def test_gpus_are_counted(command: Command, opened: list[Recorded]) -> None:
    """The second part that is a GPU asks the second GPU: never one of them twice."""
    parts = ("--part", "gpu0=nvidia", "--part", "vtpm=tpm", "--part", "gpu1=nvidia")
    collected = command("attest", "get", "--report-data", HEX, *parts, "--json")

    assert collected.exit_code == 0
    assert [(item.family.value, item.choices.gpu) for item in opened] == [
        ("tdx", 0),
        ("nvidia", 0),
        ("tpm", 0),
        ("nvidia", 1),
    ]
    assert collected.document["evidence"]["parts"].keys() == {"gpu0", "vtpm", "gpu1"}


def test_a_gpu_can_be_chosen(command: Command, opened: list[Recorded]) -> None:
    """By its index; further GPUs are parts."""
    command("attest", "get", "--family", "nvidia", "--gpu", "3", "--nonce", "aa")
    command("attest", "get", "--family", "nvidia", "--part", "next=nvidia", "--nonce", "aa")
    assert [item.choices.gpu for item in opened] == [3, 0, 1]


def test_a_key_and_its_certificate_can_be_chosen(command: Command, opened: list[Recorded]) -> None:
    """A persistent handle, and an NV index."""
    options = ("--ak-handle", "0x81010002", "--ak-certificate", "0x01C10000", "--network")
    assert command("attest", "get", "--family", "tpm", *options, "--nonce", "aa").exit_code == 0
    (chosen,) = opened
    assert chosen.choices == Choices(network=True, ak_handle=0x81010002, ak_certificate=0x01C10000)


def test_a_certificate_in_a_file_goes_with_the_evidence(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain of the key, in one file: then the maker's root is what to trust."""
    machine = SimulatedTPM.create(tmp_path / "tpm")
    chain = tmp_path / "ak.pem"
    chain.write_bytes(
        b"".join(machine.certificates[name].public_bytes(Encoding.PEM) for name in ("ak", "root"))
    )

    @contextmanager
    def connect() -> Iterator[Any]:
        with switched_on(machine) as transmit:
            yield transmit

    monkeypatch.setattr(
        _attest_get,
        "open_collector",
        lambda *_, choices: TPMCollector(connect, key=choices.ak_handle, logs={}),
    )
    file = tmp_path / "evidence.json"
    options = ("--ak-certificate", chain, "--report-data", HEX, "--out", file)
    collected = command("attest", "get", "--family", "tpm", *options)
    verify = ("attest", "verify", file, "--report-data", HEX, "--anchor")
    assert collected.exit_code == 0, collected.stderr
    assert command(*verify, machine.root_digest).exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--part", "gpu0"],
        ["--part", "gpu0=none"],
        ["--part", "=nvidia"],
        ["--part", "../x=nvidia"],
        ["--part", "a=tpm", "--part", "a=nvidia"],
        ["--part", "a=tpm", "--raw"],
        ["--gpu", "1"],
        ["--gpu", "-1", "--family", "nvidia"],
        ["--ak-handle", "0x81010001", "--family", "tdx"],
        ["--ak-certificate", "ak.pem", "--family", "tdx"],
        ["--ak-handle", "81010001", "--family", "tpm"],
        ["--ak-handle", "0xzz", "--family", "tpm"],
        ["--ak-handle", "0x100000000", "--family", "tpm"],
        ["--ak-certificate", "0xzz", "--family", "tpm"],
        ["--simulated", "x"],
        ["--simulated", "x", "--family", "tpm", "--ak-handle", "0x81010001"],
        ["--simulated", "x", "--family", "nvidia", "--gpu", "0"],
        ["--simulated", "x", "--family", "azure", "--network"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_wrong_use(
    command: Command, opened: list[Recorded], options: list[str]
) -> None:
    """Before any hardware is asked."""
    assert command("attest", "get", "--nonce", "aa", *options).exit_code == 2
    assert opened == []


def test_a_part_that_is_not_there_is_not_left_out(command: Command) -> None:
    """Without the hardware there is no evidence, with or without parts."""
    refused = command("attest", "get", "--nonce", "aa", "--part", "x=psa", "--json")
    assert refused.document["code"] == "accord-COL-001"


def test_a_link_is_replaced_and_not_followed(command: Command, tmp_path: Path) -> None:
    """Somebody else's link in a shared folder names no file of ours to overwrite."""
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "victim")
    options = ("--family", "psa", "--simulated", tmp_path / "psa", "--nonce", "aa")
    command("attest", "get", *options, "--out", tmp_path / "out")

    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "out").is_symlink()
