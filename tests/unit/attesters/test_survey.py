# SPDX-License-Identifier: Apache-2.0
"""Which TEE a machine has, and what `accord doctor` says is missing: imagined machines."""

from __future__ import annotations

import grp
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.attesters.attributes import FakeConfigfs

from accord.attesters import (
    NVML,
    AzureVTPM,
    Choices,
    ConfigfsTSM,
    Finding,
    Gramine,
    Machine,
    NitroSecurityModule,
    TPMCollector,
    open_collector,
    survey,
)
from accord.attesters import _configfs as configfs
from accord.errors import InterfaceMissingError
from accord.policy import Family

AZURE = "7783-7084-3265-9085-8269-3286-77\n"


def imagined(
    root: Path,
    *files: str,
    kernel: str = "6.8.0",
    programs: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    accessible: Callable[[Path, int], bool] = lambda *_: True,
) -> Machine:
    """A machine that has these files, each with its own name as contents."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name + "\n")
    return Machine(
        root=root,
        kernel=kernel,
        program=lambda name: f"/usr/bin/{name}" if name in programs else None,
        package=lambda name: name if name in packages else None,
        accessible=accessible,
    )


def found(machine: Machine, name: str) -> Finding:
    (finding,) = [item for item in survey(machine) if item.name == name]
    return finding


def test_a_bare_machine_has_nothing_and_every_family_is_listed(tmp_path: Path) -> None:
    """All eleven families, each absent, and the tools."""
    findings = {item.name: item for item in survey(imagined(tmp_path))}

    assert {family.value for family in Family} <= set(findings)
    assert [name for name, item in findings.items() if item.present] == []
    assert {"swtpm", "bwrap", "dcap_qvl", "fuse"} <= set(findings)
    assert all(findings[name].missing for name in ("swtpm", "bwrap", "dcap_qvl", "fuse"))


def test_this_machine_can_be_looked_at() -> None:
    """The real one, whatever it is; JSON has what the table has."""
    findings = survey()

    assert [item.to_json()["name"] for item in findings] == [item.name for item in findings]


def test_tools_that_are_there_lack_nothing(tmp_path: Path) -> None:
    """Programs by their path, packages by their name."""
    machine = imagined(tmp_path, "dev/fuse", programs=("swtpm",), packages=("dcap_qvl",))

    assert found(machine, "swtpm").detail == "/usr/bin/swtpm"
    assert [found(machine, name).missing for name in ("swtpm", "dcap_qvl", "fuse")] == [()] * 3


@pytest.mark.parametrize(
    ("file", "name"), [("dev/tpmrm0", "tpm"), ("dev/nsm", "nitro"), ("dev/nvidiactl", "nvidia")]
)
def test_a_device_that_may_not_be_used_names_its_group(
    tmp_path: Path, file: str, name: str
) -> None:
    """Present, but this user must join a group."""
    finding = found(imagined(tmp_path, file, accessible=lambda *_: False), name)

    assert finding.present
    assert "join group" in finding.missing[0]


def test_an_old_kernel_has_a_guest_device_and_no_configfs(tmp_path: Path) -> None:
    """The version that is needed is named; a newer one only lacks the mount."""
    old = found(imagined(tmp_path, "dev/tdx_guest", kernel="6.2.0"), "tdx")
    new = found(imagined(tmp_path, "dev/tdx_guest", kernel="6.8.0"), "tdx")
    odd = found(imagined(tmp_path, "dev/tdx_guest", kernel="?"), "tdx")

    assert "needs Linux 6.7" in old.missing[0]
    assert "not mounted" in new.missing[0]
    assert "needs Linux 6.7" in odd.missing[0]


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeConfigfs:
    """A machine below ``tmp_path`` whose configfs-tsm speaks for TDX."""
    fake = FakeConfigfs(tmp_path / "sys/kernel/config/tsm/report")
    monkeypatch.setattr(configfs.ConfigfsTSM.__init__, "__kwdefaults__", {
        "privlevel": None, "event_log": tmp_path / "none", "make": fake.make, "remove": fake.remove,
    })  # fmt: skip
    return fake


def test_a_guest_answers_for_its_own_family_alone(tmp_path: Path, guest: FakeConfigfs) -> None:
    """TDX is present, SNP is not, also where its device is there."""
    machine = imagined(tmp_path, "dev/sev-guest")

    assert found(machine, "tdx").detail == "configfs-tsm answers"
    assert "configfs-tsm speaks for tdx" in found(machine, "snp").missing
    assert found(machine, "cca").detail == "this is a guest of tdx"
    assert list(guest.root.iterdir()) == []


def test_a_configfs_that_fails_is_reported(tmp_path: Path) -> None:
    """A folder that is no configfs."""
    machine = imagined(tmp_path, "sys/kernel/config/tsm/report/file", "dev/tdx_guest")

    assert "configfs-tsm" in found(machine, "tdx").missing[0]
    assert "configfs-tsm" in found(machine, "snp").missing[0]


def test_sgx_needs_an_enclave(tmp_path: Path) -> None:
    """A host with SGX is not an enclave; inside Gramine nothing is missing."""
    outside = found(imagined(tmp_path / "a", "dev/sgx_enclave"), "sgx")
    inside = found(imagined(tmp_path / "b", "dev/attestation/quote"), "sgx")

    assert ("not inside an enclave: run accord under Gramine", outside.present) == (
        outside.missing[0],
        True,
    )
    assert (inside.present, inside.missing) == (True, ())


def test_txt_needs_the_cpu_the_tpm_and_a_launch(tmp_path: Path) -> None:
    """Each is named; with all of them nothing is missing."""
    machine = imagined(tmp_path, "dev/null")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags\t\t: fpu smx\n")
    assert [item[:2] for item in found(machine, "txt").missing] == ["no", "no"]
    imagined(tmp_path, "dev/tpmrm0", "sys/kernel/security/slaunch/eventlog")
    assert found(machine, "txt").missing == ()


def test_azure_is_known_by_its_firmware(tmp_path: Path) -> None:
    """The asset tag says so; the vTPM is what it needs."""
    machine = imagined(tmp_path, "sys/class/dmi/id/chassis_asset_tag")
    assert not found(machine, "azure").present
    (tmp_path / "sys/class/dmi/id/chassis_asset_tag").write_text(AZURE)
    assert found(machine, "azure").missing == ("no /dev/tpmrm0",)
    imagined(tmp_path, "dev/tpmrm0")
    assert found(machine, "azure").missing == ()


def test_a_gpu_needs_the_library(tmp_path: Path) -> None:
    """The package is named."""
    assert "nvidia-ml-py" in found(imagined(tmp_path, "dev/nvidiactl"), "nvidia").missing[0]


def test_an_enclave_goes_before_a_vm_before_a_tpm(tmp_path: Path, guest: FakeConfigfs) -> None:
    """The narrowest TEE that the machine has."""
    assert isinstance(open_collector(root=tmp_path), ConfigfsTSM)
    imagined(tmp_path, "dev/nsm", "dev/tpmrm0")
    assert isinstance(open_collector(root=tmp_path), NitroSecurityModule)
    imagined(tmp_path, "dev/attestation/attestation_type")
    (tmp_path / "dev/attestation/attestation_type").write_text("dcap\n")
    assert isinstance(open_collector(root=tmp_path), Gramine)
    assert guest.removed


def test_a_vm_of_azure_is_asked_through_its_vtpm(tmp_path: Path) -> None:
    """Elsewhere the same device is a TPM."""
    imagined(tmp_path, "dev/tpmrm0", "sys/class/dmi/id/chassis_asset_tag")
    assert isinstance(open_collector(root=tmp_path), TPMCollector)
    (tmp_path / "sys/class/dmi/id/chassis_asset_tag").write_text(AZURE)
    assert isinstance(open_collector(root=tmp_path), AzureVTPM)
    assert isinstance(
        open_collector(Family.AZURE, root=tmp_path, choices=Choices(network=True)), AzureVTPM
    )


def test_a_machine_without_a_tee_is_not_simulated(tmp_path: Path) -> None:
    """There is no collector, and no family makes one up."""
    with pytest.raises(InterfaceMissingError, match="no device"):
        open_collector(root=tmp_path)
    for family in (Family.PSA, Family.KEYSTONE, Family.TDX, Family.SGX):
        with pytest.raises(InterfaceMissingError):
            open_collector(family, root=tmp_path)


def test_the_wrong_family_is_refused(tmp_path: Path, guest: FakeConfigfs) -> None:
    """A TDX guest has no SNP report; the other collectors open when they are asked."""
    with pytest.raises(InterfaceMissingError, match="speaks for tdx"):
        open_collector(Family.SNP, root=tmp_path)
    assert open_collector(Family.TXT, root=tmp_path).family is Family.TXT
    assert open_collector(Family.NITRO, root=tmp_path).family is Family.NITRO
    assert guest.removed


def test_a_gpu_is_opened_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never by itself: a GPU is a part of a machine."""
    monkeypatch.setitem(sys.modules, "pynvml", object())
    assert isinstance(open_collector(Family.NVIDIA), NVML)


def test_permissions_are_those_of_the_process(tmp_path: Path) -> None:
    """The real check: a file that is ours."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nsm").touch()
    assert os.access(tmp_path / "dev/nsm", os.R_OK)
    assert found(Machine(root=tmp_path), "nitro").missing == ()


def test_a_group_without_a_name_is_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device of a group that this machine does not know."""
    machine = imagined(tmp_path, "dev/nsm", accessible=lambda *_: False)

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(grp, "getgrgid", unknown)

    assert "join group its group" in found(machine, "nitro").missing[0]
