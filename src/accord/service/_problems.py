# SPDX-License-Identifier: Apache-2.0
"""Which HTTP status an error has; where nothing is said here, its class of outcome decides."""

from __future__ import annotations

from starlette.responses import Response

from accord.channel import MEDIA_TYPE, to_problem
from accord.encoding import canonical_json
from accord.errors import (
    AccordError,
    AlreadyClaimedError,
    BoardMovedError,
    DuplicateStatementError,
    ExecutionStoppedError,
    HeaderTooLargeError,
    HTTPVersionError,
    IdempotencyKeyBusyError,
    LogForkError,
    MediaTypeError,
    MethodNotAllowedError,
    NoRecoveryPlanError,
    NoSuchRouteError,
    NotCosignedError,
    NotHandedOverError,
    NotRecoveringError,
    NotWriterError,
    PreconditionFailedError,
    PreconditionRequiredError,
    ProposalClosedError,
    RequestRefusedError,
    ServiceBusyError,
    SlowRequestError,
    StaleStatementError,
    StoreConflictError,
    StoreUnavailableError,
    TooManyRequestsError,
    UnknownBoardError,
    UnknownProposalError,
)
from accord.service._discreet import discreet

_STATUS: dict[type[AccordError], int] = {
    RequestRefusedError: 401,
    UnknownBoardError: 404,
    UnknownProposalError: 404,
    NoSuchRouteError: 404,
    NoRecoveryPlanError: 404,
    NotHandedOverError: 404,
    NotRecoveringError: 404,
    MethodNotAllowedError: 405,
    SlowRequestError: 408,
    AlreadyClaimedError: 409,
    DuplicateStatementError: 409,
    IdempotencyKeyBusyError: 409,
    ProposalClosedError: 409,
    StaleStatementError: 409,
    StoreConflictError: 409,
    PreconditionFailedError: 412,
    MediaTypeError: 415,
    ExecutionStoppedError: 423,
    PreconditionRequiredError: 428,
    TooManyRequestsError: 429,
    HeaderTooLargeError: 431,
    NotWriterError: 421,
    BoardMovedError: 421,
    LogForkError: 503,
    NotCosignedError: 503,
    StoreUnavailableError: 503,
    HTTPVersionError: 505,
}

RETRY_BUSY_S = 1

_CLOSING = frozenset({400, 408, 413, 431, 505})
"""After these the rest of what the peer sends means nothing."""


def status_of(error: AccordError) -> int:
    """The HTTP status of an error."""
    return _STATUS.get(type(error), to_problem(error)[0])


def problem(error: AccordError) -> Response:
    """The answer to a request that is refused."""
    _, document = to_problem(discreet(error))
    status = status_of(error)
    reply = Response(canonical_json({**document, "status": status}), status, media_type=MEDIA_TYPE)
    if isinstance(error, RequestRefusedError):
        reply.headers["WWW-Authenticate"] = "Accord"
    elif isinstance(error, MethodNotAllowedError):
        reply.headers["Allow"] = str(error.details["allowed"])
    elif isinstance(error, TooManyRequestsError):
        reply.headers["Retry-After"] = str(error.details["seconds"])
    elif isinstance(error, ServiceBusyError):
        reply.headers["Retry-After"] = str(RETRY_BUSY_S)
    if status in _CLOSING:
        reply.headers["Connection"] = "close"
    return reply
