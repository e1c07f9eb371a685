# SPDX-License-Identifier: Apache-2.0
"""The offline proof of a run: its files, and the verifier. No network, few dependencies."""

from accord.bundle._derived import (
    DERIVED,
    LINEAGE,
    POLICY,
    RELEASE_PROOF,
    RUN_PROOF,
    RUN_STATEMENT,
    derived_files,
)
from accord.bundle._evidence import Environments, EvidenceCheck
from accord.bundle._files import CHECKPOINT, BundleFiles, entry_name, object_name
from accord.bundle._log import VerifiedLog, verify_log, verify_note
from accord.bundle._model import (
    ModelOrigin,
    load_model_key,
    load_model_public_key,
    sign_model,
    verify_model,
)
from accord.bundle._proofs import Proof, Replayed, entry_proof, named_evidence, replay
from accord.bundle._report import BundleReport, log_not_proven
from accord.bundle._verify import verify_bundle, verify_bundle_log

__all__ = [
    "CHECKPOINT",
    "DERIVED",
    "LINEAGE",
    "POLICY",
    "RELEASE_PROOF",
    "RUN_PROOF",
    "RUN_STATEMENT",
    "BundleFiles",
    "BundleReport",
    "Environments",
    "EvidenceCheck",
    "ModelOrigin",
    "Proof",
    "Replayed",
    "VerifiedLog",
    "derived_files",
    "entry_name",
    "entry_proof",
    "load_model_key",
    "load_model_public_key",
    "log_not_proven",
    "named_evidence",
    "object_name",
    "replay",
    "sign_model",
    "verify_bundle",
    "verify_bundle_log",
    "verify_log",
    "verify_model",
    "verify_note",
]
