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
from accord.client._audit import Auditor, Seen, read_objects
from accord.client._backup import (
    BackupHeader,
    backup_key_context,
    reseal_context,
    verify_backup,
)
from accord.client._claim import (
    Founding,
    ServiceClaim,
    ServiceConfig,
    verify_claim,
    verify_config,
)
from accord.client._fork import Resolution
from accord.client._handover import (
    fetch_package,
    follow,
    follow_board,
    hand_over,
    next_service,
)
from accord.client._home import MemberHome
from accord.client._members import (
    import_identity,
    read_identity,
    read_seal_key,
    read_verify_key,
)
from accord.client._offline import Unsigned
from accord.client._recovery import (
    RecoveryOffer,
    SeenRecovery,
    download_backup,
    give_share,
    open_board,
    own_share,
    recovery_offer,
    see_recovery,
)
from accord.client._secrets import deposit_secret, rotate_secret
from accord.client._service import (
    NO_BOARD,
    AttestedService,
    Counter,
    OwnerInfo,
    ServicePins,
)
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
    "Auditor",
    "BackupHeader",
    "Check",
    "Counter",
    "Founding",
    "MemberHome",
    "OwnerInfo",
    "RecoveryOffer",
    "Resolution",
    "Seen",
    "SeenRecovery",
    "ServiceClaim",
    "ServiceConfig",
    "ServicePins",
    "TrustSession",
    "Unsigned",
    "answer_request",
    "backup_key_context",
    "case_of",
    "check_by_program",
    "deposit_secret",
    "download_backup",
    "fetch_package",
    "find_proposal",
    "find_same",
    "find_stop",
    "follow",
    "follow_board",
    "give_share",
    "hand_over",
    "import_identity",
    "issue_token",
    "load_ring_entry",
    "load_tls",
    "next_ballot",
    "next_service",
    "offer_asset",
    "open_board",
    "own_share",
    "proposal_asked_about",
    "propose",
    "read_identity",
    "read_objects",
    "read_seal_key",
    "read_verify_key",
    "recovery_offer",
    "reseal_context",
    "rotate_secret",
    "seal_asset",
    "see_recovery",
    "stop_execution",
    "verify_backup",
    "verify_claim",
    "verify_config",
    "vote",
    "withdraw_asset",
    "withdraw_proposal",
]
