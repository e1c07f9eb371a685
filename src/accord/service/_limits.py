# SPDX-License-Identifier: Apache-2.0
"""How much one caller may ask: token buckets, and requests that are being answered."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accord.errors import ServiceBusyError, TooManyRequestsError

MAX_BUCKETS = 10_000
"""Callers remembered at once: about 2 MB. Who was not heard of for longest is forgotten first."""

BURST_S = 2
"""A bucket holds what may be asked in so many seconds."""

V6_PREFIX = 64
"""Bits of an IPv6 address that one customer of a network has to himself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the service does for one caller, and for all of them at once."""

    requests_per_s: int
    """Of one address, and of one board. Half of it for requests that nobody signed, or for the
    requests that one key signed."""

    per_address: int = 128
    """Requests of one address that are answered at the same time."""

    in_all: int = 512
    body_s: float = 30.0
    """How long a body may take; a header, a third of that."""

    max_header: int = 16 << 10
    max_fields: int = 64


class Buckets:
    """A token bucket for each caller; full at first, and again after a while of silence."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.per_s = per_s
        self._level: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        """By caller, how full the bucket was, and when."""

    def take(self, caller: Hashable) -> None:
        """Takes one token. Raises ``TooManyRequestsError`` where there is none."""
        now, most = self._clock(), self.per_s * BURST_S
        level, then = self._level.pop(caller, (most, now))
        level = min(most, level + (now - then) * self.per_s)
        self._level[caller] = (level - 1 if level >= 1 else level, now)
        if len(self._level) > MAX_BUCKETS:
            self._level.popitem(last=False)
        if level < 1:
            wait = math.ceil((1 - level) / self.per_s) if self.per_s else 1
            raise TooManyRequestsError(who="this caller", seconds=max(wait, 1))


class Governor:
    """Decides whether a request is answered at all."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._addresses = Buckets(0, clock)
        self._strangers = Buckets(0, clock)
        self._boards = Buckets(0, clock)
        self._keys = Buckets(0, clock)
        self._running: Counter[Hashable] = Counter()
        self._total = 0
        self.allow(limits.requests_per_s)

    def allow(self, requests_per_s: int) -> None:
        """Sets the rates, as the service's owner wishes."""
        self._addresses.per_s = self._boards.per_s = requests_per_s
        self._strangers.per_s = self._keys.per_s = requests_per_s / 2

    @contextmanager
    def admitted(self, address: str) -> Iterator[None]:
        """Raises ``TooManyRequestsError`` or ``ServiceBusyError``."""
        caller = neighbourhood(address)
        if self._total >= self.limits.in_all:
            raise ServiceBusyError(limit=self.limits.in_all)
        if self._running[caller] >= self.limits.per_address:
            raise TooManyRequestsError(who="this address", seconds=1)
        self._addresses.take(caller)
        self._running[caller] += 1
        self._total += 1
        try:
            yield
        finally:
            self._total -= 1
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]

    def stranger(self, address: str) -> None:
        """Counts a request that needs no signature. Raises ``TooManyRequestsError``."""
        self._strangers.take(neighbourhood(address))

    def board(self, board: str) -> None:
        """Counts a request about a board that is there. Raises ``TooManyRequestsError``."""
        self._boards.take(board)

    def key(self, key: str) -> None:
        """Counts a request that the key has signed. Raises ``TooManyRequestsError``."""
        self._keys.take(key)


def neighbourhood(address: str) -> Hashable:
    """Who is meant by an address: of IPv6, whoever has the network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed
    if parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return int(parsed) >> (parsed.max_prefixlen - V6_PREFIX)
