# SPDX-License-Identifier: Apache-2.0
"""Many shields at once, in processes of their own; and watching what the service holds."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from accord.client import TrustSession
from accord.errors import AccordError
from bench.trust.scene import Place, Shield
from bench.trust.server import Server

PROCESSES = 2
CONNECTIONS = 6
"""Of each process: enough that transactions are shared."""

_NEW_EVERY = 10
"""Every so many releases a shield comes over a new connection, and once nobody knows its policy."""


@dataclass
class Outcome:
    """What shields saw."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    """Refusals that had to be: of a policy that there is not."""

    errors: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.milliseconds += other.milliseconds
        self.refused += other.refused
        self.errors += other.errors


def _visit(place: Place, until: float, pace: float, outcome: Outcome) -> None:
    """One shield after the other until then: as fast as possible, or one every ``pace`` s."""
    try:
        _releases(place, until, pace, outcome)
    except AccordError as exc:
        outcome.errors.append(f"{exc.code} {exc}")


def _releases(place: Place, until: float, pace: float, outcome: Outcome) -> None:
    shield, mixed = place.shield(), pace > 0
    session = shield.connect()
    for number in range(1, 1 << 62):
        start = time.monotonic()
        if start >= until:
            break
        shield.release(session)
        outcome.milliseconds.append((time.monotonic() - start) * 1000)
        if mixed:
            if number % _NEW_EVERY == 0:
                session.__exit__(None, None, None)
                session = shield.connect()
                _be_refused(shield, session, outcome)
            time.sleep(max(0.0, pace - (time.monotonic() - start)))
    session.__exit__(None, None, None)


def _be_refused(shield: Shield, session: TrustSession, outcome: Outcome) -> None:
    try:
        shield.release(session, policy="nobody-s")
        outcome.errors.append("a release without a policy")
    except AccordError:
        outcome.refused += 1


def _process(place: Place, seconds: float, pace: float) -> Outcome:
    """The connections of one process."""
    until = time.monotonic() + seconds
    outcomes = [Outcome() for _ in range(CONNECTIONS)]
    threads = [
        threading.Thread(target=_visit, args=(place, until, pace, outcome)) for outcome in outcomes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Outcome()
    for outcome in outcomes:
        whole.add(outcome)
    return whole


@dataclass
class Watched:
    """An outcome, with what the service used meanwhile."""

    outcome: Outcome
    seconds: float
    cpu_s: float
    memory: list[tuple[float, float]]
    """Seconds since the start, and megabytes."""

    @property
    def per_s(self) -> float:
        return len(self.outcome.milliseconds) / self.seconds

    def growth(self) -> float:
        """Megabytes per minute: the slope through all points after the first quarter."""
        points = self.memory[len(self.memory) // 4 :]
        x = [at / 60 for at, _ in points]
        y = [megabytes for _, megabytes in points]
        mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
        over = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
        return over / sum((a - mean_x) ** 2 for a in x)


def visit(server: Server, place: Place, seconds: float, *, per_s: float = 0) -> Watched:
    """Shields for ``seconds``: as many as the service serves, or ``per_s`` of mixed requests."""
    pace = PROCESSES * CONNECTIONS / per_s if per_s else 0.0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
        for ready in [pool.submit(time.sleep, 1.0) for _ in range(PROCESSES)]:
            ready.result()
        start, used, memory = time.monotonic(), server.cpu_s, []
        running: list[Future[Outcome]] = [
            pool.submit(_process, place, seconds, pace) for _ in range(PROCESSES)
        ]
        while not all(item.done() for item in running):
            memory.append((time.monotonic() - start, server.resident_mb))
            time.sleep(0.5)
        taken, whole = time.monotonic() - start, Outcome()
        for item in running:
            whole.add(item.result())
    return Watched(whole, taken, server.cpu_s - used, memory)
