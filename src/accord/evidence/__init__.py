# SPDX-License-Identifier: Apache-2.0
"""Attestation evidence: what it is bound to, verifying it, appraising it. Pure and offline."""

from accord.evidence._appraisal import appraise, evaluate
from accord.evidence._binding import Binding, Purpose, Role, link
from accord.evidence._certificate import Certificate, load_certificates
from accord.evidence._chain import RevocationList, load_revocation_list, verify_chain
from accord.evidence._claims import ASSURANCE, TCB, Attester, Claims, Component, Endorser, Verified
from accord.evidence._ear import EAR, EAT_PROFILE, VECTOR, Submodule, Tier
from accord.evidence._ear_tokens import sign_cwt, sign_jwt, verify_cwt, verify_jwt
from accord.evidence._evidence import Evidence
from accord.evidence._reasons import Reason, ReasonCode
from accord.evidence._result import PRIVATE_CLAIMS, AttestationResult
from accord.evidence._roots import PRODUCTION_ROOTS, RootKind, root_kind
from accord.evidence._signature import verify_raw_ecdsa
from accord.evidence._verify import Engine, parse, verify, verify_unbound

__all__ = [
    "ASSURANCE",
    "EAR",
    "EAT_PROFILE",
    "PRIVATE_CLAIMS",
    "PRODUCTION_ROOTS",
    "TCB",
    "VECTOR",
    "AttestationResult",
    "Attester",
    "Binding",
    "Certificate",
    "Claims",
    "Component",
    "Endorser",
    "Engine",
    "Evidence",
    "Purpose",
    "Reason",
    "ReasonCode",
    "RevocationList",
    "Role",
    "RootKind",
    "Submodule",
    "Tier",
    "Verified",
    "appraise",
    "evaluate",
    "link",
    "load_certificates",
    "load_revocation_list",
    "parse",
    "root_kind",
    "sign_cwt",
    "sign_jwt",
    "verify",
    "verify_chain",
    "verify_cwt",
    "verify_jwt",
    "verify_raw_ecdsa",
    "verify_unbound",
]
