# SPDX-License-Identifier: Apache-2.0
"""Arm TrustZone (PSA) and the Confidential Compute Architecture."""

from accord.policy.families._family import FamilyFields

_HASH_BYTES = (32, 48, 64)
_UEID_BYTES = (33,)

PSA = FamilyFields(
    instance_sizes=_UEID_BYTES,
    measurements={
        "implementation_id": (32,),
        "instance_id": (33,),
        "boot_seed": tuple(range(8, 33)),
    },
    attributes={
        "profile": str,
        "lifecycle": str,
        "lifecycle_value": int,
        "client_id": int,
        "secure_caller": bool,
        "certification_reference": str,
        "algorithm_protected": bool,
    },
    defaults={
        "profile": (
            "tag:psacertified.org,2023:psa#tfm",
            "http://arm.com/psa/2.0.0",
            "PSA_IOT_PROFILE_1",
        ),
        "lifecycle": ("secured",),
        # What the non-secure side asked for proves nothing of who asked there.
        "secure_caller": (True,),
        "algorithm_protected": (True,),
    },
    required=(frozenset({"components"}),),
)

CCA = FamilyFields(
    instance_sizes=_UEID_BYTES,
    measurements={
        "rim": _HASH_BYTES,
        **dict.fromkeys((f"rem{index}" for index in range(4)), _HASH_BYTES),
        "rpv": (64,),
        "implementation_id": (32,),
        "instance_id": (33,),
        "config": tuple(range(1, 65)),
    },
    attributes={
        "platform_profile": str,
        "realm_profile": str,
        "lifecycle": str,
        "lifecycle_value": int,
        "hash_algorithm": str,
        "platform_hash_algorithm": str,
        "mec_policy": str,
        "lfa_policy": str,
        "devices_assigned": bool,
    },
    defaults={
        "lifecycle": ("secured",),
        # Firmware that is exchanged below a running realm was never attested.
        "lfa_policy": ("disallow", ""),
        # Devices of the host that the realm lets into its memory.
        "devices_assigned": (False,),
    },
    required=(frozenset({"rim"}),),
)
