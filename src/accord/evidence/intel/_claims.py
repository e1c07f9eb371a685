# SPDX-License-Identifier: Apache-2.0
"""What SGX and TDX claims have in common (docs/spec/evidence/intel.md, 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from accord.errors import TCBRefusedError
from accord.evidence._claims import TCB, Claims, Component, Endorser
from accord.evidence._roots import root_kind
from accord.evidence.intel._pck import PCKExtension
from accord.policy import Family, Scalar


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the vendor vouches for, once verified: the platform, its state, and until when."""

    chain: tuple[Endorser, ...]
    platform: PCKExtension
    tcb: TCB
    expires: datetime


def make_claims(
    family: Family,
    verdict: Verdict,
    *,
    measurements: Mapping[str, bytes | None],
    attributes: Mapping[str, Scalar | None],
    components: tuple[Component, ...] = (),
) -> Claims:
    """Claims without what is None. Debug was refused before.

    Raises ``TCBRefusedError`` for a revoked platform: no policy may tolerate it.
    """
    if verdict.tcb.status == "Revoked":
        raise TCBRefusedError(part="platform", status=verdict.tcb.status)
    platform = verdict.platform
    known: Mapping[str, Scalar | None] = {
        **attributes,
        "fmspc": platform.fmspc.hex(),
        "sgx_type": platform.sgx_type,
        "dynamic_platform": platform.dynamic_platform,
        "cached_keys": platform.cached_keys,
        "smt_enabled": platform.smt_enabled,
    }
    root = verdict.chain[-1].digest
    return Claims(
        family=family,
        root=root,
        root_kind=root_kind(root),
        measurements=MappingProxyType({k: v for k, v in measurements.items() if v is not None}),
        debug=False,
        tcb=verdict.tcb,
        instance_id=platform.ppid,
        collateral_expires=verdict.expires,
        attributes=MappingProxyType({k: v for k, v in known.items() if v is not None}),
        components=components,
        chain=verdict.chain,
    )
