# SPDX-License-Identifier: Apache-2.0
"""AMD SEV-SNP confidential VMs."""

from accord.policy.families._family import FamilyFields

SNP = FamilyFields(
    measurements={"measurement": (48,), "host_data": (32,)},
    required=(frozenset({"measurement"}),),
)
