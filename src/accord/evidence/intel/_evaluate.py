# SPDX-License-Identifier: Apache-2.0
"""The TCB status of a platform: CPU, PCE, TDX module and quoting enclave (PCS API v4)."""

from __future__ import annotations

from dataclasses import replace

from accord.errors import CollateralMismatchError, TCBRefusedError
from accord.evidence.intel._pck import PCKExtension
from accord.evidence.intel._quote import SGXReport, TDReport
from accord.evidence.intel._tcb import (
    EnclaveLevel,
    ModuleIdentity,
    PlatformLevel,
    QEIdentity,
    Status,
    TCBInfo,
)

_UP_TO_DATE, _OUT_OF_DATE, _REVOKED = "UpToDate", "OutOfDate", "Revoked"
_OUT_OF_DATE_CONFIGURATION = "OutOfDateConfigurationNeeded"
_RELAUNCH, _RELAUNCH_CONFIGURATION = "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded"
_NEEDS_CONFIGURATION = {"ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"}
_CURRENT = _NEEDS_CONFIGURATION | {_UP_TO_DATE, "SWHardeningNeeded"}


def evaluate_sgx(pck: PCKExtension, info: TCBInfo, qe: Status) -> Status:
    """The status of an SGX platform whose quoting enclave has status ``qe``.

    Raises ``CollateralMismatchError`` where ``info`` is for another platform, and
    ``TCBRefusedError`` where no level applies.
    """
    _check_platform(pck, info)
    for level in info.levels:
        if _reaches(pck, level):
            return join(level.status, qe)
    raise _no_level()


def evaluate_tdx(report: TDReport, pck: PCKExtension, info: TCBInfo, qe: Status) -> Status:
    """The status of a TDX platform whose quoting enclave has status ``qe``.

    Raises ``CollateralMismatchError`` where ``info`` is for another platform or module, and
    ``TCBRefusedError`` where no level applies.
    """
    # (a) The collateral is for this kind of platform.
    _check_platform(pck, info)
    # (b) The TDX module is the vendor's, and of a level that it knows.
    _check_module(report, info)
    status, module = _tdx_level(report.tee_tcb_svn, pck, info)
    # (c) So is the one that runs now, where it was replaced under the running environment.
    if report.tee_tcb_svn_2 is not None:
        running, _ = _tdx_level(report.tee_tcb_svn_2, pck, info)
        if running.status == _REVOKED:
            return running
        if module is not None and qe.status == _UP_TO_DATE:
            status = _relaunch(report.tee_tcb_svn_2, pck, info, status, module)
    return join(status, qe)


def _tdx_level(svn: bytes, pck: PCKExtension, info: TCBInfo) -> tuple[Status, Status | None]:
    """The status of CPU, PCE and the TDX module of version ``svn``, and of the module alone.

    The first level counts, newest first, that the platform reaches in every component. The
    module's two components are left to its identity where it has one.
    """
    module, first = None, 0
    if svn[1] > 0:
        module, first = _enclave_status(svn[0], _identity(svn[1], info).levels, "TDX module"), 2
    for level in info.levels:
        if _reaches(pck, level) and all(
            have >= want for have, want in zip(svn[first:], level.tdx[first:], strict=True)
        ):
            return (level.status if module is None else join(level.status, module)), module
    raise _no_level()


def _check_platform(pck: PCKExtension, info: TCBInfo) -> None:
    _match("FMSPC of the platform", pck.fmspc, info.fmspc)
    _match("PCE-ID of the platform", pck.pceid, info.pceid)


def _no_level() -> TCBRefusedError:
    return TCBRefusedError(part="platform", status="unknown (older than every known level)")


def _reaches(pck: PCKExtension, level: PlatformLevel) -> bool:
    return pck.pcesvn >= level.pcesvn and all(
        have >= want for have, want in zip(pck.svns, level.sgx, strict=True)
    )


