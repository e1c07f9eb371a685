# SPDX-License-Identifier: Apache-2.0
"""Talking to the trust service: it is attested first, and its log is replayed, not believed."""

from accord.client._assets import load_ring_entry, offer_asset, seal_asset, withdraw_asset
from accord.client._home import MemberHome
from accord.client._session import CHANNEL_LEVEL, TrustSession
from accord.client._votes import find_proposal, propose, vote

__all__ = [
    "CHANNEL_LEVEL",
    "MemberHome",
    "TrustSession",
    "find_proposal",
    "load_ring_entry",
    "offer_asset",
    "propose",
    "seal_asset",
    "vote",
    "withdraw_asset",
]
