# SPDX-License-Identifier: Apache-2.0
"""What this machine has to attest, simulate and confine with, and what each of them lacks."""

from __future__ import annotations

import grp
import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from accord.attesters._configfs import CONFIGFS, PROVIDERS, ConfigfsTSM
from accord.attesters._detect import NVIDIA_DEVICE, below, is_azure
from accord.attesters._gramine import GRAMINE
from accord.attesters._nsm import NSM
from accord.attesters._tpm import TPMRM, TXT_LOG
from accord.encoding import JSONValue
from accord.errors import AccordError
from accord.policy import Family

_KERNEL_WITH_CONFIGFS = (6, 7)
_CPUINFO = Path("/proc/cpuinfo")
_NAMES = {
    Family.SGX: "Intel SGX (Gramine)",
    Family.TDX: "Intel TDX",
    Family.SNP: "AMD SEV-SNP",
    Family.TPM: "TPM 2.0",
    Family.TXT: "Intel TXT",
    Family.AZURE: "Azure confidential VM",
    Family.NITRO: "AWS Nitro enclave",
    Family.PSA: "Arm TrustZone (PSA)",
    Family.CCA: "Arm CCA",
    Family.KEYSTONE: "RISC-V Keystone",
    Family.NVIDIA: "NVIDIA GPU",
}
_OLD_DEVICES = {
    Family.TDX: Path("/dev/tdx_guest"),
    Family.SNP: Path("/dev/sev-guest"),
}
"""Guests' devices of kernels before configfs-tsm; they are still there today."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked for. ``missing`` says what it lacks, each in a sentence."""

    name: str
    what: str
    present: bool
    detail: str
    missing: tuple[str, ...] = ()

    def to_json(self) -> JSONValue:
        return {
            "name": self.name,
            "what": self.what,
            "present": self.present,
            "detail": self.detail,
            "missing": list(self.missing),
        }


@dataclass(frozen=True, slots=True)
class Machine:
    """Where to look: everything is replaceable, so that other machines can be imagined."""

    root: Path = Path("/")
    kernel: str = field(default_factory=platform.release)
    program: Callable[[str], str | None] = shutil.which
    package: Callable[[str], object | None] = importlib.util.find_spec
    accessible: Callable[[Path, int], bool] = os.access

    def path(self, path: Path) -> Path:
        return below(self.root, path)

    def has(self, path: Path) -> bool:
        return self.path(path).exists()

    def unusable(self, path: Path) -> tuple[str, ...]:
        """What keeps this process from a device that is there; nothing where it may use it."""
        real = self.path(path)
        if self.accessible(real, os.R_OK | os.W_OK):
            return ()
        try:
            group = grp.getgrgid(real.stat().st_gid).gr_name
        except (OSError, KeyError):
            group = "its group"
        return (f"no permission for {path}: be root, or join group {group}",)

    def kernel_at_least(self, version: tuple[int, int]) -> bool:
        numbers = re.match(r"(\d+)\.(\d+)", self.kernel)
        return numbers is not None and (int(numbers[1]), int(numbers[2])) >= version


def survey(machine: Machine | None = None) -> tuple[Finding, ...]:
    """Every TEE family, then every tool that accord can use."""
    found = machine or Machine()
    return (*_families(found), *_tools(found))


def _families(machine: Machine) -> Iterator[Finding]:
    provider, refusal = _provider(machine)
    yield _sgx(machine)
    for family in (Family.TDX, Family.SNP, Family.CCA):
        yield _guest(machine, family, provider, refusal)
    yield _device(machine, Family.TPM, TPMRM)
    yield _txt(machine)
    yield _azure(machine)
    yield _device(machine, Family.NITRO, NSM)
    yield _nvidia(machine)
    for family, where in ((Family.PSA, "a program of the secure world"),
                          (Family.KEYSTONE, "the enclave's own program")):  # fmt: skip
        yield Finding(
            family.value,
            _NAMES[family],
            present=False,
            detail=f"evidence comes from {where}; it is verified here, not collected",
        )


def _finding(
    family: Family, detail: str, missing: tuple[str, ...] = (), *, present: bool
) -> Finding:
    return Finding(family.value, _NAMES[family], present, detail, missing)


def _provider(machine: Machine) -> tuple[Family | None, str]:
    """Which guest configfs-tsm speaks for, or what it said instead."""
    if not machine.has(CONFIGFS):
        return None, ""
    try:
        return ConfigfsTSM(machine.path(CONFIGFS)).family, ""
    except AccordError as exc:
        return None, str(exc)


