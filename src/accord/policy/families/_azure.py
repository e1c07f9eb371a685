# SPDX-License-Identifier: Apache-2.0
"""Azure confidential VMs: a hardware report, and the vTPM that it vouches for."""

from accord.policy.families._amd import SNP
from accord.policy.families._family import FamilyFields
from accord.policy.families._intel import TDX
from accord.policy.families._tpm import TPM

_HARDWARE = {"snp": SNP, "tdx": TDX}

# The hardware measures the paravisor alone; what was booted is in the vTPM's registers.
_PARAVISOR = tuple(
    frozenset(f"{name}.{field}" for field in fields)
    for name, family in _HARDWARE.items()
    for fields in family.required
)
_BOOTED = tuple(
    frozenset(f"tpm.{field}" if field in TPM.attributes else field for field in fields)
    for fields in TPM.required
)

AZURE = FamilyFields(
    instance_sizes=(*SNP.instance_sizes, *TDX.instance_sizes),
    measurements={
        **{
            f"{name}.{field}": sizes
            for name, family in _HARDWARE.items()
            for field, sizes in family.measurements.items()
        },
        **TPM.measurements,
    },
    attributes={
        "hardware": str,
        "unsafe_settings": str,
        "secure_boot": bool,
        "console_enabled": bool,
        "interactive_console_enabled": bool,
        "ipmi_enabled": bool,
        "tpm_enabled": bool,
        "tpm_persisted": bool,
        "filtered_vpci_devices_allowed": bool,
        "vm_unique_id": str,
        "root_cert_thumbprint": str,
        "tpm_version": str,
        "hardware_sealing_policy": str,
        "key_release_context_hash": str,
        "current_time": int,
        **{
            f"{name}.{field}": kind
            for name, family in _HARDWARE.items()
            for field, kind in family.attributes.items()
        },
        "tdx.tcb_status": str,
        "tdx.tcb_evaluation_number": int,
        "tdx.advisories": str,
        **{f"tpm.{name}": kind for name, kind in TPM.attributes.items() if name != "ak_issuer"},
    },
    defaults={
        "unsafe_settings": ("",),
        "secure_boot": (True,),
        "tpm_enabled": (True,),
        **{f"tpm.{name}": safe for name, safe in TPM.defaults.items()},
    },
    required=tuple(paravisor | booted for paravisor in _PARAVISOR for booted in _BOOTED),
)
