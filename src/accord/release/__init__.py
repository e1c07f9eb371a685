# SPDX-License-Identifier: Apache-2.0
"""Attest, then release: requests, the gate, the log's state machine, run statements."""

from accord.release._challenges import Challenges
from accord.release._consent import enacted_service, owners_consent, used_assets
from accord.release._documents import (
    LOG_NAME,
    NONCE_BYTES,
    TOKEN_BYTES,
    LeaseRequest,
    ReleaseRequest,
    ServiceStart,
    ballot_binding,
    exchange_binding,
    lease_binding,
    log_origin,
    parse_run_id,
    service_binding,
    shield_binding,
)
from accord.release._gate import (
    Attested,
    CheckPassword,
    Decision,
    attest_requester,
    decide,
    renew,
)
from accord.release._grant import (
    ASSET_KEY_PURPOSE,
    EXPORT_PURPOSE,
    GRANT_PURPOSE,
    OUTPUT_KEY_PURPOSE,
    Grant,
    GrantedInput,
    Lease,
    Refusal,
    asset_key_context,
    grant_context,
    output_key_context,
)
from accord.release._machine import Machine, RunRecord
from accord.release._records import AssetUse, Release, Renewal, SecretUse
from accord.release._run import RunOutcome, RunOutput, RunStatement
from accord.release._secret_uses import exporting_policy, referenced_secrets, secret_uses

__all__ = [
    "ASSET_KEY_PURPOSE",
    "EXPORT_PURPOSE",
    "GRANT_PURPOSE",
    "LOG_NAME",
    "NONCE_BYTES",
    "OUTPUT_KEY_PURPOSE",
    "TOKEN_BYTES",
    "AssetUse",
    "Attested",
    "Challenges",
    "CheckPassword",
    "Decision",
    "Grant",
    "GrantedInput",
    "Lease",
    "LeaseRequest",
    "Machine",
    "Refusal",
    "Release",
    "ReleaseRequest",
    "Renewal",
    "RunOutcome",
    "RunOutput",
    "RunRecord",
    "RunStatement",
    "SecretUse",
    "ServiceStart",
    "asset_key_context",
    "attest_requester",
    "ballot_binding",
    "decide",
    "enacted_service",
    "exchange_binding",
    "exporting_policy",
    "grant_context",
    "lease_binding",
    "log_origin",
    "output_key_context",
    "owners_consent",
    "parse_run_id",
    "referenced_secrets",
    "renew",
    "secret_uses",
    "service_binding",
    "shield_binding",
    "used_assets",
]
