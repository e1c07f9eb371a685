# SPDX-License-Identifier: Apache-2.0
"""Intel SGX enclaves and TDX confidential VMs."""

from accord.policy.families._family import FamilyFields

SGX = FamilyFields(
    measurements={"mrenclave": (32,), "mrsigner": (32,)},
    required=(frozenset({"mrenclave"}), frozenset({"mrsigner", "isv_prod_id", "isv_svn"})),
    attributes={"isv_prod_id": int, "isv_svn": int},
    has_tcb_status=True,
)

TDX = FamilyFields(
    measurements=dict.fromkeys(
        (
            "mrtd",
            "rtmr0",
            "rtmr1",
            "rtmr2",
            "rtmr3",
            "mrseam",
            "mrconfigid",
            "mrowner",
            "mrownerconfig",
        ),
        (48,),
    ),
    required=(frozenset({"mrtd"}),),
    has_tcb_status=True,
)
