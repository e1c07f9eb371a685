# SPDX-License-Identifier: Apache-2.0
"""Which collector this machine has: by its devices and files, then by what they say.

Nothing here ever simulates: a machine without a TEE has no collector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from accord.attesters._azure import AzureVTPM
from accord.attesters._collector import Collector
from accord.attesters._configfs import CCEL, CONFIGFS, ConfigfsTSM
from accord.attesters._gramine import GRAMINE, Gramine
from accord.attesters._metadata import metadata_service
from accord.attesters._nsm import NSM, NitroSecurityModule
from accord.attesters._nvml import NVML
from accord.attesters._tpm import LOGS, TPMRM, TXT_LOG, TPMCollector, opened
from accord.errors import InterfaceMissingError
from accord.policy import Family

AZURE_CHASSIS = "7783-7084-3265-9085-8269-3286-77"
"""The asset tag that every Azure VM has (SMBIOS type 3)."""

CHASSIS_TAG = Path("/sys/class/dmi/id/chassis_asset_tag")
NVIDIA_DEVICE = Path("/dev/nvidiactl")

_ELSEWHERE: Mapping[Family, str] = MappingProxyType(
    {
        Family.PSA: "its secure world hands tokens to programs of its own "
        "(psa_initial_attest_get_token); give the token to `accord attest verify`",
        Family.KEYSTONE: "reports are made inside the enclave (attest_enclave); "
        "give the report to `accord attest verify`",
    }
)
"""Families without an interface of the operating system."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a machine can have more than one of, or keep from a collector.

    ``network`` lets Azure's be asked for certificates and quotes. ``ak_handle`` is a
    persistent attestation key of the TPM, ``ak_certificate`` the NV index of its
    certificate. ``gpu`` is the index of a GPU.
    """

    network: bool = False
    ak_handle: int | None = None
    ak_certificate: int | None = None
    gpu: int = 0


_DEFAULT = Choices()


def below(root: Path, path: Path) -> Path:
    """``path`` as it is under another root of the file system."""
    return root / path.relative_to("/")


def is_azure(root: Path = Path("/")) -> bool:
    """Whether the firmware says that this is a VM of Azure's: a hint, and no more."""
    try:
        tag = below(root, CHASSIS_TAG).read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return tag.strip() == AZURE_CHASSIS


def open_collector(
    family: Family | None = None, *, root: Path = Path("/"), choices: Choices = _DEFAULT
) -> Collector:
    """The collector for ``family``, or for whichever TEE this machine has.

    Enclaves go before VMs, and a TEE before a TPM: the narrowest that there is.

    Raises ``InterfaceMissingError`` or ``InterfaceFailedError``.
    """
    if family is not None:
        return _open(family, root, choices)
    for path, candidate in _probes(root):
        if path.exists():
            return candidate(root, choices)
    raise InterfaceMissingError(what="TEE that can be asked for evidence", detail="no device")


_Open = Callable[..., Collector]


def _probes(root: Path) -> tuple[tuple[Path, _Open], ...]:
    """What to look for, in order, and what then to open."""
    azure = is_azure(root)
    # A VM of Azure's has configfs as well, but there its report is the paravisor's business.
    vtpm = [(below(root, TPMRM), partial(_open, Family.AZURE))] if azure else []
    return (
        (below(root, GRAMINE), partial(_open, Family.SGX)),
        (below(root, NSM), partial(_open, Family.NITRO)),
        *vtpm,
        (below(root, CONFIGFS), _open_configfs),
        (below(root, TPMRM), partial(_open, Family.TPM)),
    )


def _open_configfs(root: Path, _: Choices) -> Collector:
    return ConfigfsTSM(below(root, CONFIGFS), event_log=below(root, CCEL))


def _open(family: Family, root: Path, choices: Choices) -> Collector:
    if family in {Family.TDX, Family.SNP, Family.CCA}:
        found = _open_configfs(root, choices)
        if found.family is not family:
            raise InterfaceMissingError(
                what=f"{family} interface", detail=f"configfs-tsm speaks for {found.family}"
            )
        return found
    if family in _ELSEWHERE:
        raise InterfaceMissingError(what=f"{family} interface", detail=_ELSEWHERE[family])
    tpm = partial(opened, below(root, TPMRM))
    quoting = partial(TPMCollector, tpm, key=choices.ak_handle, certificate=choices.ak_certificate)
    logs = {name: below(root, path) for name, path in LOGS.items()}
    txt_logs = logs | {"txt_log": below(root, TXT_LOG)}
    openers: Mapping[Family, Callable[[], Collector]] = {
        Family.SGX: lambda: Gramine(below(root, GRAMINE)),
        Family.NITRO: lambda: NitroSecurityModule(below(root, NSM)),
        Family.AZURE: lambda: AzureVTPM(
            tpm, ask=metadata_service() if choices.network else None, logs=logs
        ),
        Family.TPM: lambda: quoting(logs=logs),
        Family.TXT: lambda: quoting(family=family, logs=txt_logs),
        Family.NVIDIA: lambda: NVML(choices.gpu),
    }
    return openers[family]()
