# SPDX-License-Identifier: Apache-2.0
"""Azure confidential VMs: a hardware report, and the vTPM that it vouches for."""

from accord.policy.families._family import FamilyFields

AZURE = FamilyFields(
    measurements={"measurement": (48,)},
    required=(frozenset({"measurement"}),),
)
