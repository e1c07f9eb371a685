# SPDX-License-Identifier: Apache-2.0
"""SGX through Gramine's pseudo-files below /dev/attestation.

Gramine documentation, "Attestation and Secret Provisioning", low-level interface.
"""

from __future__ import annotations

from pathlib import Path

from accord.attesters._collector import (
    check_report_data,
    missing_or_failed,
    read_all,
    write_all,
)
from accord.errors import InterfaceFailedError, InterfaceMissingError
from accord.evidence import Evidence
from accord.policy import Family

GRAMINE = Path("/dev/attestation")

_WHAT = "Gramine's /dev/attestation"


class Gramine:
    """A collector inside an SGX enclave that Gramine runs, with DCAP attestation."""

    family = Family.SGX

    def __init__(self, root: Path = GRAMINE) -> None:
        self._root = root
        try:
            kind = read_all(root / "attestation_type").decode("ascii", "replace").strip()
        except OSError as exc:
            raise missing_or_failed(exc, _WHAT, root) from exc
        if kind != "dcap":
            raise InterfaceMissingError(
                what="SGX with DCAP attestation",
                detail=f"Gramine says {kind!r}; the manifest needs sgx.remote_attestation = 'dcap'",
            )

    def collect(self, report_data: bytes) -> Evidence:
        """Evidence that carries ``report_data``; collateral is not part of it.

        Threads of the enclave share the pseudo-files: one at a time may ask.
        Raises ``InterfaceMissingError`` or ``InterfaceFailedError``.
        """
        check_report_data(report_data)
        try:
            write_all(self._root / "user_report_data", report_data)
            quote = read_all(self._root / "quote")
        except OSError as exc:
            raise missing_or_failed(exc, _WHAT, self._root) from exc
        if not quote:
            raise InterfaceFailedError(what=_WHAT, detail="the quote is empty")
        return Evidence(self.family, quote)
