# SPDX-License-Identifier: Apache-2.0
"""`crash_model`, where boards are also recovered under new keys, and members resolve a fork.

What a witness answers and remembers is decided by the product's witness and its store. Its
examiner reads words instead of entries: what they have to say is tested with real boards.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

from accord.board import WitnessPolicy
from accord.encoding import sha256
from accord.errors import AccordError, ReplayRefusedError
from accord.identity import KeySigner, VerifyKey
from accord.ledger import AddCheckpoint, Checkpoint, cosignatures, sign_checkpoint
from accord.release import log_origin
from accord.witness import Head, WatchedLog, Witness, WitnessKey, WitnessStore
from accord.witness._head import earlier_origin, signed_note
from accord.witness._store import _FORMER_TABLE, _TABLE
from tests.support.crash_model import GENESIS, Found, Log, key_of, search, tree_of

BOARD = sha256(b"the board of this model")
VOTE, FORGED = "vote", "forged"

Vote = tuple[Log, Log] | None
"""What the members decided, if they did: the history that survives, and the abandoned one."""

Kept = tuple[tuple[Log, bool], ...]
"""By name of the log, what a witness cosigned last, and whether it retired the name."""


def signer_of(log: Log) -> KeySigner:
    """Whose the log is: each recovery begins with another key; a forger has one as well."""
    if FORGED in log:
        return key_of(999)
    recovered = [word.removeprefix("recover") for word in log if word.startswith("recover")]
    return key_of(1000 + int(recovered[-1])) if recovered else key_of(1000)


def origin_of(log: Log) -> str:
    return log_origin(BOARD, log.count(VOTE))


@cache
def note_of(log: Log) -> bytes:
    origin = origin_of(log)
    head = Checkpoint(origin, len(log), tree_of(log).root())
    return sign_checkpoint(head, name=origin, signer=signer_of(log))


# --- one witness --------------------------------------------------------------------------------


class Store(WitnessStore):
    """The product's store, in memory."""

    def __init__(self, kept: Kept) -> None:  # Instead of opening a file.
        self.path, self._lock, self._failed = Path("memory"), threading.Lock(), False
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.execute(_TABLE)
        self._db.execute(_FORMER_TABLE)
        for generation, (last, retired) in enumerate(kept):
            origin = log_origin(BOARD, generation)
            log = WatchedLog(
                *(origin, origin, signer_of(last).verify_key, BOARD, "https://a.example"),
                size=len(last),
                root=tree_of(last).root(),
                note=note_of(last) if last else b"",
            )
            self._put(replace(log, retired=retired))


class Unretiring(Store):
    """It goes on cosigning a log under the name that the members abandoned."""

    def _put(self, log: WatchedLog) -> None:
        super()._put(replace(log, retired=False))


class Reader:
    """Reads the words of the log that it is shown, as `accord.witness.replay` reads entries."""

    def __init__(self, shown: Log, vote: Vote) -> None:
        self._shown, self._vote = shown, vote
        self._key = signer_of(tuple(word for word in shown if word != FORGED)).verify_key

    def signer(self, _log: WatchedLog, head: Head, note: bytes) -> VerifyKey:
        signed_note(note, origin=head.origin, name=head.origin, key=self._key)
        return self._key

    def examine(self, log: WatchedLog, head: Head) -> VerifyKey:
        if FORGED in self._shown or log.key != self._key or head.origin != origin_of(self._shown):
            raise ReplayRefusedError(origin=head.origin, index=0, detail="it is not the log's")
        return self._key

    def successor(
        self, logs: Sequence[WatchedLog], head: Head, note: bytes
    ) -> tuple[WatchedLog, WatchedLog] | None:
        for log in logs:
            if log.origin == earlier_origin(head.origin) and self._vote is not None:
                key = self.signer(log, head, note)
                survivor, abandoned = self._vote
                held = (log.size, log.root)
                tree = tree_of(self._shown)
                goes_on = log.size <= tree.size and tree.root(log.size) == log.root
                if self._shown[: len(survivor)] == survivor and (
                    goes_on or held == (len(abandoned), tree_of(abandoned).root())
                ):
                    origin = head.origin
                    return WatchedLog(origin, origin, key, log.board, log.service), log
        return None

    def close(self) -> None:
        """It holds nothing."""


class Believing(Reader):
    """It takes whatever key signed for the log's."""

    def __init__(self, shown: Log, vote: Vote) -> None:
        super().__init__(shown, vote)
        self._key = signer_of(shown).verify_key

    def examine(self, _log: WatchedLog, _head: Head) -> VerifyKey:
        return self._key


@cache
def asked(
    kept: Kept,
    log: Log,
    vote: Vote,
    store_of: Callable[[Kept], Store],
    reader: Callable[[Log, Vote], Reader],
) -> tuple[bool, Kept]:
    """Whether a witness with this memory cosigns ``log``, and what it remembers then."""
    store, key = store_of(kept), key_of(1)
    witness = Witness(store, WitnessKey("w0", key), clock=lambda: 7, examiner=reader(log, vote))
    cosigned = False
    for old in sorted({0, *(len(last) for last, _ in kept if len(last) <= len(log))}):
        request = AddCheckpoint(old, tree_of(log).consistency_proof(old), note_of(log))
        try:
            line = witness.add_checkpoint(request.to_bytes())
        except AccordError:
            continue
        known = cosignatures(note_of(log) + line.encode(), {"w0": key.verify_key})
        cosigned = cosigned or set(known) == {"w0"}
    lasts = dict(enumerate(last for last, _ in kept))
    if cosigned:
        lasts[log.count(VOTE)] = log
    found = {item.origin: item.retired for item in store.logs()}
    store.close()
    names = [log_origin(BOARD, generation) for generation in range(len(found))]
    return cosigned, tuple((lasts.get(n, ()), found[name]) for n, name in enumerate(names))


