# SPDX-License-Identifier: Apache-2.0
"""Nonces: 32 bytes, one purpose, one use, a short life."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from accord.encoding import Digest
from accord.errors import NonceError
from accord.evidence import Purpose
from accord.release._documents import NONCE_BYTES

LIFETIME = timedelta(seconds=120)
MAX_OUTSTANDING = 10_000
"""Most nonces remembered at once: 1 MB, and 80 new shields a second."""


class Challenges:
    """The nonces given out and not yet used.

    They live in memory only: after a restart none is known any more, and unknown means no.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._outstanding: dict[bytes, tuple[Digest, Purpose, datetime]] = {}

    def issue(self, board: Digest, purpose: Purpose, *, now: datetime) -> tuple[bytes, datetime]:
        """A new nonce and the moment it dies. Raises ``NonceError`` if too many are out."""
        # All live equally long, so the oldest die first: only the dead are looked at.
        while self._outstanding:
            oldest = next(iter(self._outstanding))
            if self._outstanding[oldest][2] > now:
                break
            del self._outstanding[oldest]
        if len(self._outstanding) >= MAX_OUTSTANDING:
            raise NonceError(detail="too many are waiting to be used; try again in two minutes")
        nonce, end = self._entropy(NONCE_BYTES), now + LIFETIME
        self._outstanding[nonce] = (board, purpose, end)
        return nonce, end

    def consume(self, nonce: bytes, board: Digest, purpose: Purpose, *, now: datetime) -> None:
        """Uses up ``nonce``, also where it then proves unacceptable. Raises ``NonceError``."""
        issued = self._outstanding.pop(nonce, None)
        if issued is None:
            raise NonceError(detail="it was never issued here, or was used before")
        if issued[:2] != (board, purpose):
            raise NonceError(detail="it was issued for another board or purpose")
        if issued[2] <= now:
            raise NonceError(detail="it has expired")
