# SPDX-License-Identifier: Apache-2.0
"""AWS Nitro enclaves."""

from accord.policy.families._family import FamilyFields

NITRO = FamilyFields(
    instance_sizes=(10, 19),  # an EC2 instance's id in ASCII: `i-` and 8 or 17 digits
    measurements=dict.fromkeys((f"pcr{index}" for index in range(32)), (32, 48, 64)),
    attributes={"module_id": str, "timestamp": int},
    required=(frozenset({"pcr0"}),),
)
