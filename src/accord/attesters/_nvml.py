# SPDX-License-Identifier: Apache-2.0
"""NVIDIA GPUs in confidential-computing mode, through the management library (NVML)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

from accord.attesters._collector import check_report_data
from accord.errors import InterfaceFailedError, InterfaceMissingError
from accord.evidence import Evidence, link
from accord.policy import Family

T = TypeVar("T")

_WHAT = "NVIDIA's management library"


def load_nvml() -> Any:
    """The module ``pynvml``. Raises ``InterfaceMissingError``."""
    try:
        return importlib.import_module("pynvml")
    except ImportError as exc:
        raise InterfaceMissingError(
            what=_WHAT, detail="the package nvidia-ml-py is not installed"
        ) from exc


class NVML:
    """A collector for the GPU with this index; ``nvml`` is the module ``pynvml``."""

    family = Family.NVIDIA

    def __init__(self, index: int = 0, *, nvml: Any = None) -> None:
        self._index = index
        self._nvml = load_nvml() if nvml is None else nvml

    def collect(self, report_data: bytes) -> Evidence:
        """A report whose nonce is linked to ``report_data``, with the GPU's own chain.

        The driver and VBIOS manifests (RIMs) to compare it with are not part of it.
        Raises ``InterfaceFailedError``.
        """
        check_report_data(report_data)
        return self._session(lambda: self._collect(link(self.family.value, report_data)))

    def count(self) -> int:
        """How many GPUs this machine has. Raises ``InterfaceFailedError``."""
        return int(self._session(self._nvml.nvmlDeviceGetCount))

    def _session(self, act: Callable[[], T]) -> T:
        try:
            self._nvml.nvmlInit()
            try:
                return act()
            finally:
                self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as exc:
            raise InterfaceFailedError(what=_WHAT, detail=str(exc)) from exc

    def _collect(self, nonce: bytes) -> Evidence:
        device = self._nvml.nvmlDeviceGetHandleByIndex(self._index)
        report = self._nvml.nvmlDeviceGetConfComputeGpuAttestationReport(device, nonce)
        certificate = self._nvml.nvmlDeviceGetConfComputeGpuCertificate(device)
        blob = bytes(report.attestationReport)[: report.attestationReportSize]
        size = certificate.attestationCertChainSize
        chain = bytes(certificate.attestationCertChain)[:size]
        if not blob or not chain:
            raise InterfaceFailedError(
                what=_WHAT, detail="no report; is confidential-computing mode on?"
            )
        return Evidence(self.family, blob, MappingProxyType({"certificate_chain": chain}))
