# SPDX-License-Identifier: Apache-2.0
"""How long one release takes, and how long a policy update keeps the service busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from accord.client import TrustSession
from accord.policy import Channel
from bench.report import median, percentile
from bench.trust.scene import Members, Place, Shield
from bench.trust.server import Server


@dataclass
class Samples:
    """The whole times of one kind of request, and those of its steps, in milliseconds."""

    totals: list[float] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)

    def take(self, request: Callable[[], Mapping[str, float]]) -> None:
        start = time.perf_counter()
        steps = request()
        self.totals.append((time.perf_counter() - start) * 1000)
        for step, taken in steps.items():
            self.steps.setdefault(step, []).append(taken)

    def at(self, fraction: float) -> float:
        return percentile(self.totals, fraction) if self.totals else 0.0

    def medians(self) -> dict[str, float]:
        return {step: median(values) for step, values in self.steps.items()}


class Visits:
    """Releases at one service, at both levels, over new connections and over a kept one."""

    def __init__(self, place: Place) -> None:
        self.shields = {level: place.shield(level) for level in (Channel.L1, Channel.L2)}
        self.new = {level: Samples() for level in self.shields}
        self.kept = {level: Samples() for level in self.shields}

    def round(self, count: int) -> None:
        """``count`` of each kind."""
        for level, shield in self.shields.items():
            for _ in range(count):
                self.new[level].take(shield.arrive)
            keep(shield, self.kept[level], count)


def keep(shield: Shield, samples: Samples, count: int) -> None:
    """``count`` releases over one connection; the first one warms it up."""
    with shield.connect() as session:
        shield.release(session)
        for _ in range(count):
            samples.take(lambda: shield.release(session))


@dataclass
class Updates:
    """Policy updates by a proposal and five ballots: processor time of the service, and wall."""

    busy: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def update(server: Server, members: Members, count: int, found: Updates) -> None:
    """``count`` versions of one policy, each enacted with the fifth ballot."""
    name = f"update-{len(found.wall)}"
    predecessor = None
    with TrustSession.attest(server.url, members.genesis) as session:
        for number in range(count):
            policy = members.policy(name, number, predecessor)
            proposal = members.proposal(policy)
            ballots = members.ballots(proposal.statement_digest)
            start, used = time.perf_counter(), server.cpu_s
            session.submit(proposal)
            for ballot in ballots:
                session.submit(ballot)
            found.wall.append((time.perf_counter() - start) * 1000)
            found.busy.append((server.cpu_s - used) * 1000)
            predecessor = policy.digest
