# SPDX-License-Identifier: Apache-2.0
"""What each aspect of an environment is worth (docs/spec/attestation-result.md, 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from accord.evidence._claims import Claims
from accord.evidence._ear import VECTOR
from accord.evidence._reasons import Reason, ReasonCode
from accord.evidence._roots import RootKind
from accord.policy import AttestationVariant, Family

# Values of draft-ietf-rats-ar4si, section 2.3: 0 says nothing, 2 to 31 affirm, 32 to 95 warn,
# 96 to 127 contraindicate.
_NO_CLAIM, _AFFIRMING, _BOOT_APPROVED, _WARNING = 0, 2, 3, 32
_UNRECOGNISED_CODE, _CONTRAINDICATED, _UNRECOGNISED = 33, 96, 97

NOTHING: Mapping[str, int] = MappingProxyType(dict.fromkeys(VECTOR, _NO_CLAIM))
"""Nothing is said of any aspect: of a part that no policy asked for."""

_ENCRYPTED = {Family.SGX, Family.TDX, Family.SNP, Family.AZURE, Family.CCA, Family.NVIDIA}
"""Families that keep memory from whoever taps the bus; the others isolate it only."""

_RUNTIME = {Family.TDX: "rtmr3", Family.CCA: "rem0"}
"""Registers that go on measuring after boot."""

_BOOTED = frozenset({"rtmr1", "rtmr2", "rtmr3"})
"""Registers of a TD that hold boot loader, kernel and what runs later; MRTD and RTMR0 do not."""

_CONSEQUENCES: Mapping[ReasonCode, tuple[str, int]] = MappingProxyType(
    {
        ReasonCode.FAMILY: ("hardware", _UNRECOGNISED),
        ReasonCode.ROOT_KIND: ("hardware", _UNRECOGNISED),
        ReasonCode.DEBUG: ("runtime-opaque", _CONTRAINDICATED),
        ReasonCode.MEASUREMENT_UNKNOWN: ("executables", _UNRECOGNISED_CODE),
        ReasonCode.ATTRIBUTE_UNEXPECTED: ("configuration", _CONTRAINDICATED),
        ReasonCode.BELOW_MINIMUM: ("configuration", _WARNING),
        ReasonCode.TCB_STATUS: ("hardware", _WARNING),
        ReasonCode.TCB_GRACE_OVER: ("hardware", _WARNING),
        ReasonCode.TCB_EVALUATION: ("hardware", _WARNING),
        ReasonCode.ADVISORY_REJECTED: ("hardware", _WARNING),
        ReasonCode.INSTANCE_UNKNOWN: ("instance-identity", _UNRECOGNISED),
        ReasonCode.INSTANCE_DENIED: ("instance-identity", _CONTRAINDICATED),
        ReasonCode.COMPONENT_MISSING: ("executables", _UNRECOGNISED_CODE),
        ReasonCode.COMPONENT_UNKNOWN: ("executables", _UNRECOGNISED_CODE),
        ReasonCode.PART_MISSING: ("configuration", _CONTRAINDICATED),
        ReasonCode.COLLATERAL_EXPIRED: ("hardware", _UNRECOGNISED),
    }
)


def trust_vector(
    claims: Claims, variant: AttestationVariant, reasons: Sequence[Reason]
) -> Mapping[str, int]:
    """What is known of the environment, made worse by every reason to refuse it.

    A simulation says nothing about hardware, and warns of itself.
    """
    real = claims.root_kind is RootKind.PRODUCTION
    outdated = claims.tcb is not None and claims.tcb_status != "UpToDate"
    hardware = _WARNING if outdated or not real else _AFFIRMING
    if claims.tcb_status == "Revoked":
        hardware = _CONTRAINDICATED
    # Components of firmware and boot loaders end with the boot; only IMA goes on.
    listed = bool(variant.components) and claims.attributes.get("ima_log") is True
    runtime = listed or _RUNTIME.get(variant.family) in variant.measurements
    executables = _AFFIRMING if runtime else _BOOT_APPROVED
    if real and variant.family is Family.TDX and not variant.components:
        # On hardware MRTD is the firmware: nothing is said of what it boots.
        executables = executables if _BOOTED & variant.measurements.keys() else _NO_CLAIM
    opaque = _AFFIRMING if claims.family in _ENCRYPTED else _WARNING
    vector = {
        "instance-identity": _AFFIRMING if real else _NO_CLAIM,
        "configuration": _AFFIRMING,
        "executables": executables,
        "file-system": _NO_CLAIM,
        "hardware": hardware,
        "runtime-opaque": opaque if real else _NO_CLAIM,
        "storage-opaque": _NO_CLAIM,
        "sourced-data": _NO_CLAIM,
    }
    for reason in reasons:
        aspect, value = _CONSEQUENCES[reason.code]
        vector[aspect] = max(vector[aspect], value)
    return MappingProxyType(vector)
