# SPDX-License-Identifier: Apache-2.0
"""A small model of lease mode: reservations, releases without a quorum, restarts and clones.

That a quorum confirms one branch only is what `crash_model` shows. Here the witnesses are
therefore one register: the longest log that was confirmed, which only ever grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

GENESIS = "genesis"
Log = tuple[str, ...]


@dataclass(frozen=True)
class Lease:
    """The sizes, and what is broken."""

    max_uses: int
    """What the owners allowed, for all time."""

    count: int
    """What one reservation takes of that at most."""

    boots: int = 2
    reservations: int = 2
    """Of one service, one after the other."""

    bound_to_boot: bool = True
    """Whether only the service that made a reservation can release under it."""

    confirmed_first: bool = True
    """Whether a reservation is confirmed before the first release under it."""

    returned_by_anyone: bool = False
    """Whether what a reservation had left comes back although its service may still run."""


@dataclass(frozen=True)
class World:
    """Every service that ever started, by its log, and the log that the witnesses saw."""

    services: tuple[Log, ...] = ()
    confirmed: Log = (GENESIS,)


@dataclass(frozen=True)
class Reservation:
    """One in a log: by which start, how many uses, and how many of them are in that log."""

    name: str
    boot: str
    count: int
    used: int = 0


def read(log: Log, lease: Lease) -> tuple[int, Reservation | None]:
    """How many uses ``log`` counts, and the reservation that it leaves."""
    spent, boot, current = 0, "", None
    for entry in log:
        kind, _, detail = entry.partition(":")
        if kind == "start":
            boot = detail
            current = current if not lease.bound_to_boot else None
            if lease.returned_by_anyone:
                spent, current = spent - _left(current or _last(log, entry)), None
        elif kind == "reserve":
            spent -= _left(current)
            name, _, count = detail.partition("=")
            spent += int(count)
            current = Reservation(name, boot, int(count))
        elif kind == "use" and current is not None:
            current = replace(current, used=current.used + 1)
    return spent, current


def _left(current: Reservation | None) -> int:
    return 0 if current is None else current.count - current.used


def _last(log: Log, before: str) -> Reservation | None:
    """The reservation that stands right before an entry, whoever made it."""
    found = None
    for entry in log[: log.index(before)]:
        kind, _, detail = entry.partition(":")
        if kind == "reserve":
            name, _, count = detail.partition("=")
            found = Reservation(name, "", int(count))
        elif kind == "use" and found is not None:
            found = replace(found, used=found.used + 1)
    return found


def steps(world: World, lease: Lease) -> Iterator[World]:
    """Everything that can happen next."""
    number = len(world.services) + 1
    if number <= lease.boots:
        for disk in disks(world) | {(GENESIS,)}:
            yield replace(world, services=(*world.services, (*disk, f"start:{number}")))
    for place, log in enumerate(world.services):
        for entry in (*_reserves(log, place + 1, lease), *_releases(world, log, lease)):
            services = (*world.services[:place], (*log, entry), *world.services[place + 1 :])
            yield replace(world, services=services)
    for log in disks(world):
        if len(log) > len(world.confirmed) and log[: len(world.confirmed)] == world.confirmed:
            yield replace(world, confirmed=log)


def disks(world: World) -> set[Log]:
    return {log[:end] for log in world.services for end in range(2, len(log) + 1)}


def _reserves(log: Log, number: int, lease: Lease) -> Iterator[str]:
    made = sum(entry.startswith(f"reserve:{number}.") for entry in log)
    spent, current = read(log, lease)
    possible = min(lease.count, lease.max_uses - spent + _left(current))
    if made < lease.reservations and possible > 0:
        yield f"reserve:{number}.{made + 1}={possible}"


def _releases(world: World, log: Log, lease: Lease) -> Iterator[str]:
    _, current = read(log, lease)
    if current is None or not _left(current):
        return
    made = next(i for i, entry in enumerate(log) if entry.startswith(f"reserve:{current.name}="))
    covered = len(world.confirmed) > made and world.confirmed[: made + 1] == log[: made + 1]
    if covered or not lease.confirmed_first:
        boot = next(entry for entry in reversed(log) if entry.startswith("start:"))
        yield f"use:{current.name}.{current.used + 1}@{boot.removeprefix('start:')}"


def released(world: World) -> set[str]:
    """Every release that ever left, by reservation, number and service."""
    return {entry for log in world.services for entry in log if entry.startswith("use:")}


def missing(world: World) -> dict[str, int]:
    """By reservation, the releases of which the witnessed log does not know."""
    found: dict[str, int] = {}
    for use in released(world) - set(world.confirmed):
        name = use.removeprefix("use:").rpartition("@")[0].rpartition(".")[0]
        found[name] = found.get(name, 0) + 1
    return found