# --- the world ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """How large the world is, and what in it is broken."""

    policy: WitnessPolicy
    lying: int
    boots: int = 2
    recoveries: int = 1
    votes: bool = True
    store: Callable[[Kept], Store] = Store
    reader: Callable[[Log, Vote], Reader] = Reader

    @property
    def honest(self) -> int:
        return len(self.policy.witnesses) - self.lying


@dataclass(frozen=True)
class World:
    """Every service ever started, what members decided, and every honest witness."""

    services: tuple[Log, ...]
    kept: tuple[Kept, ...]
    signed: tuple[frozenset[Log], ...]
    vote: Vote = None


def beginning(rules: Rules) -> World:
    return World((), ((((), False),),) * rules.honest, (frozenset[Log](),) * rules.honest)


def disks(world: World) -> set[Log]:
    """Every disk that ever was."""
    return {GENESIS} | {log[:end] for log in world.services for end in range(2, len(log) + 1)}


def steps(world: World, rules: Rules) -> Iterator[World]:
    """Everything that can happen next."""
    yield from _starts(world, rules)
    yield from _appends(world)
    if rules.votes and world.vote is None:
        for survivor in world.services:
            for abandoned in disks(world) - {survivor[:end] for end in range(len(survivor) + 1)}:
                yield replace(world, vote=(survivor, abandoned))
    forged = {(*log, FORGED) for log in world.services}
    for place, kept in enumerate(world.kept):
        for log in (disks(world) | forged) - world.signed[place] - {GENESIS}:
            vote = world.vote if VOTE in log else None  # Nothing else asks for it.
            cosigned, now = asked(kept, log, vote, rules.store, rules.reader)
            if cosigned or now != kept:
                signed = world.signed[place] | ({log} if cosigned else frozenset())
                yield replace(
                    world,
                    kept=(*world.kept[:place], now, *world.kept[place + 1 :]),
                    signed=(*world.signed[:place], signed, *world.signed[place + 1 :]),
                )


def _starts(world: World, rules: Rules) -> Iterator[World]:
    number = len(world.services) + 1
    if number > rules.boots:
        return
    recovered = sum(f"recover{n}" in log for n, log in enumerate(world.services, 1))
    for disk in disks(world):
        yield replace(world, services=(*world.services, (*disk, f"start{number}")))
        if world.services and recovered < rules.recoveries:
            coming = (*disk, f"recover{number}", f"start{number}")
            yield replace(world, services=(*world.services, coming))


def _appends(world: World) -> Iterator[World]:
    for place, log in enumerate(world.services):
        coming = [] if f"use{place + 1}" in log else [f"use{place + 1}"]
        if world.vote is not None and VOTE not in log:
            coming.append(VOTE)
        for word in coming:
            services = (*world.services[:place], (*log, word), *world.services[place + 1 :])
            yield replace(world, services=services)


def canonical(world: World) -> World:
    """Of worlds that differ in the names of honest witnesses only, one."""
    pairs = sorted(zip(world.kept, world.signed, strict=True), key=lambda p: (p[0], sorted(p[1])))
    return replace(world, kept=tuple(k for k, _ in pairs), signed=tuple(s for _, s in pairs))


# --- the gate -----------------------------------------------------------------------------------


def effects(world: World, rules: Rules) -> set[Log]:
    """What left any service: the log up to each entry whose effect its own gate let go."""
    names = sorted(witness.name for witness in rules.policy.witnesses)
    liars, honest = names[: rules.lying], names[rules.lying :]

    def confirmed(log: Log) -> bool:
        if VOTE in log and not _survives(world, log):
            return False
        pairs = zip(honest, world.signed, strict=True)
        return rules.policy.reached([*liars, *(name for name, signed in pairs if log in signed)])

    found = set[Log]()
    for number, log in enumerate(world.services, 1):
        word = f"use{number}"
        if word in log:
            end = log.index(word) + 1
            if any(confirmed(log[:covered]) for covered in range(end, len(log) + 1)):
                found.add(log[:end])
    return found


def _survives(world: World, log: Log) -> bool:
    return world.vote is not None and log[: len(world.vote[0])] == world.vote[0]


def broken(world: World, rules: Rules) -> bool:
    """Whether effects left on two branches of which members abandoned neither.

    Or an honest witness cosigned what nobody wrote who has the log's key.
    """
    if any(FORGED in log for signed in world.signed for log in signed):
        return True

    def abandoned(one: Log, other: Log) -> bool:
        """Members knew of ``one`` when they chose what ``other`` is part of."""
        if world.vote is None or not _survives(world, other):
            return False
        return world.vote[1][: len(one)] == one

    return any(
        one[: len(other)] != other[: len(one)]
        and not (abandoned(one, other) or abandoned(other, one))
        for one, other in combinations(effects(world, rules), 2)
    )


def explore(rules: Rules) -> Found:
    """Looks for a world that is `broken`."""
    return search(
        beginning(rules),
        lambda world: map(canonical, steps(world, rules)),
        lambda world: broken(world, rules),
    )
