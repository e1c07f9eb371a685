# SPDX-License-Identifier: Apache-2.0
"""NVIDIA GPUs in confidential-computing mode."""

from accord.policy.families._family import FamilyFields

NVIDIA = FamilyFields(
    attributes={"driver_version": str, "vbios_version": str},
    required=(frozenset({"driver_version", "vbios_version"}),),
)
