# SPDX-License-Identifier: Apache-2.0
"""Intel SGX enclaves and TDX confidential VMs."""

from accord.policy.families._family import FamilyFields

_PPID_BYTES = (16,)
_PLATFORM: dict[str, type[int | str | bool]] = {
    "fmspc": str,
    "sgx_type": str,
    "dynamic_platform": bool,
    "cached_keys": bool,
    "smt_enabled": bool,
}

SGX = FamilyFields(
    instance_sizes=_PPID_BYTES,
    measurements={
        "mrenclave": (32,),
        "mrsigner": (32,),
        "config_id": (64,),
        "attributes": (16,),
        "misc_select": (4,),
        "isv_ext_prod_id": (16,),
        "isv_family_id": (16,),
    },
    required=(frozenset({"mrenclave"}), frozenset({"mrsigner", "isv_prod_id", "isv_svn"})),
    attributes={
        "isv_prod_id": int,
        "isv_svn": int,
        "config_svn": int,
        "mode64bit": bool,
        "provision_key": bool,
        "einittoken_key": bool,
        "cet": bool,
        "kss": bool,
        "aexnotify": bool,
        **_PLATFORM,
    },
    # Keys that only Intel's own enclaves need.
    defaults={"provision_key": (False,), "einittoken_key": (False,)},
    has_tcb_status=True,
)

TDX = FamilyFields(
    instance_sizes=_PPID_BYTES,
    measurements={
        **dict.fromkeys(
            (
                "mrtd",
                "rtmr0",
                "rtmr1",
                "rtmr2",
                "rtmr3",
                "mrseam",
                "mrsignerseam",
                "mrconfigid",
                "mrowner",
                "mrownerconfig",
                "mrservicetd",
            ),
            (48,),
        ),
        "td_attributes": (8,),
        "xfam": (8,),
        "tee_tcb_svn": (16,),
        "tee_tcb_svn_2": (16,),
    },
    required=(frozenset({"mrtd"}),),
    attributes={
        **dict.fromkeys(
            ("lass", "sept_ve_disable", "migratable", "pks", "kl", "perfmon", "service_td"), bool
        ),
        "rtmr3_unlogged": bool,
        "quote_version": int,
        "td_report": str,
        "tdx_module_svn": int,
        "tdx_module_version": int,
        "seam_patch_svn": int,
        "running_tdx_module_svn": int,
        "running_tdx_module_version": int,
        "running_seam_patch_svn": int,
        **_PLATFORM,
    },
    # The host cannot inject #VE, move the TD elsewhere, or watch its performance counters; and
    # nothing was measured at run time that the log keeps from the rules for components.
    defaults={
        "sept_ve_disable": (True,),
        "migratable": (False,),
        "kl": (False,),
        "perfmon": (False,),
        "service_td": (False,),
        "rtmr3_unlogged": (False,),
    },
    has_tcb_status=True,
)
