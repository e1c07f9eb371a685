# SPDX-License-Identifier: Apache-2.0
"""Sessions of the Key Broker protocol: in memory, few, short, and never of a guest's choosing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from accord.errors import KBSBusyError, KBSSessionError
from accord.release import Guest
from accord.service._resources import GUEST_LIFETIME
from accord.service.kbs._jwe import GuestKey
from accord.service.kbs._messages import Hello

MAX_SESSIONS = 1000
"""Most of each kind: an attested one keeps its evidence, some 10 kB."""

_ID_BYTES = 32

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Challenged:
    """A guest that has yet to show evidence."""

    hello: Hello
    nonce: str


@dataclass(frozen=True, slots=True, repr=False)
class Admitted:
    """A guest whose evidence holds; what it may have is decided for each request."""

    guest: Guest
    key: GuestKey


class Sessions(Generic[T]):
    """Things by a name that nobody guesses, for as long as `GUEST_LIFETIME`."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._kept: dict[str, tuple[T, datetime]] = {}

    def keep(self, item: T, *, now: datetime) -> str:
        """The name of a new session. Raises ``KBSBusyError``."""
        # All live equally long, so the oldest end first.
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept[oldest][1] > now:
                break
            del self._kept[oldest]
        if len(self._kept) >= MAX_SESSIONS:
            raise KBSBusyError(limit=MAX_SESSIONS)
        name = self._entropy(_ID_BYTES).hex()
        self._kept[name] = (item, now + GUEST_LIFETIME)
        return name

    def find(self, name: str, *, now: datetime) -> T:
        """Raises ``KBSSessionError``."""
        found = self._kept.get(name)
        if found is None or found[1] <= now:
            raise KBSSessionError
        return found[0]

    def take(self, name: str, *, now: datetime) -> T:
        """`find`, and ends the session. Raises ``KBSSessionError``."""
        found = self.find(name, now=now)
        del self._kept[name]
        return found
