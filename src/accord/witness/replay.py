# SPDX-License-Identifier: Apache-2.0
"""For witnesses that look at what a board's log says before they cosign it."""

from accord.witness._replay import EntrySource, Replay, ServiceSource

__all__ = ["EntrySource", "Replay", "ServiceSource"]
