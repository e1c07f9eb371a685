# SPDX-License-Identifier: Apache-2.0
"""Counters for Prometheus. Their labels are routes, statuses and error codes: no names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from accord.service._host import BoardHost

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

_CLOSED = frozenset({"sealed", "waiting-witness", "halted-fork"})

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What one service counts; kept apart from everything else in the process."""

    def __init__(self, hosts: Callable[[], Iterable[BoardHost]], halted: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Boards(hosts, halted))
        self._requests = Counter(
            "accord_requests", "Requests", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "accord_request_seconds",
            "Time until a request was answered",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._releases = Counter(
            "accord_releases", "Releases, by how they ended", ["outcome"], registry=self._registry
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts a request. ``route`` is a template, ``method`` one that a route has."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def released(self, outcome: str) -> None:
        """Counts a release: ``granted``, or the code of the refusal."""
        self._releases.labels(outcome).inc()

    def text(self) -> bytes:
        """Everything, in the text format."""
        return generate_latest(self._registry)


class _Boards(Collector):
    """What is read off the boards when somebody asks."""

    def __init__(self, hosts: Callable[[], Iterable[BoardHost]], halted: Callable[[], int]) -> None:
        self._hosts, self._halted = hosts, halted

    def describe(self) -> Iterator[Metric]:
        """Nothing is read at registration."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        hosts = list(self._hosts())
        gauges = {
            "accord_boards": ("Boards", len(hosts)),
            "accord_boards_written": ("Boards written here", sum(host.writes for host in hosts)),
            "accord_boards_halted": ("Boards halted", self._halted()),
            "accord_entries": ("Durable entries", sum(host.durable_size for host in hosts)),
            "accord_open_proposals": (
                "Undecided proposals",
                sum(len(host.machine.board.open_proposals) for host in hosts),
            ),
            "accord_boards_closed": (
                "Boards from which nothing leaves until witnesses have seen more",
                sum(host.freshness in _CLOSED for host in hosts if host.writes),
            ),
            "accord_boards_forked": (
                "Boards whose log was forked",
                sum(host.freshness == "halted-fork" for host in hosts),
            ),
            "accord_entries_cosigned": (
                "Entries that a quorum of witnesses has seen",
                sum(host.cosigning.size for host in hosts),
            ),
        }
        for name, (about, value) in gauges.items():
            yield GaugeMetricFamily(name, about, value)
        rounds = [(host.cosigning.rounds, host.cosigning.failures) for host in hosts]
        for name, about, place in (
            ("accord_cosign_rounds", "Rounds of cosignatures", 0),
            ("accord_cosign_failures", "Those without a quorum", 1),
        ):
            yield CounterMetricFamily(name, about, sum(item[place] for item in rounds))
        committed = [host.committed for host in hosts]
        for name, about, place in (
            ("accord_commits", "Transactions of entries", 0),
            ("accord_committed_entries", "Entries in them: their ratio is the batch size", 1),
        ):
            yield CounterMetricFamily(name, about, sum(item[place] for item in committed))
