# SPDX-License-Identifier: Apache-2.0
"""Base64 with exactly one spelling for every byte string (RFC 4648 section 4)."""

import base64
import binascii

from accord.errors import MalformedError


def base64_encode(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def base64_decode(text: str, *, what: str) -> bytes:
    """The bytes of ``text``; a second spelling of the same bytes is refused.

    Python's decoder ignores the unused low bits of the last character, so that flipping one of
    them would go unseen; comparing with the re-encoded text closes that.

    Raises ``MalformedError``.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MalformedError(what=what, detail="not base64") from exc
    if base64_encode(data) != text:
        raise MalformedError(what=what, detail="base64 has non-zero unused bits")
    return data
