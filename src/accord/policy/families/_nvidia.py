# SPDX-License-Identifier: Apache-2.0
"""NVIDIA GPUs in confidential-computing mode, and the switches between them."""

from accord.policy.families._family import FamilyFields

_SHA384_BYTES = 48
_BLOCKS = 64

NVIDIA = FamilyFields(
    instance_sizes=range(1, 21),  # a serial number (RFC 5280, 4.1.2.2), without leading zeros
    measurements=dict.fromkeys(
        ("fwid", *(f"block{index:02}" for index in range(1, _BLOCKS + 1))), (_SHA384_BYTES,)
    ),
    attributes={
        "architecture": str,
        "hwmodel": str,
        "driver_version": str,
        "driver_branch": int,
        "vbios_version": str,
        "mode": str,
        "protected_pcie": bool,
        "board_id": int,
        "chip_sku": str,
        "project": str,
        "project_sku": str,
        "measurement_count": int,
        "measurement_counts": str,
        "rim_compared": bool,
    },
    # Measurements mean something only if compared with NVIDIA's references.
    defaults={"rim_compared": (True,)},
    # A switch has no driver.
    required=(
        frozenset({"driver_version", "vbios_version"}),
        frozenset({"hwmodel", "vbios_version"}),
    ),
)
