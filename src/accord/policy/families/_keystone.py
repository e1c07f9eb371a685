# SPDX-License-Identifier: Apache-2.0
"""RISC-V Keystone enclaves."""

from accord.policy.families._family import FamilyFields

KEYSTONE = FamilyFields(
    instance_sizes=(32,),
    measurements={"enclave": (64,), "security_monitor": (64,)},
    required=(frozenset({"enclave", "security_monitor"}),),
)
