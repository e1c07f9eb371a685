# SPDX-License-Identifier: Apache-2.0
"""Digests are written ``sha256:<64 lower-case hex digits>`` everywhere."""

import hashlib
import re
from typing import NewType

from accord.errors import MalformedError

Digest = NewType("Digest", str)
"""A SHA-256 digest in its only spelling, ``sha256:<hex>``."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def sha256(data: bytes) -> Digest:
    """The digest of ``data``."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def parse_digest(text: object, *, what: str) -> Digest:
    """``text`` as a digest. Raises ``MalformedError``."""
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise MalformedError(what=what, detail="expected sha256:<64 lower-case hex digits>")
    return Digest(text)
