# SPDX-License-Identifier: Apache-2.0
"""Talking to the trust service: it is attested first, and its log is replayed, not believed."""

from accord.client._approval import Check, answer_request, case_of, proposal_asked_about
from accord.client._approval_server import (
    APPROVAL_PATH,
    ApprovalServer,
    check_by_program,
    load_tls,
)
from accord.client._assets import load_ring_entry, offer_asset, seal_asset, withdraw_asset
from accord.client._claim import (
    Founding,
    ServiceClaim,
    ServiceConfig,
    verify_claim,
    verify_config,
)
from accord.client._home import MemberHome
from accord.client._members import (
    import_identity,
    read_identity,
    read_seal_key,
    read_verify_key,
)
from accord.client._offline import Unsigned
from accord.client._secrets import deposit_secret, rotate_secret
from accord.client._service import NO_BOARD, AttestedService, OwnerInfo, ServicePins
from accord.client._session import TrustSession
from accord.client._votes import (
    find_proposal,
    find_same,
    find_stop,
    issue_token,
    next_ballot,
    propose,
    stop_execution,
    vote,
    withdraw_proposal,
)

__all__ = [
    "APPROVAL_PATH",
    "NO_BOARD",
    "ApprovalServer",
    "AttestedService",
    "Check",
    "Founding",
    "MemberHome",
    "OwnerInfo",
    "ServiceClaim",
    "ServiceConfig",
    "ServicePins",
    "TrustSession",
    "Unsigned",
    "answer_request",
    "case_of",
    "check_by_program",
    "deposit_secret",
    "find_proposal",
    "find_same",
    "find_stop",
    "import_identity",
    "issue_token",
    "load_ring_entry",
    "load_tls",
    "next_ballot",
    "offer_asset",
    "proposal_asked_about",
    "propose",
    "read_identity",
    "read_seal_key",
    "read_verify_key",
    "rotate_secret",
    "seal_asset",
    "stop_execution",
    "verify_claim",
    "verify_config",
    "vote",
    "withdraw_asset",
    "withdraw_proposal",
]
