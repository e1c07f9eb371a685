# SPDX-License-Identifier: Apache-2.0
"""CBOR (RFC 8949) as attestation tokens use it."""

from __future__ import annotations

from accord.encoding import CBORValue, decode_cbor
from accord.errors import EvidenceMalformedError, MalformedError


def read_cbor(data: bytes, *, what: str) -> CBORValue:
    """The one value that ``data`` holds (`accord.encoding.decode_cbor`).

    Raises ``EvidenceMalformedError`` or ``TooLargeError``.
    """
    try:
        return decode_cbor(data, what=what)
    except MalformedError as exc:
        raise EvidenceMalformedError(what=what, detail=exc.details["detail"]) from exc
