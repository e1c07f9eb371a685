# SPDX-License-Identifier: Apache-2.0
"""The offline proof of a run: its files, and the verifier. No network, few dependencies."""

from accord.bundle._files import CHECKPOINT, BundleFiles, entry_name, object_name
from accord.bundle._proofs import named_evidence
from accord.bundle._verify import BundleReport, verify_bundle

__all__ = [
    "CHECKPOINT",
    "BundleFiles",
    "BundleReport",
    "entry_name",
    "named_evidence",
    "object_name",
    "verify_bundle",
]
