# SPDX-License-Identifier: Apache-2.0
"""The channel between a stakeholder and the trust service: pinned TLS, signed reads, problems."""

from accord.channel._problem import MEDIA_TYPE, from_problem, to_problem
from accord.channel._request import SignedRequest, authorise_read
from accord.channel._tls import PinnedContext, TLSIdentity

__all__ = [
    "MEDIA_TYPE",
    "PinnedContext",
    "SignedRequest",
    "TLSIdentity",
    "authorise_read",
    "from_problem",
    "to_problem",
]
