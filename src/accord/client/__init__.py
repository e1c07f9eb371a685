# SPDX-License-Identifier: Apache-2.0
"""Talking to the trust service: it is attested first, and its log is replayed, not believed."""

from accord.client._assets import load_ring_entry, offer_asset, seal_asset, withdraw_asset
from accord.client._claim import (
    Founding,
    ServiceClaim,
    ServiceConfig,
    verify_claim,
    verify_config,
)
from accord.client._home import MemberHome
from accord.client._session import CHANNEL_LEVEL, TrustSession
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
    "CHANNEL_LEVEL",
    "Founding",
    "MemberHome",
    "ServiceClaim",
    "ServiceConfig",
    "TrustSession",
    "find_proposal",
    "find_same",
    "find_stop",
    "issue_token",
    "load_ring_entry",
    "next_ballot",
    "offer_asset",
    "propose",
    "seal_asset",
    "stop_execution",
    "verify_claim",
    "verify_config",
    "vote",
    "withdraw_asset",
    "withdraw_proposal",
]
