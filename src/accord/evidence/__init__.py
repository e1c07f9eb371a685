# SPDX-License-Identifier: Apache-2.0
"""Attestation evidence: what it is bound to, verifying it, appraising it. Pure and offline."""

from accord.evidence._appraisal import PRIVATE_CLAIMS, AttestationResult, Reason, appraise
from accord.evidence._binding import Binding, Purpose, Role
from accord.evidence._claims import TCB, Attester, Claims
from accord.evidence._evidence import Collateral, Evidence
from accord.evidence._roots import PRODUCTION_ROOTS, RootKind, root_kind
from accord.evidence._verify import verify

__all__ = [
    "PRIVATE_CLAIMS",
    "PRODUCTION_ROOTS",
    "TCB",
    "AttestationResult",
    "Attester",
    "Binding",
    "Claims",
    "Collateral",
    "Evidence",
    "Purpose",
    "Reason",
    "Role",
    "RootKind",
    "appraise",
    "root_kind",
    "verify",
]
