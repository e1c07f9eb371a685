# SPDX-License-Identifier: Apache-2.0
"""TCB info and QE identity of Intel's PCS API, versions 3 and 4: reading them.

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
from accord.errors import EvidenceMalformedError, MalformedError

T = TypeVar("T")

_CACHE = 64
_COMPONENTS = 16
_ENCLAVE_STATUSES = frozenset({"UpToDate", "OutOfDate", "Revoked"})
"""All that PCS API v4 defines for enclaves and modules; `join` knows how each combines."""

_PLATFORM_STATUSES = _ENCLAVE_STATUSES | {
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDateConfigurationNeeded",
}


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
    """A TCB level of a platform: least security versions of CPU, PCE and (not SGX) TDX."""

    sgx: tuple[int, ...]
    pcesvn: int
    tdx: tuple[int, ...]
    status: Status


@dataclass(frozen=True, slots=True)
class TCBInfo:
    """TCB info v3 with id SGX or TDX; v2, which only SGX had, counts as SGX's."""

    tee: str
    not_before: datetime
    not_after: datetime
    fmspc: bytes
    pceid: bytes
    evaluation_number: int
    module: ModuleIdentity | None
    modules: tuple[ModuleIdentity, ...]
    levels: tuple[PlatformLevel, ...]


@dataclass(frozen=True, slots=True)
class QEIdentity:
    """QE identity v2 with id QE (of SGX) or TD_QE."""

    enclave: str
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


def _format(data: Any, known: tuple[str, ...], expected_version: int) -> str:
    if data["id"] not in known or data["version"] != expected_version:
        message = f"it is {data['id']} version {data['version']}"
        raise ValueError(message)
    return str(data["id"])


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
    older = data["version"] == 2  # noqa: PLR2004 - of PCS API v3, SGX alone
    tee = "SGX" if older else _format(data, ("SGX", "TDX"), 3)
    if data.get("tcbType", 0) != 0:
        message = f"TCB type {data['tcbType']} is unknown"
        raise ValueError(message)
    tdx = tee == "TDX"
    return TCBInfo(
        tee,
        *_period(data),
        fmspc=_octets(data["fmspc"], 6),
        pceid=_octets(data["pceId"], 2),
        evaluation_number=_integer(data["tcbEvaluationDataNumber"]),
        module=_module(data["tdxModule"]) if tdx else None,
        modules=tuple(_module(item) for item in data.get("tdxModuleIdentities", []) if tdx),
        levels=tuple(
            PlatformLevel(
                sgx=_sgx_svns(level["tcb"], older=older),
                pcesvn=_integer(level["tcb"]["pcesvn"]),
                tdx=_components(level["tcb"]["tdxtcbcomponents"]) if tdx else (),
                status=_status(level, _PLATFORM_STATUSES),
            )
            for level in data["tcbLevels"]
        ),
    )


def _sgx_svns(tcb: Any, *, older: bool) -> tuple[int, ...]:
    if older:
        return tuple(
            _integer(tcb[f"sgxtcbcomp{index:02}svn"]) for index in range(1, _COMPONENTS + 1)
        )
    return _components(tcb["sgxtcbcomponents"])


def _qe_identity(data: Any) -> QEIdentity:
    return QEIdentity(
        _format(data, ("QE", "TD_QE"), 2),
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
