# SPDX-License-Identifier: Apache-2.0
"""TCB info v3 and QE identity v2 of Intel's PCS API v4: reading and evaluating them.

Both are read *after* their signature was verified, by a tolerant reader: the vendor may add
members, and a signed text has no second spelling worth refusing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from accord.encoding import parse_time
from accord.errors import (
    CollateralMismatchError,
    EvidenceMalformedError,
    MalformedError,
    TCBRefusedError,
)
from accord.evidence.intel._pck import PCKExtension
from accord.evidence.intel._quote import QEReport, TDReport
from accord.policy import TCB_STATUSES

T = TypeVar("T")

_CACHE = 64
_COMPONENTS = 16
_REVOKED = "Revoked"
_OUT_OF_DATE = "OutOfDate"
_NEEDS_CONFIGURATION = {"ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"}
_PLATFORM_STATUSES = frozenset({*TCB_STATUSES, _REVOKED})
_ENCLAVE_STATUSES = frozenset({"UpToDate", _OUT_OF_DATE, _REVOKED})
"""All that PCS API v4 defines for enclaves and modules; `join` knows how each combines."""


@dataclass(frozen=True, slots=True)
class Status:
    """A TCB status with its advisories."""

    status: str
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnclaveLevel:
    """A TCB level of a quoting enclave or a TDX module, by its security version."""

    isv_svn: int
    status: Status


@dataclass(frozen=True, slots=True)
class ModuleIdentity:
    """Which TDX module may run: signer, attributes under a mask, levels newest first."""

    name: str
    mrsigner: bytes
    attributes: bytes
    mask: bytes
    levels: tuple[EnclaveLevel, ...]


@dataclass(frozen=True, slots=True)
class PlatformLevel:
    """A TCB level of a platform: least security versions of CPU, PCE and TDX."""

    sgx: tuple[int, ...]
    pcesvn: int
    tdx: tuple[int, ...]
    status: Status


@dataclass(frozen=True, slots=True)
class TCBInfo:
    """TCB info v3 with id TDX."""

    not_before: datetime
    not_after: datetime
    fmspc: bytes
    pceid: bytes
    evaluation_number: int
    module: ModuleIdentity
    modules: tuple[ModuleIdentity, ...]
    levels: tuple[PlatformLevel, ...]


@dataclass(frozen=True, slots=True)
class QEIdentity:
    """QE identity v2 with id TD_QE."""

    not_before: datetime
    not_after: datetime
    evaluation_number: int
    miscselect: bytes
    miscselect_mask: bytes
    attributes: bytes
    attributes_mask: bytes
    mrsigner: bytes
    isv_prod_id: int
    levels: tuple[EnclaveLevel, ...]


def _read(text: str, what: str, read: Callable[[Any], T]) -> T:
    """``read`` over the JSON in ``text``. Raises ``EvidenceMalformedError`` for any fault."""
    try:
        return read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise EvidenceMalformedError(what=what, detail=f"{type(exc).__name__} {exc}") from exc
    except MalformedError as exc:
        raise EvidenceMalformedError(what=what, detail=str(exc)) from exc


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        message = f"expected a count, found {value!r}"
        raise ValueError(message)
    return value


def _octets(value: Any, size: int) -> bytes:
    data = bytes.fromhex(value)
    if len(data) != size:
        message = f"expected {size} bytes, found {len(data)}"
        raise ValueError(message)
    return data


def _format(data: Any, expected_id: str, expected_version: int) -> None:
    if (data["id"], data["version"]) != (expected_id, expected_version):
        message = f"it is {data['id']} version {data['version']}"
        raise ValueError(message)


def _period(data: Any) -> tuple[datetime, datetime]:
    return (
        parse_time(data["issueDate"], what="issueDate"),
        parse_time(data["nextUpdate"], what="nextUpdate"),
    )


def _status(level: Any, known: frozenset[str]) -> Status:
    status, advisories = level["tcbStatus"], level.get("advisoryIDs", [])
    if status not in known or not all(isinstance(item, str) for item in advisories):
        message = f"unknown status {status!r}"
        raise ValueError(message)
    return Status(status, tuple(advisories))


def _components(values: Any) -> tuple[int, ...]:
    svns = tuple(_integer(item["svn"]) for item in values)
    if len(svns) != _COMPONENTS:
        message = f"expected {_COMPONENTS} components, found {len(svns)}"
        raise ValueError(message)
    return svns


def _enclave_levels(values: Any) -> tuple[EnclaveLevel, ...]:
    return tuple(
        EnclaveLevel(_integer(level["tcb"]["isvsvn"]), _status(level, _ENCLAVE_STATUSES))
        for level in values
    )


def _module(data: Any) -> ModuleIdentity:
    return ModuleIdentity(
        name=str(data.get("id", "")),
        mrsigner=_octets(data["mrsigner"], 48),
        attributes=_octets(data["attributes"], 8),
        mask=_octets(data["attributesMask"], 8),
        levels=_enclave_levels(data.get("tcbLevels", [])),
    )


def _tcb_info(data: Any) -> TCBInfo:
    _format(data, "TDX", 3)
    return TCBInfo(
        *_period(data),
        fmspc=_octets(data["fmspc"], 6),
        pceid=_octets(data["pceId"], 2),
        evaluation_number=_integer(data["tcbEvaluationDataNumber"]),
        module=_module(data["tdxModule"]),
        modules=tuple(_module(item) for item in data.get("tdxModuleIdentities", [])),
        levels=tuple(
            PlatformLevel(
                sgx=_components(level["tcb"]["sgxtcbcomponents"]),
                pcesvn=_integer(level["tcb"]["pcesvn"]),
                tdx=_components(level["tcb"]["tdxtcbcomponents"]),
                status=_status(level, _PLATFORM_STATUSES),
            )
            for level in data["tcbLevels"]
        ),
    )


def _qe_identity(data: Any) -> QEIdentity:
    _format(data, "TD_QE", 2)
    return QEIdentity(
        *_period(data),
        evaluation_number=_integer(data["tcbEvaluationDataNumber"]),
        miscselect=_octets(data["miscselect"], 4),
        miscselect_mask=_octets(data["miscselectMask"], 4),
        attributes=_octets(data["attributes"], 16),
        attributes_mask=_octets(data["attributesMask"], 16),
        mrsigner=_octets(data["mrsigner"], 32),
        isv_prod_id=_integer(data["isvprodid"]),
        levels=_enclave_levels(data["tcbLevels"]),
    )


@lru_cache(maxsize=_CACHE)
def parse_tcb_info(text: str) -> TCBInfo:
    """Reads TCB info whose signature the caller verified. Raises ``EvidenceMalformedError``."""
    return _read(text, "TCB info", _tcb_info)


@lru_cache(maxsize=_CACHE)
def parse_qe_identity(text: str) -> QEIdentity:
    """Reads a QE identity whose signature the caller verified.

    Raises ``EvidenceMalformedError``.
    """
    return _read(text, "QE identity", _qe_identity)


def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes(a & b for a, b in zip(value, mask, strict=True))


def _match(field: str, actual: bytes, expected: bytes) -> None:
    if actual != expected:
        raise CollateralMismatchError(field=field, actual=actual.hex(), expected=expected.hex())


def evaluate_qe(report: QEReport, identity: QEIdentity) -> Status:
    """The status of the quoting enclave that signed (PCS API v4, "Get QE Identity").

    Raises ``CollateralMismatchError`` for any other enclave, ``TCBRefusedError`` for one
    older than every level.
    """
    mask = identity.miscselect_mask
    # Implementations differ on the byte order of MISCSELECT in the JSON; Intel only publishes
    # zeros under a full mask. We read it in memory order, as dcap-qvl does.
    miscselect = _masked(report.miscselect, mask)
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


def evaluate_platform(report: TDReport, pck: PCKExtension, info: TCBInfo) -> Status:
    """The joint status of CPU, PCE and TDX module (PCS API v4, "Get TDX TCB Info").

    Raises ``CollateralMismatchError`` where ``info`` is for another platform or module, and
    ``TCBRefusedError`` where no level applies.
    """
    # (a) The collateral is for this kind of platform.
    _match("FMSPC of the platform", pck.fmspc, info.fmspc)
    _match("PCE-ID of the platform", pck.pceid, info.pceid)
    # (b) The TDX module: version 0 has no identity of its own, later ones are listed.
    major = report.tee_tcb_svn[1]
    module, status = info.module, None
    if major > 0:
        name = f"TDX_{major:02X}"
        known = [item for item in info.modules if item.name == name]
        if len(known) != 1:
            raise TCBRefusedError(part="TDX module", status=f"unknown ({name})")
        module = known[0]
        status = _enclave_status(report.tee_tcb_svn[0], module.levels, "TDX module")
    _match("TDX module signer", report.mrsignerseam, module.mrsigner)
    attributes = _masked(report.seam_attributes, module.mask)
    _match("TDX module attributes", attributes, _masked(module.attributes, module.mask))
    # (c) The first level, newest first, that the platform reaches in every component. The
    # module's two components are left to its identity where it has one.
    first = 2 if major > 0 else 0
    for level in info.levels:
        if (
            all(have >= want for have, want in zip(pck.svns, level.sgx, strict=True))
            and pck.pcesvn >= level.pcesvn
            and all(
                have >= want
                for have, want in zip(report.tee_tcb_svn[first:], level.tdx[first:], strict=True)
            )
        ):
            return level.status if status is None else join(level.status, status)
    raise TCBRefusedError(part="platform", status="unknown (older than every known level)")


def join(platform: Status, part: Status) -> Status:
    """The status of a platform one of whose parts has its own (Intel QVL, TCB convergence)."""
    advisories = tuple(dict.fromkeys((*platform.advisories, *part.advisories)))
    status = platform.status
    if _REVOKED in {platform.status, part.status}:
        status = _REVOKED
    elif part.status == _OUT_OF_DATE:
        if status in _NEEDS_CONFIGURATION:
            status = "OutOfDateConfigurationNeeded"
        elif status in {"UpToDate", "SWHardeningNeeded"}:
            status = _OUT_OF_DATE
    return Status(status, advisories)
