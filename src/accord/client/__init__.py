# SPDX-License-Identifier: Apache-2.0
"""Talking to the trust service: it is attested first, and its log is replayed, not believed."""

from accord.client._home import MemberHome, write_whole
from accord.client._session import CHANNEL_LEVEL, TrustSession, replay

__all__ = ["CHANNEL_LEVEL", "MemberHome", "TrustSession", "replay", "write_whole"]