def _check_module(report: TDReport, info: TCBInfo) -> None:
    """Signer and attributes of the TDX module; version 0 has no identity of its own."""
    major = report.tee_tcb_svn[1]
    module = info.module if major == 0 else _identity(major, info)
    if module is None:
        raise CollateralMismatchError(field="TEE", actual="TDX", expected=info.tee)
    _match("TDX module signer", report.mrsignerseam, module.mrsigner)
    attributes = _masked(report.seam_attributes, module.mask)
    _match("TDX module attributes", attributes, _masked(module.attributes, module.mask))


def _identity(major: int, info: TCBInfo) -> ModuleIdentity:
    name = f"TDX_{major:02X}"
    known = [item for item in info.modules if item.name.upper() == name]
    if len(known) != 1:
        raise TCBRefusedError(part="TDX module", status=f"unknown ({name})")
    return known[0]


def _relaunch(
    now: bytes, pck: PCKExtension, info: TCBInfo, status: Status, module: Status
) -> Status:
    """Whether starting anew would do (Intel QVL, TD relaunch check): TD report 1.5 alone.

    Then the module that runs ``now`` is the newest, and only the one that started the
    environment was out of date.
    """
    cpu = next(level.status.status for level in info.levels if _reaches(pck, level))
    if (
        module.status != _OUT_OF_DATE
        or status.status not in {_OUT_OF_DATE, _OUT_OF_DATE_CONFIGURATION}
        or cpu not in _CURRENT
    ):
        return status
    newest = info.levels[0].tdx
    least = _identity(now[1], info).levels[0].isv_svn if now[1] > 0 else newest[0]
    if now[0] < least or now[2] < newest[2]:
        return status
    needs = cpu in _NEEDS_CONFIGURATION or status.status == _OUT_OF_DATE_CONFIGURATION
    return replace(status, status=_RELAUNCH_CONFIGURATION if needs else _RELAUNCH)


def evaluate_qe(report: SGXReport, identity: QEIdentity) -> Status:
    """The status of the quoting enclave that signed (PCS API v4, "Get QE Identity").

    Raises ``CollateralMismatchError`` for any other enclave, ``TCBRefusedError`` for one
    older than every level.
    """
    mask = identity.miscselect_mask
    # The JSON spells MISCSELECT in memory order: Intel's own samples, which are not zero, do.
    miscselect = _masked(report.misc_select, mask)
    _match("QE MISCSELECT", miscselect, _masked(identity.miscselect, mask))
    mask = identity.attributes_mask
    _match("QE attributes", _masked(report.attributes, mask), _masked(identity.attributes, mask))
    _match("QE MRSIGNER", report.mrsigner, identity.mrsigner)
    if report.isv_prod_id != identity.isv_prod_id:
        raise CollateralMismatchError(
            field="QE ISVPRODID", actual=report.isv_prod_id, expected=identity.isv_prod_id
        )
    return _enclave_status(report.isv_svn, identity.levels, "quoting enclave")


def _enclave_status(isv_svn: int, levels: tuple[EnclaveLevel, ...], part: str) -> Status:
    for level in levels:
        if isv_svn >= level.isv_svn:
            return level.status
    raise TCBRefusedError(part=part, status=f"unknown (security version {isv_svn})")


def join(platform: Status, part: Status) -> Status:
    """The status of a platform one of whose parts has its own (Intel QVL, TCB convergence)."""
    advisories = tuple(dict.fromkeys((*platform.advisories, *part.advisories)))
    status = platform.status
    if _REVOKED in {platform.status, part.status}:
        status = _REVOKED
    elif part.status == _OUT_OF_DATE:
        if status in _NEEDS_CONFIGURATION:
            status = _OUT_OF_DATE_CONFIGURATION
        elif status in {_UP_TO_DATE, "SWHardeningNeeded"}:
            status = _OUT_OF_DATE
    return Status(status, advisories)


def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes(a & b for a, b in zip(value, mask, strict=True))


def _match(field: str, actual: bytes, expected: bytes) -> None:
    if actual != expected:
        raise CollateralMismatchError(field=field, actual=actual.hex(), expected=expected.hex())
