# SPDX-License-Identifier: Apache-2.0
"""How often somebody may try a one-time password (RFC 4226, section 7.3)."""

from __future__ import annotations

from datetime import datetime

from accord.encoding import Digest
from accord.errors import OneTimePasswordError, OneTimePasswordLockedError
from accord.secrets import totp_step

MAX_WRONG = 5
"""Most wrong passwords that are looked at within one time step, for one secret of a board."""

STEP_S = 30
"""How long one password lasts."""


class Guesses:
    """Counts wrong passwords. They are forgotten at a restart, which nobody far away can cause."""

    def __init__(self) -> None:
        self._wrong: dict[tuple[Digest, str], tuple[int, int]] = {}
        """By board and secret: the last time step with a wrong password, and how many it had."""

    def step(
        self,
        board: Digest,
        name: str,
        *,
        secret: bytes,
        password: str,
        now: datetime,
        last: int | None,
    ) -> int:
        """`totp_step`, unless there were too many wrong ones: then even the right one is refused.

        Raises ``OneTimePasswordLockedError``, or what `totp_step` raises.
        """
        present, key = int(now.timestamp()) // STEP_S, (board, name)
        step, wrong = self._wrong.get(key, (present, 0))
        wrong = wrong if step == present else 0
        if wrong >= MAX_WRONG:
            raise OneTimePasswordLockedError
        try:
            return totp_step(secret, password, now, last_step=last)
        except OneTimePasswordError:
            self._wrong[key] = present, wrong + 1
            raise