def _guest(machine: Machine, family: Family, provider: Family | None, refusal: str) -> Finding:
    if provider is family:
        return _finding(family, "configfs-tsm answers", present=True)
    driver = next(name for name, value in PROVIDERS.items() if value is family)
    old = _OLD_DEVICES.get(family)
    if old is not None and machine.has(old):
        missing = [] if provider is None else [f"configfs-tsm speaks for {provider}"]
        if refusal:
            missing.append(refusal)
        elif not machine.has(CONFIGFS):
            missing.append(_why_no_configfs(machine))
        return _finding(family, f"{old} is there", tuple(missing), present=True)
    if provider is not None:
        return _finding(family, f"this is a guest of {provider}", present=False)
    missing_: tuple[str, ...] = (refusal,) if refusal else ()
    return _finding(family, f"no guest driver {driver}", missing_, present=False)


def _why_no_configfs(machine: Machine) -> str:
    if not machine.kernel_at_least(_KERNEL_WITH_CONFIGFS):
        return f"configfs-tsm needs Linux 6.7, this is {machine.kernel}"
    return "configfs is not mounted: `mount -t configfs none /sys/kernel/config`"


def _sgx(machine: Machine) -> Finding:
    if machine.has(GRAMINE):
        return _finding(Family.SGX, "inside Gramine", present=True)
    host = [path for path in ("/dev/sgx_enclave", "/dev/isgx") if machine.has(Path(path))]
    if not host:
        return _finding(Family.SGX, "no /dev/attestation, no /dev/sgx_enclave", present=False)
    missing = ["not inside an enclave: run accord under Gramine"]
    missing += machine.unusable(Path(host[0]))
    if machine.program("gramine-sgx") is None:
        missing.append("gramine-sgx is not installed")
    return _finding(Family.SGX, f"{host[0]} is there", tuple(missing), present=True)


def _device(machine: Machine, family: Family, path: Path) -> Finding:
    if not machine.has(path):
        return _finding(family, f"no {path}", present=False)
    return _finding(family, f"{path} is there", machine.unusable(path), present=True)


def _txt(machine: Machine) -> Finding:
    try:
        flags = machine.path(_CPUINFO).read_text(encoding="utf-8", errors="replace")
    except OSError:
        flags = ""
    if re.search(r"^flags\s*:.*\bsmx\b", flags, re.MULTILINE) is None:
        return _finding(Family.TXT, "the CPU has no safer mode extensions (smx)", present=False)
    missing = list(machine.unusable(TPMRM)) if machine.has(TPMRM) else [f"no {TPMRM}"]
    if not machine.has(TXT_LOG):
        missing.append("no log of a late launch: boot through tboot or Secure Launch")
    return _finding(Family.TXT, "the CPU has smx", tuple(missing), present=True)


def _azure(machine: Machine) -> Finding:
    if not is_azure(machine.root):
        return _finding(Family.AZURE, "not a VM of Azure", present=False)
    missing = machine.unusable(TPMRM) if machine.has(TPMRM) else (f"no {TPMRM}",)
    return _finding(Family.AZURE, "a VM of Azure", missing, present=True)


def _nvidia(machine: Machine) -> Finding:
    if not machine.has(NVIDIA_DEVICE):
        return _finding(Family.NVIDIA, f"no {NVIDIA_DEVICE}", present=False)
    missing = list(machine.unusable(NVIDIA_DEVICE))
    if machine.package("pynvml") is None:
        missing.append("the package nvidia-ml-py is not installed")
    return _finding(Family.NVIDIA, f"{NVIDIA_DEVICE} is there", tuple(missing), present=True)


def _tools(machine: Machine) -> Iterator[Finding]:
    for name, what, lack in (
        ("swtpm", "simulated TPM and TXT", "install it with `apt install swtpm`"),
        ("swtpm_setup", "certificates of simulated TPMs", "install `swtpm-tools`"),
        ("bwrap", "sandbox of the shield", "install it with `apt install bubblewrap`"),
        ("gramine-sgx", "SGX enclaves", "see Gramine's installation guide"),
    ):
        path = machine.program(name)
        yield Finding(name, what, path is not None, path or "not found", () if path else (lack,))
    for package, what, extra in (
        ("dcap_qvl", "second opinion on SGX and TDX", "`pip install 'accord[dcap]'`"),
        ("pynvml", "evidence of NVIDIA GPUs", "`pip install nvidia-ml-py`"),
        ("numpy", "the demo", "`pip install 'accord[demo]'`"),
    ):
        there = machine.package(package) is not None
        detail = "installed" if there else "not installed"
        yield Finding(package, what, there, detail, () if there else (extra,))
    fuse = Path("/dev/fuse")
    there = machine.has(fuse)
    missing = machine.unusable(fuse) if there else ("load the kernel module `fuse`",)
    yield Finding(
        "fuse", "mounted views of volumes", there, str(fuse) if there else "absent", missing
    )
