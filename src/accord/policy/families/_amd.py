# SPDX-License-Identifier: Apache-2.0
"""AMD SEV-SNP confidential VMs."""

from accord.policy.families._family import FamilyFields

_POLICY_FLAGS = (
    "smt",
    "migrate_ma",
    "debug",
    "single_socket",
    "cxl_allow",
    "mem_aes_256_xts",
    "rapl_dis",
    "ciphertext_hiding_dram",
    "page_swap_disable",
    "unknown_bits",
)
_PLATFORM_FLAGS = (
    "smt",
    "tsme",
    "ecc",
    "rapl_dis",
    "ciphertext_hiding_dram",
    "alias_check_complete",
    "tio",
    "unknown_bits",
)
_TCBS = ("reported", "committed", "launch", "current")
_TCB_COMPONENTS = ("fmc", "bootloader", "tee", "snp", "microcode")  # fmc: since Turin

SNP = FamilyFields(
    instance_sizes=(64,),  # CHIP_ID; Turin's 8 bytes are padded with zeros
    measurements={
        "measurement": (48,),
        "host_data": (32,),
        "id_key_digest": (48,),
        "author_key_digest": (48,),
        "family_id": (16,),
        "image_id": (16,),
        "report_id": (32,),
        "report_id_ma": (32,),
    },
    # The launch digest names the code. An ID key's owner vouches for it too, for whichever
    # versions of one image that owner signs.
    required=(
        frozenset({"measurement"}),
        frozenset({"id_key_digest", "image_id", "guest_svn"}),
    ),
    attributes={
        "version": int,
        "guest_svn": int,
        "vmpl": int,
        "product": str,
        "signing_key": str,
        "csp_id": str,
        "author_key": bool,
        "chip_key_masked": bool,
        "chip_id_masked": bool,
        "revocation_checked": bool,
        "policy.abi_major": int,
        "policy.abi_minor": int,
        **{f"policy.{name}": bool for name in _POLICY_FLAGS},
        **{f"platform_info.{name}": bool for name in _PLATFORM_FLAGS},
        **{f"tcb.{tcb}.{name}": int for tcb in _TCBS for name in _TCB_COMPONENTS},
        "firmware.current": int,
        "firmware.committed": int,
        "cpuid.family": int,
        "cpuid.model": int,
        "cpuid.stepping": int,
        "mitigations.launch": str,
        "mitigations.current": str,
    },
    defaults={
        "vmpl": (0,),
        "policy.migrate_ma": (False,),
        "policy.unknown_bits": (False,),
        "platform_info.unknown_bits": (False,),
    },
)
