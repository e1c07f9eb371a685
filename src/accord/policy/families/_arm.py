# SPDX-License-Identifier: Apache-2.0
"""Arm TrustZone (PSA) and the Confidential Compute Architecture."""

from accord.policy.families._family import FamilyFields

PSA = FamilyFields(
    measurements={"implementation_id": (32,), "instance_id": (33,)},
    required=(frozenset({"components"}),),
)

CCA = FamilyFields(
    measurements={"rim": (32, 48, 64)},
    required=(frozenset({"rim"}),),
)
