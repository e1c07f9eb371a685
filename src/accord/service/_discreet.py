# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the store is its operator's business: callers are told that, not more."""

from __future__ import annotations

import logging

from accord.errors import (
    AccordError,
    StoreBusyError,
    StoreIntegrityError,
    StoreKeyError,
    StoreUnavailableError,
)

_LOG = logging.getLogger("accord.service")

_PRIVATE = (StoreBusyError, StoreIntegrityError, StoreKeyError, StoreUnavailableError)
"""They quote where the store is, and what the database's driver says of it."""

_INSTEAD = "not told here"


def discreet(error: AccordError) -> AccordError:
    """The error as callers may read it; the log of the service has what it leaves out."""
    if not isinstance(error, _PRIVATE):
        return error
    _LOG.error("%s (%s)", error, error.code)
    told = type(error)(**dict.fromkeys(error.fields(), _INSTEAD))
    told.refusal = error.refusal
    return told
