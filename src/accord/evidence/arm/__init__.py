# SPDX-License-Identifier: Apache-2.0
"""Arm: PSA tokens of TrustZone devices, and CCA tokens of realms."""

from accord.evidence.arm._cca import parse_cca, verify_cca
from accord.evidence.arm._keys import TrustAnchor, read_trust_anchors
from accord.evidence.arm._psa import parse_psa, verify_psa

__all__ = [
    "TrustAnchor",
    "parse_cca",
    "parse_psa",
    "read_trust_anchors",
    "verify_cca",
    "verify_psa",
]
