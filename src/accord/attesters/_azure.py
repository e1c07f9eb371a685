# SPDX-License-Identifier: Apache-2.0
"""Azure confidential VMs: the paravisor's report in NV indices of the vTPM, and its quote."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from accord.attesters._collector import check_report_data, read_optional
from accord.attesters._tpm import BOOT_REGISTERS, LOGS, Connect, opened, quote
from accord.attesters._tpm_commands import OWNER, TPM
from accord.encoding import Fields, base64_decode, canonical_json, parse_json
from accord.errors import EncodingError, InterfaceFailedError, TPMCommandError
from accord.evidence import Evidence, link
from accord.evidence.azure import HCLReport, parse_hcl_report, parse_runtime_data
from accord.policy import Family

REPORT_INDEX, USER_DATA_INDEX = 0x01400001, 0x01400002
AK_HANDLE = 0x81000003

METADATA_SERVICE = "http://169.254.169.254"
CERTIFICATION_PATH = "/metadata/THIM/amd/certification"
TD_QUOTE_PATH = "/acc/tdquote"

Ask = Callable[[str, bytes | None], bytes]
"""Asks the metadata service: path, and the body of a POST or None; returns the answer."""

_WHAT = "Azure's vTPM"
_USER_DATA_BYTES = 64
_ATTEMPTS, _PAUSE_S = 10, 1.0
"""The paravisor takes up to three seconds to write a report with new user data."""

_SERVICE = "Azure's metadata service"
_MAX_TEXT = 1 << 16


class AzureVTPM:
    """A collector inside an Azure confidential VM.

    ``ask`` reaches the metadata service of the host, which adds AMD's certificates, or turns
    a TDREPORT into a quote; without it nothing leaves the VM, and on TDX there is no quote.
    """

    family = Family.AZURE

    def __init__(
        self,
        connect: Connect = opened,
        *,
        ask: Ask | None = None,
        logs: Mapping[str, Path] = LOGS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect, self._ask, self._logs, self._sleep = connect, ask, logs, sleep

    def collect(self, report_data: bytes) -> Evidence:
        """A report with ``report_data`` as user data, and a quote linked to it.

        Raises ``InterfaceMissingError``, ``InterfaceFailedError``, ``TPMCommandError``,
        ``ReportRaceError`` or ``EvidenceMalformedError``.
        """
        check_report_data(report_data)
        with self._connect() as transmit:
            tpm = TPM(transmit)
            blob, report = self._report(tpm, report_data)
            nonce = link(self.family.value, report_data)
            quoted, registers = quote(tpm, AK_HANDLE, nonce, {"sha256": BOOT_REGISTERS})
        aux = {"tpm_quote": quoted, "pcrs": registers}
        for name, path in self._logs.items():
            log = read_optional(path)
            if log:
                aux[name] = log
        endorsements: Mapping[str, bytes] = {}
        if self._ask is not None:
            if report.hardware is Family.SNP:
                endorsements = _certificates(self._ask(CERTIFICATION_PATH, None))
            else:
                aux["td_quote"] = _td_quote(self._ask, report.hardware_report)
        return Evidence(self.family, blob, MappingProxyType(endorsements), MappingProxyType(aux))

    def _report(self, tpm: TPM, report_data: bytes) -> tuple[bytes, HCLReport]:
        """The report that carries ``report_data``: the paravisor makes it some time after."""
        try:
            tpm.nv_size(USER_DATA_INDEX)
        except TPMCommandError:
            tpm.nv_define(USER_DATA_INDEX, _USER_DATA_BYTES)
        tpm.nv_write(USER_DATA_INDEX, report_data, authority=OWNER)
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_PAUSE_S)
            blob = tpm.nv_read(REPORT_INDEX, authority=OWNER)
            report = parse_hcl_report(blob)
            if parse_runtime_data(report.runtime).user_data == report_data:
                return blob, report
        raise InterfaceFailedError(
            what=_WHAT, detail=f"no report carries the user data after {_ATTEMPTS} attempts"
        )


def _certificates(answer: bytes) -> Mapping[str, bytes]:
    """AMD's certificates as the host cached them, unverified."""
    try:
        fields = Fields(parse_json(answer, what=_SERVICE), _SERVICE)
        return {
            "vcek": fields.text("vcekCert", limit=_MAX_TEXT).encode(),
            "cert_chain": fields.text("certificateChain", limit=_MAX_TEXT).encode(),
        }
    except EncodingError as exc:
        raise InterfaceFailedError(what=_SERVICE, detail=str(exc)) from exc


def _td_quote(ask: Ask, td_report: bytes) -> bytes:
    body = {"report": base64.urlsafe_b64encode(td_report).decode().rstrip("=")}
    try:
        fields = Fields(
            parse_json(ask(TD_QUOTE_PATH, canonical_json(body)), what=_SERVICE), _SERVICE
        )
        text = fields.text("quote", limit=_MAX_TEXT).translate(str.maketrans("-_", "+/"))
        return base64_decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), what=_SERVICE)
    except EncodingError as exc:
        raise InterfaceFailedError(what=_SERVICE, detail=str(exc)) from exc
