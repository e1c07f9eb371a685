# SPDX-License-Identifier: Apache-2.0
"""The Key Broker protocol of Confidential Containers, in front of one board."""

from accord.service.kbs._broker import KeyBroker

__all__ = ["KeyBroker"]
