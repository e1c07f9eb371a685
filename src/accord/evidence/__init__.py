# SPDX-License-Identifier: Apache-2.0
"""Attestation evidence: what it is bound to, verifying it, appraising it. Pure and offline."""

from accord.evidence._appraisal import PRIVATE_CLAIMS, AttestationResult, Reason, appraise
from accord.evidence._binding import Binding, Purpose, Role, link
from accord.evidence._claims import ASSURANCE, TCB, Attester, Claims, Component, Endorser, Verified
from accord.evidence._evidence import Evidence
from accord.evidence._roots import PRODUCTION_ROOTS, RootKind, root_kind
from accord.evidence._verify import parse, verify, verify_unbound

__all__ = [
    "ASSURANCE",
    "PRIVATE_CLAIMS",
    "PRODUCTION_ROOTS",
    "TCB",
    "AttestationResult",
    "Attester",
    "Binding",
    "Claims",
    "Component",
    "Endorser",
    "Evidence",
    "Purpose",
    "Reason",
    "Role",
    "RootKind",
    "Verified",
    "appraise",
    "link",
    "parse",
    "root_kind",
    "verify",
    "verify_unbound",
]
