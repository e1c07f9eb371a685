# SPDX-License-Identifier: Apache-2.0
"""The channel between a stakeholder and the trust service: pinned TLS, binders, problems."""

from accord.channel._binder import EXTENSION, Exporter, Side, binder
from accord.channel._problem import MEDIA_TYPE, from_problem, to_problem
from accord.channel._reach import PrivateAddressError, connect, is_public
from accord.channel._request import SignedRequest, authorise_read
from accord.channel._tls import PinnedContext, ServerContext, TLSIdentity

__all__ = [
    "EXTENSION",
    "MEDIA_TYPE",
    "Exporter",
    "PinnedContext",
    "PrivateAddressError",
    "ServerContext",
    "Side",
    "SignedRequest",
    "TLSIdentity",
    "authorise_read",
    "binder",
    "connect",
    "from_problem",
    "is_public",
    "to_problem",
]
