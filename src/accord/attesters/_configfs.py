# SPDX-License-Identifier: Apache-2.0
"""configfs-tsm, Linux 6.7 and later: TDX, SEV-SNP and CCA through one folder of the kernel.

Linux, Documentation/ABI/testing/configfs-tsm-report.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from accord.attesters._collector import (
    check_report_data,
    missing_or_failed,
    read_all,
    read_optional,
    reason,
    write_all,
)
from accord.errors import InterfaceFailedError, InterfaceMissingError, ReportRaceError
from accord.evidence import Evidence
from accord.evidence.amd import read_certificate_table
from accord.policy import Family

T = TypeVar("T")

CONFIGFS = Path("/sys/kernel/config/tsm/report")

CCEL = Path("/sys/firmware/acpi/tables/data/CCEL")
"""The event log of a TDX guest (ACPI CCEL table's data)."""

PROVIDERS: Mapping[str, Family] = MappingProxyType(
    {"tdx_guest": Family.TDX, "sev_guest": Family.SNP, "arm_cca_guest": Family.CCA}
)
"""Families by the name of the kernel's driver."""

_WHAT = "configfs-tsm"
_MAX_DIGITS = 20
"""Those of 64 bits; the kernel counts with 32."""

_MAX_SHOWN = 64
_ATTEMPTS = 5
"""Each instance of a report is ours alone (its name is random): races are accidents."""


class ConfigfsTSM:
    """A collector that asks the kernel for one report at a time.

    ``privlevel`` is the VMPL of an SNP report; None leaves the kernel's default. ``make`` and
    ``remove`` make and remove a report's folder. Which CPU it is, is asked when it is made.
    """

    def __init__(
        self,
        root: Path = CONFIGFS,
        *,
        privlevel: int | None = None,
        event_log: Path = CCEL,
        make: Callable[[Path], None] = os.mkdir,
        remove: Callable[[Path], None] = os.rmdir,
    ) -> None:
        self._root, self._privlevel, self._event_log = root, privlevel, event_log
        self._make, self._remove = make, remove
        self.family = self._with_report(self._provider)

    def collect(self, report_data: bytes) -> Evidence:
        """Evidence that carries ``report_data``; its collateral is only what the host gave.

        Raises ``InterfaceMissingError``, ``InterfaceFailedError`` or ``ReportRaceError``, and
        ``EvidenceMalformedError`` for a host's certificate table that is none.
        """
        check_report_data(report_data)
        return self._with_report(lambda report: self._collect(report, report_data))

    def _with_report(self, act: Callable[[Path], T]) -> T:
        """What ``act`` returns for a report of our own, which is removed whatever happens."""
        report = self._root / f"accord-{secrets.token_hex(8)}"
        try:
            self._make(report)
        except OSError as exc:
            raise missing_or_failed(exc, _WHAT, self._root) from exc
        try:
            found = act(report)
        except BaseException as exc:
            with suppress(OSError):  # what went wrong first is what the user must see
                self._remove(report)
            if isinstance(exc, OSError):
                raise missing_or_failed(exc, _WHAT, report) from exc
            raise
        try:
            self._remove(report)
        except OSError as exc:  # reports that are left behind stay until the next boot
            detail = f"{report} cannot be removed: {reason(exc)}"
            raise InterfaceFailedError(what=_WHAT, detail=detail) from exc
        return found

    def _provider(self, report: Path) -> Family:
        name = read_all(report / "provider").decode("ascii", "replace").strip()
        if name not in PROVIDERS:
            known = ", ".join(PROVIDERS)
            name = name[:_MAX_SHOWN]
            raise InterfaceMissingError(
                what="TEE that is known", detail=f"configfs-tsm says {name!r}; known are {known}"
            )
        return PROVIDERS[name]

    def _collect(self, report: Path, report_data: bytes) -> Evidence:
        for _ in range(_ATTEMPTS):
            before = _generation(report)
            writes = 1
            if self._privlevel is not None:
                write_all(report / "privlevel", str(self._privlevel).encode())
                writes += 1
            write_all(report / "inblob", report_data)
            blob = read_all(report / "outblob")
            extra = read_optional(report / "auxblob") or b""
            # Every write counts: one more than ours, and the report may be of somebody's data.
            if _generation(report) == before + writes:
                return self._evidence(blob, extra)
        raise ReportRaceError(what=_WHAT, times=_ATTEMPTS)

    def _evidence(self, blob: bytes, extra: bytes) -> Evidence:
        if not blob:
            raise InterfaceFailedError(what=_WHAT, detail="the report is empty")
        if self.family is Family.SNP:
            return Evidence(self.family, blob, read_certificate_table(extra))
        log = read_optional(self._event_log) if self.family is Family.TDX else None
        return Evidence(self.family, blob, aux=MappingProxyType({"ccel": log} if log else {}))


def _generation(report: Path) -> int:
    text = read_all(report / "generation").strip()
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        raise InterfaceFailedError(what=_WHAT, detail=f"its generation is {text[:_MAX_SHOWN]!r}")
    return int(text)
