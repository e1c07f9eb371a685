# SPDX-License-Identifier: Apache-2.0
"""Errors on the wire: problem details (RFC 9457), rebuilt as the same class at the other end."""

from __future__ import annotations

from accord.encoding import JSONValue, base64_decode, base64_encode
from accord.errors import (
    AccordError,
    ExitCode,
    MalformedError,
    ReplyError,
    TooLargeError,
    catalogue,
)

MEDIA_TYPE = "application/problem+json"

_STATUS = {
    ExitCode.FAILURE: 500,
    ExitCode.USAGE: 400,
    ExitCode.NOT_VERIFIED: 422,
    ExitCode.DENIED: 403,
    ExitCode.UNREACHABLE: 503,
    ExitCode.PENDING: 409,
    ExitCode.INTEGRITY: 500,
}


def to_problem(error: AccordError) -> tuple[int, JSONValue]:
    """The HTTP status of an error, and its problem document."""
    status = 413 if isinstance(error, TooLargeError) else _STATUS[error.exit_code]
    problem: dict[str, JSONValue] = {
        "type": f"urn:accord:error:{error.code}",
        "title": str(error),
        "status": status,
        "code": error.code,
        "hint": error.hint,
        "details": {name: str(error.details[name]) for name in error.fields()},
    }
    if error.refusal is not None:
        problem["refusal"] = base64_encode(error.refusal)
    return status, problem


def from_problem(document: JSONValue) -> AccordError:
    """The error that a problem document describes; a `ReplyError` if we do not know it.

    Its `refusal` is *not* verified here.
    """
    try:
        cls, details = catalogue()[document["code"]], document["details"]
        error = cls(**{name: _plain(details[name]) for name in cls.fields()})
        if "refusal" in document:
            error.refusal = base64_decode(document["refusal"], what="refusal")
    except (KeyError, TypeError, MalformedError):
        return ReplyError(detail="an error that this version does not know")
    return error


def _plain(value: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(value))[:4096]
