# SPDX-License-Identifier: Apache-2.0
"""Reservations of uses: made when a release needs one, cosigned before the first leaves."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from accord.encoding import Digest
from accord.errors import ReservationError
from accord.release import Reserved, next_reservation
from accord.service._host import BoardHost
from accord.service._parts import Parts

TRIES = 8
"""Reservations that one release waits for, where others take all of each, or it ends too soon."""


class Reservations:
    """What this process has reserved, on the boards that it writes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns: WeakValueDictionary[tuple[Digest, str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )

    def find(self, host: BoardHost, policy: str, service: str) -> Reserved | None:
        """The reservation from which a release of that service can leave at once.

        Raises ``LogForkError``.
        """
        reserved = self._own(host, policy, service)
        if reserved is None or host.cosigning.size <= reserved.index:
            return None
        host.cosigning.require_no_fork()
        return reserved

    def _own(self, host: BoardHost, policy: str, service: str) -> Reserved | None:
        """The one of this very start, cosigned or not, if it has anything left."""
        reserved = host.machine.reservations.get((policy, service))
        if reserved is None or host.start is None or reserved.index < host.start:
            return None
        return reserved if reserved.why_not(host.machine.board, host.now()) is None else None

    async def take(self, host: BoardHost, policy: str, service: str) -> Reserved:
        """What a release that is staged at once may take from.

        That the requester is one that the policy names must be known: whatever is reserved and
        not taken is lost to the owners when the service starts again. Raises REL errors,
        ``NotCosignedError`` or ``LogForkError``.
        """
        found = self.find(host, policy, service)
        if found is not None:
            return found
        turn = self._turns.setdefault((host.board, policy, service), asyncio.Lock())
        async with turn:
            for _ in range(TRIES):
                # Whoever had the turn before has reserved for all who wait.
                found = self.find(host, policy, service)
                if found is not None:
                    return found
                await self._reserve(host, policy, service)
        raise ReservationError(
            service=service, detail="it ends, or is used up, before the witnesses have cosigned it"
        )

    async def _reserve(self, host: BoardHost, policy: str, service: str) -> None:
        pending = self._own(host, policy, service)
        if pending is not None:
            await host.confirmed(pending.index)
            return
        await host.opened()
        machine = host.machine
        reservation = next_reservation(
            machine.board,
            machine.uses,
            machine.reservations.get((policy, service)),
            policy=policy,
            service=service,
            boot=machine.started[-1][0].boot_nonce,
            now=host.now(),
        )
        index = host.stage(self._parts.sign("use-reservation", reservation.to_json()))
        await host.confirmed(index)


async def may_leave(host: BoardHost, index: int, reserved: Reserved | None) -> None:
    """Returns once the release in entry ``index`` may leave.

    One that took from a reservation must only be durable, unless the reservation has ended
    meanwhile. Raises as `BoardHost.confirmed` does.
    """
    if reserved is not None:
        await host.settled()
        host.cosigning.require_no_fork()
        if host.now() < reserved.reservation.until:
            return
    await host.confirmed(index)
