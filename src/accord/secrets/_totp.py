# SPDX-License-Identifier: Apache-2.0
"""One-time passwords by time (RFC 6238): SHA-1, six digits, thirty seconds."""

from __future__ import annotations

import hmac
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

from accord.errors import OneTimePasswordError, OneTimePasswordUsedError, SecretValueError

STEP_S = 30
DIGITS = 6
MIN_SECRET = 16
"""Shortest secret, in bytes (RFC 4226, 4, R6)."""

_WINDOW = (-1, 0, 1)
"""A clock may be off, and a person slow, by one step (RFC 6238, 5.2)."""


def totp_step(secret: bytes, code: str, now: datetime, *, last_step: int | None) -> int:
    """The time step that ``code`` is of; to be stored as the next ``last_step``.

    Every step of the window is computed and compared in constant time. How often somebody may
    try is *not* limited here. Raises ``OneTimePasswordError``, ``OneTimePasswordUsedError``
    for a code of ``last_step`` or before, or ``SecretValueError`` for a secret that is too short.
    """
    if len(secret) < MIN_SECRET:
        raise SecretValueError(
            name="of the one-time password", detail=f"it has less than {MIN_SECRET} bytes"
        )
    # SHA-1 as every authenticator app has it; HMAC does not need its collision resistance.
    generator = HOTP(secret, DIGITS, SHA1())  # noqa: S303
    given = code.encode(errors="replace")
    present = int(now.timestamp()) // STEP_S
    steps = [step for step in (present + offset for offset in _WINDOW) if step >= 0]
    matches = [step for step in steps if hmac.compare_digest(generator.generate(step), given)]
    if not matches:
        raise OneTimePasswordError
    unused = [step for step in matches if last_step is None or step > last_step]
    if not unused:
        raise OneTimePasswordUsedError
    return unused[0]
