# SPDX-License-Identifier: Apache-2.0
"""The launch digest of an SEV-SNP guest, by sev-snp-measure of the virtee project."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path

from accord.errors import ImageRefusedError, MeasuringExtraMissingError
from accord.policy import Family
from accord.refvalues._values import ReferenceValues

_WHAT = "OVMF image"
_FAILURES = (ValueError, RuntimeError, KeyError, IndexError, AssertionError, OverflowError)


class VMM(StrEnum):
    """Hosts whose virtual CPUs start in a known state."""

    QEMU = "qemu"
    EC2 = "ec2"
    GCE = "gce"


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What of a guest's configuration its launch digest covers.

    Kernel, initrd and command line only count where the host starts the kernel itself;
    ``guest_features`` is SEV_FEATURES of the VMSA (1: SNP alone).
    """

    vcpus: int
    vcpu_type: str
    vmm: VMM = VMM.QEMU
    guest_features: int = 1
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""


def measure_snp(ovmf: Path, options: LaunchOptions) -> ReferenceValues:
    """The launch digest of a guest with firmware ``ovmf``.

    Raises ``MeasuringExtraMissingError``, ``ImageRefusedError``.
    """
    try:
        guest, types, mode, vmms = (
            import_module(f"sevsnpmeasure.{name}")
            for name in ("guest", "vcpu_types", "sev_mode", "vmm_types")
        )
    except ImportError as exc:
        raise MeasuringExtraMissingError(what="SEV-SNP", package="sev-snp-measure") from exc
    signature = types.CPU_SIGS.get(options.vcpu_type)
    if signature is None:
        known = ", ".join(name for name in types.CPU_SIGS if "-v" not in name)
        detail = f"CPU type {options.vcpu_type} is unknown; there are {known}"
        raise ImageRefusedError(what=_WHAT, detail=detail)
    host = {VMM.QEMU: "QEMU", VMM.EC2: "ec2", VMM.GCE: "gce"}[options.vmm]
    try:
        digest = guest.calc_launch_digest(
            mode.SevMode.SEV_SNP,
            options.vcpus,
            signature,
            str(ovmf),
            str(options.kernel or ""),
            str(options.initrd or ""),
            options.append,
            options.guest_features,
            vmm_type=vmms.VMMType[host],
        )
    except OSError as exc:
        shown = exc.filename or ovmf
        raise ImageRefusedError(what=str(shown), detail=exc.strerror or "unreadable") from exc
    except _FAILURES as exc:
        # The library has no errors of its own, and says little of what it did not expect.
        detail = f"it is not an OVMF image for SEV-SNP ({type(exc).__name__}: {exc})"
        raise ImageRefusedError(what=_WHAT, detail=detail) from exc
    caveats = ["it changes with the number and the type of virtual CPUs, and with the host"]
    if options.kernel is None:
        caveats.append("it covers the firmware alone: it is up to the firmware what is started")
    return ReferenceValues(
        Family.SNP, measurements={"measurement": (digest,)}, caveats=tuple(caveats)
    )
