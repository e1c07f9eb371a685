# SPDX-License-Identifier: Apache-2.0
"""A board with witnesses, services under a lease, and a trust service that anybody may roll back.

The witnesses are one honest quorum: it cosigns a log only if that continues what it cosigned
last. Everything else is up to an adversary, who copies disks and keeps old processes running.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from accord.encoding import Digest, Envelope, base64_encode
from accord.errors import ReservationError, UsesExhaustedError
from accord.identity import Statement, sign_statement, statement_kind
from accord.ledger import Entry
from accord.policy import Assurance
from accord.release import (
    AssetUse,
    Machine,
    Release,
    Reserved,
    ServiceStart,
    UseReservation,
    next_reservation,
    owners_consent,
)
from tests.support.board import (
    NOW,
    Person,
    World,
    digest,
    policy_json,
    seed,
    service_json,
    terms,
)

TTL_S = 60
SERVICES = ("train", "score")


def witnesses_json(number: int = 1) -> dict[str, Any]:
    """Independent witnesses, all of which must cosign."""
    return {
        "quorum": number,
        "faulty": 0,
        "witnesses": [
            {
                "name": f"witness-{at}",
                "group": f"group-{at}",
                "key": base64_encode(Person.of(f"witness-{at}").signer.verify_key.raw),
                "url": f"http://127.0.0.1:{9000 + at}",
            }
            for at in range(number)
        ],
    }


def leased(max_uses: int = 3, ttl_s: int = TTL_S, **service: Any) -> dict[str, Any]:
    """A policy with two services that use the same assets."""
    return policy_json(
        freshness={"mode": "lease", "max_uses": max_uses, "ttl_s": ttl_s},
        services={name: service_json(**service) for name in SERVICES},
    )


def witnessed_world(
    document: Any = None, *, uses: int = 5, machine: type[Machine] = Machine
) -> World:
    """Started, with assets that may be used ``uses`` times, and the policy in force."""
    world = World.founded(freshness="witnessed", witnesses=witnesses_json())
    world = World(machine.found(world.log[0]), world.log)
    world.start()
    for name in ("ann/records", "lab/code"):
        world.offer(name, terms=terms(max_uses=uses))
    world.enact_policy(document or leased())
    return world


def reservation_of(world: World, service: str = "train", **changes: Any) -> UseReservation:
    """The next one that the trust service would make."""
    machine = world.machine
    reservation = next_reservation(
        machine.board,
        machine.uses,
        machine.reservations.get(("train", service)),
        policy="train",
        service=service,
        boot=machine.started[-1][0].boot_nonce,
        now=world.time,
    )
    return replace(reservation, **changes)


def reserve(world: World, service: str = "train", **changes: Any) -> Reserved:
    body = reservation_of(world, service, **changes).to_json()
    world.say("use-reservation", body, world.service.signer)
    return world.machine.reservations["train", service]


def release_of(
    machine: Machine, *, number: int, service: str, now: datetime, **changes: Any
) -> Release:
    """The next release of a service: from its reservation if ``reserved`` is given."""
    reserved = changes.pop("reserved", None)
    policy = machine.board.policies["train"][-1]
    uses: tuple[AssetUse, ...] = owners_consent(
        machine.board,
        machine.uses if reserved is None else reserved.counted,
        policy=policy,
        service=policy.services[service],
        assurance=Assurance.SIMULATED,
        now=now,
    )
    release = Release(
        board=machine.board.board,
        run="run-" + seed(f"run {number}").hex()[:32],
        policy="train",
        policy_digest=policy.digest,
        service=service,
        keyset=Person.of("shield").keyset(),
        nonce=seed(f"nonce {number}"),
        evidence=digest("evidence"),
        assurance=Assurance.SIMULATED,
        result={},
        uses=uses,
        reservation=None if reserved is None else reserved.digest,
    )
    return replace(release, **changes)


def release(world: World, service: str = "train", **changes: Any) -> Release:
    """Recorded as the next entry, from the reservation of its service unless told otherwise."""
    changes.setdefault("reserved", world.machine.reservations.get(("train", service)))
    made = release_of(world.machine, number=world.runs, service=service, now=world.time, **changes)
    world.say("release", made.to_json(), world.service.signer)
    world.runs += 1
    return made


_FOUNDED: dict[tuple[str, int, int], World] = {}


def _founded(machine: type[Machine], count: int, uses: int) -> World:
    """A copy of a board that is the same each time."""
    key = (machine.__name__, count, uses)
    if key not in _FOUNDED:
        _FOUNDED[key] = witnessed_world(leased(max_uses=count), uses=uses, machine=machine)
    return deepcopy(_FOUNDED[key])


# --- an adversary's view ---------------------------------------------------------------------


@dataclass
class Process:
    """One start of the trust service: its log so far, and how much of it witnesses have seen."""

    world: World
    confirmed: int = 0
    waiting: list[Release] = field(default_factory=list)
    """Releases that need witnesses, and have not left."""

    @property
    def is_open(self) -> bool:
        """Nothing leaves before its own start is cosigned."""
        return self.world.machine.started[-1][1] < self.confirmed


@dataclass(frozen=True)
class Left:
    """A release that left the trust service, and what it took from."""

    release: Release
    at: datetime
    taken_from: Reserved | None


class Adversary:
    """Everything that whoever owns disk and machine can do, and what must hold nevertheless."""

    def __init__(self, machine: type[Machine] = Machine, *, count: int = 3, uses: int = 5) -> None:
        first = _founded(machine, count, uses)
        self.count, self.uses = count, uses
        self.seen: list[Entry] = list(first.log)
        """The log as the witnesses cosigned it last."""

        self.processes = [Process(first, len(first.log))]
        self.left: list[Left] = []
        self.time = NOW
        self.starts = self.runs = 0

    # --- what the service does -------------------------------------------------------------

    def reserve(self, process: Process, service: str) -> None:
        process.world.time = self.time
        try:
            reserve(process.world, service)
        except UsesExhaustedError:
            return  # Others have what there is.

    def confirm(self, process: Process) -> None:
        """The witnesses cosign exactly what continues the log that they know."""
        log = process.world.log
        if log[: len(self.seen)] != self.seen:
            return
        self.seen, process.confirmed = list(log), len(log)
        if process.is_open:
            self.left += [Left(item, self.time, None) for item in process.waiting]
            process.waiting.clear()

    def release(self, process: Process, service: str) -> None:
        """From its reservation, once that is cosigned: it leaves at once."""
        reserved = process.world.machine.reservations.get(("train", service))
        if reserved is None or not process.is_open or reserved.index >= process.confirmed:
            return
        made = self._record(process, service, reserved)
        if made is not None:
            self.left.append(Left(made, self.time, reserved))

    def release_strictly(self, process: Process, service: str) -> None:
        """It leaves when its own entry is cosigned."""
        made = self._record(process, service, None)
        if made is not None:
            process.waiting.append(made)

    def _record(self, process: Process, service: str, reserved: Reserved | None) -> Release | None:
        process.world.time, process.world.runs = self.time, self.runs
        try:
            made = release(process.world, service, reserved=reserved)
        except (ReservationError, UsesExhaustedError):
            return None
        self.runs += 1
        return made

    # --- what the adversary does -----------------------------------------------------------

    def boot(self, process: Process, size: int) -> None:
        """Another start, from the first ``size`` entries of that one's disk; both go on."""
        log = process.world.log[:size]
        machine = type(process.world.machine).found(log[0])
        for entry in log[1:]:
            machine.apply(entry)
        world = World(machine, log, time=self.time)
        self.starts += 1
        start = ServiceStart(
            world.board, seed(f"boot {self.starts}"), world.keyset, digest("service evidence")
        )
        world.say("service-start", start.to_json(), world.service.signer)
        self.processes.append(Process(world))

    def wait(self, seconds: int) -> None:
        self.time += timedelta(seconds=seconds)

    # --- what must hold --------------------------------------------------------------------

    def check(self) -> None:
        """Whatever happened: limits hold on all branches together, and losses are bounded."""
        used = Counter(use.offer for item in self.left for use in item.release.uses)
        assert all(number <= self.uses for number in used.values()), "owners' limit exceeded"
        per_reservation = Counter[Digest]()
        in_a_life: dict[tuple[bytes, str], set[Digest]] = {}
        for item in self.lost():
            reserved = item.taken_from
            assert reserved is not None, "a release that waited was lost"
            reservation = reserved.reservation
            per_reservation[reserved.digest] += 1
            in_a_life.setdefault((reservation.boot, reservation.service), set()).add(
                reserved.digest
            )
            made = self.seen[reserved.index]
            assert made.envelope.statement_digest == reserved.digest, "it was never cosigned"
            assert made.time <= item.at < reservation.until, "it left outside its reservation"
            assert reservation.until <= made.time + timedelta(seconds=TTL_S)
            assert per_reservation[reserved.digest] <= reservation.count <= self.count
        assert all(len(found) == 1 for found in in_a_life.values()), "two of one start were lost"

    def lost(self) -> list[Left]:
        """What left and is not in the log that the witnesses know.

        Every log that gets a quorum from now on continues that one; so these are lost unless
        the process that made them is the next to be cosigned.
        """
        known = {entry.envelope.statement_digest for entry in self.seen}
        return [item for item in self.left if _digest_of(item.release) not in known]


def _digest_of(release: Release) -> Digest:
    return sign_statement("release", release.to_json(), []).statement_digest


class NeverVoids(Machine):
    """A mutation: reservations outlive the start that made them."""

    def apply_envelope(self, envelope: Envelope, **kwargs: Any) -> Statement:
        before = dict(self.reservations)
        statement = super().apply_envelope(envelope, **kwargs)
        self.reservations = before | self.reservations
        return statement


class CountsLate(Machine):
    """A mutation: uses are counted as they are taken, not when they are reserved."""

    def apply_envelope(self, envelope: Envelope, **kwargs: Any) -> Statement:
        uses, before = dict(self.uses), dict(self.reservations)
        if statement_kind(envelope) == "use-reservation":
            self.reservations = {}
            statement = super().apply_envelope(envelope, **kwargs)
            self.uses, self.reservations = uses, before | self.reservations
            return statement
        statement = super().apply_envelope(envelope, **kwargs)
        for key, item in self.reservations.items():
            for use in item.first if item != before.get(key) else ():
                self.uses[use.offer] = self.uses.get(use.offer, 0) + 1
        return statement
