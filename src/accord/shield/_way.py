# SPDX-License-Identifier: Apache-2.0
"""A running shield's way to the trust service, also where the board moves to another one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from accord.board import Genesis
from accord.client import TrustSession, follow, next_service
from accord.errors import BoardMovedError
from accord.identity import VerifyKey
from accord.release import Handover
from accord.shield._job import Job, open_again, require_key

HOPS = 4
"""Hand-overs followed at once; whoever is sent on more often tries again later."""

R = TypeVar("R")


class Way:
    """Leads to whoever holds the log key now: first the service that released the keys.

    A service that handed the board over names the next one with that very key; the one that it
    named is attested in its turn, and has to have the key that was named.
    """

    def __init__(self, job: Job, log_key: VerifyKey) -> None:
        self._job, self._log_key = job, log_key
        self._kept = ExitStack()
        self._lock = threading.Lock()
        self._moved: tuple[Handover, Genesis] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._kept.close()

    def open(self) -> TrustSession:
        """A new session with the service that is known last; the caller closes it.

        Raises ``GrantError`` where another one answers, CHN and ATT errors.
        """
        with self._lock:
            moved = self._moved
        if moved is None:
            return open_again(self._job, self._log_key)
        handover, genesis = moved
        session = TrustSession.attest(
            handover.url, genesis, channel=self._job.channel, accepted=handover.accepted
        )
        return require_key(session, handover.key)

    def follow(self, session: TrustSession) -> TrustSession:
        """A session with the service that the one of ``session`` named; the caller closes it.

        Raises ``ServiceChangedError``, ``NotHandedOverError``, CHN and ATT errors.
        """
        handover = next_service(session)
        there = follow(session)
        with self._lock:
            self._moved = (handover, session.genesis)
        return there

    def keep(self, session: TrustSession) -> TrustSession:
        """Closes it with the way itself."""
        return self._kept.enter_context(session)

    def asked(self, ask: Callable[[TrustSession], R]) -> R:
        """What ``ask`` gets from the service that has the board now, over a new connection.

        Raises what it raises, and what `open` and `follow` raise.
        """
        session = self.open()
        for _ in range(HOPS):
            with session:
                try:
                    return ask(session)
                except BoardMovedError:
                    there = self.follow(session)
            session = there
        with session:
            return ask(session)
