# SPDX-License-Identifier: Apache-2.0
"""Attest, then release: requests, the gate, the log's state machine, run statements."""

from accord.release._challenges import Challenges
from accord.release._consent import enacted_service, owners_consent
from accord.release._documents import (
    ASSET_KEY_PURPOSE,
    GRANT_PURPOSE,
    LOG_NAME,
    NONCE_BYTES,
    OUTPUT_KEY_PURPOSE,
    AssetUse,
    Grant,
    GrantedInput,
    Release,
    ReleaseRequest,
    ServiceStart,
    asset_key_context,
    grant_context,
    log_origin,
    output_key_context,
    parse_run_id,
    service_binding,
    shield_binding,
)
from accord.release._gate import Decision, decide
from accord.release._machine import Machine, RunRecord
from accord.release._run import RunOutcome, RunOutput, RunStatement

__all__ = [
    "ASSET_KEY_PURPOSE",
    "GRANT_PURPOSE",
    "LOG_NAME",
    "NONCE_BYTES",
    "OUTPUT_KEY_PURPOSE",
    "AssetUse",
    "Challenges",
    "Decision",
    "Grant",
    "GrantedInput",
    "Machine",
    "Release",
    "ReleaseRequest",
    "RunOutcome",
    "RunOutput",
    "RunRecord",
    "RunStatement",
    "ServiceStart",
    "asset_key_context",
    "decide",
    "enacted_service",
    "grant_context",
    "log_origin",
    "output_key_context",
    "owners_consent",
    "parse_run_id",
    "service_binding",
    "shield_binding",
]
