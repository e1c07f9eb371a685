# SPDX-License-Identifier: Apache-2.0
"""NVIDIA GPUs and switches: SPDM measurement reports and reference integrity manifests."""

from accord.evidence.nvidia._import import import_devices
from accord.evidence.nvidia._rim import Manifest, load_manifest
from accord.evidence.nvidia._spdm import Report
from accord.evidence.nvidia._verify import (
    DEVICE_ROOT,
    MANIFEST_ROOT,
    NVIDIAEvidence,
    parse_nvidia,
    verify_nvidia,
)

__all__ = [
    "DEVICE_ROOT",
    "MANIFEST_ROOT",
    "Manifest",
    "NVIDIAEvidence",
    "Report",
    "import_devices",
    "load_manifest",
    "parse_nvidia",
    "verify_nvidia",
]
