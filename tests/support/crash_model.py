# SPDX-License-Identifier: Apache-2.0
"""A small model of log, witnesses and gate, and a search through everything that can happen.

The operator may do whatever the machine's owner can: start the service from any disk that ever
was, run several at once, show any signed checkpoint to any witness at any time, in any order, or
never. A crash is a service that never acts again; a split, messages that never arrive; a lost
write, an earlier disk. None of them needs a step of its own.

What a witness answers is decided by the product's witness, and what is a quorum by the product's
policy. Logs are words; their trees are the product's trees.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import combinations
from typing import TypeVar, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.board import Witness, WitnessPolicy, required
from accord.encoding import sha256
from accord.errors import AccordError
from accord.identity import KeySigner
from accord.ledger import (
    AddCheckpoint,
    Checkpoint,
    MerkleTree,
    cosignatures,
    leaf_hash,
    sign_checkpoint,
)
from accord.release import log_origin
from accord.witness import WatchedLog, WitnessKey, WitnessStore
from accord.witness import Witness as Daemon

Log = tuple[str, ...]
State = TypeVar("State", bound=Hashable)

GENESIS: Log = ("genesis",)
REPLACE = "replace"


def key_of(number: int) -> KeySigner:
    """The key of one witness, or of the log: the same in every run."""
    return KeySigner(Ed25519PrivateKey.from_private_bytes(number.to_bytes(32)))


@lru_cache
def witnesses(first: int, end: int, quorum: int, faulty: int) -> WitnessPolicy:
    """The product's policy over witnesses ``first`` to before ``end``, each a group.

    Made without the check that 2q - n > f, so that the search can show what it is for.
    """
    return WitnessPolicy(
        tuple(
            Witness(f"w{n}", f"g{n}", key_of(n).verify_key, f"http://127.0.0.1:{9000 + n}")
            for n in range(first, end)
        ),
        quorum,
        faulty,
    )


# --- one witness of the product -----------------------------------------------------------------

ORIGIN = log_origin(sha256(b"the board of this model"))
_LOG_KEY = key_of(1000)


@cache
def tree_of(log: Log) -> MerkleTree:
    tree = MerkleTree()
    for entry in log:
        tree.append(leaf_hash(entry.encode()))
    return tree


@cache
def note_of(log: Log) -> bytes:
    """What the service signs about ``log``; every copy of the service has the log's key."""
    head = Checkpoint(ORIGIN, len(log), tree_of(log).root())
    return sign_checkpoint(head, name=ORIGIN, signer=_LOG_KEY)


class _Kept:
    """What a witness has to remember, in memory."""

    def __init__(self, kept: WatchedLog) -> None:
        self.kept = kept

    def log(self, _origin: str) -> WatchedLog:
        return self.kept

    def change(self, _origin: str, to: Callable[[WatchedLog], WatchedLog]) -> WatchedLog:
        self.kept = to(self.kept)
        return self.kept


class Honest:
    """The product's witness, which cosigned ``last`` before."""

    def __init__(self, name: str, last: Log = ()) -> None:
        self.name, self._signer = name, key_of(int(name[1:]))
        self.forget(last)

    def forget(self, last: Log = ()) -> None:
        """Its disk is set back to when it had cosigned ``last``."""
        self.store = _Kept(
            WatchedLog(
                *(ORIGIN, ORIGIN, _LOG_KEY.verify_key),
                size=len(last),
                root=tree_of(last).root(),
                note=note_of(last) if last else b"",
            )
        )
        store = cast("WitnessStore", self.store)
        self._daemon = Daemon(store, WitnessKey(self.name, self._signer), clock=lambda: 7)

    def cosigns(self, log: Log) -> bool:
        """Whether the operator gets its cosignature under ``log``, with any request at all."""
        note, key = note_of(log), self._signer.verify_key
        for body in _requests(self.store.kept.size, log):
            try:
                line = self._daemon.add_checkpoint(body)
            except AccordError:
                continue
            return set(cosignatures(note + line.encode(), {self.name: key})) == {self.name}
        return False


def _requests(size: int, log: Log) -> Iterator[bytes]:
    """Every old size, with the proof that there is for it and with none."""
    for old in sorted({size, *range(len(log) + 1)}):
        proofs = {(), tree_of(log).consistency_proof(old) if old <= len(log) else ()}
        for proof in proofs:
            yield AddCheckpoint(old, proof, note_of(log)).to_bytes()


@cache
def honest(last: Log, log: Log) -> bool:
    """Whether the product's witness, which cosigned ``last``, cosigns ``log``."""
    return Honest("w0", last).cosigns(log)


# --- the world ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """How large the world is, and what in it is broken."""

    policy: WitnessPolicy
    lying: int
    """The first so many witnesses sign whatever they are shown."""

    accepts: Callable[[Log, Log], bool] = honest
    """Whether an honest witness that signed the first log last signs the second."""

    boots: int = 2
    uses: int = 1
    """Entries with an effect that one service may append."""

    successor: WitnessPolicy | None = None
    """The witnesses after `REPLACE`, which a service may append once, if there are any."""

    forgetful: int = 0
    """So many honest witnesses may be set back to the time before they saw anything."""

    old_quorum_asked: bool = True
    """Whether the witnesses that are replaced must have seen that."""

    @property
    def names(self) -> frozenset[str]:
        after = () if self.successor is None else self.successor.witnesses
        return frozenset(witness.name for witness in (*self.policy.witnesses, *after))

    @property
    def honest(self) -> tuple[str, ...]:
        return tuple(sorted(self.names)[self.lying :])


@dataclass(frozen=True)
class Memory:
    """One honest witness: what it remembers to have signed last, and all that it ever signed."""

    last: Log = ()
    signed: frozenset[Log] = frozenset()


@dataclass(frozen=True)
class World:
    """Every service ever started, by its log, and every honest witness."""

    services: tuple[Log, ...]
    memories: tuple[Memory, ...]


def beginning(rules: Rules) -> World:
    return World((), (Memory(),) * len(rules.honest))


@lru_cache(maxsize=4096)
def prefixes(services: tuple[Log, ...]) -> frozenset[Log]:
    """Every disk that ever was, but for the one before the first start."""
    return frozenset(log[:end] for log in services for end in range(len(GENESIS) + 1, len(log) + 1))


def steps(world: World, rules: Rules) -> Iterator[World]:
    """Everything that can happen next."""
    yield from _starts(world, rules)
    yield from _appends(world, rules)
    for place, memory in enumerate(world.memories):
        for log in prefixes(world.services) - memory.signed:
            if rules.accepts(memory.last, log):
                yield _remember(world, place, Memory(log, memory.signed | {log}))
        if place < rules.forgetful and memory.last:
            yield _remember(world, place, replace(memory, last=()))


def _remember(world: World, place: int, memory: Memory) -> World:
    memories = (*world.memories[:place], memory, *world.memories[place + 1 :])
    return replace(world, memories=memories)


def _starts(world: World, rules: Rules) -> Iterator[World]:
    number = len(world.services) + 1
    if number <= rules.boots:
        for disk in prefixes(world.services) | {GENESIS}:
            yield replace(world, services=(*world.services, (*disk, f"start{number}")))


def _appends(world: World, rules: Rules) -> Iterator[World]:
    for place, log in enumerate(world.services):
        own = [entry for entry in log if entry.startswith(f"use{place + 1}.")]
        coming = [f"use{place + 1}.{len(own) + 1}"] if len(own) < rules.uses else []
        if rules.successor is not None and REPLACE not in log:
            coming.append(REPLACE)
        for entry in coming:
            services = (*world.services[:place], (*log, entry), *world.services[place + 1 :])
            yield replace(world, services=services)


def canonical(world: World, rules: Rules) -> World:
    """Of worlds that differ in the names of honest witnesses only, one."""
    if rules.successor is not None or rules.forgetful:
        return world
    ordered = sorted(world.memories, key=lambda memory: (memory.last, sorted(memory.signed)))
    return replace(world, memories=tuple(ordered))


# --- the gate -----------------------------------------------------------------------------------


def confirmed(world: World, rules: Rules, log: Log) -> bool:
    """Whether the gate takes the signatures under ``log`` for a quorum's.

    Also where the service came to that through shorter logs that it had confirmed before.
    """
    signers = _signers(world, rules, log)
    if REPLACE not in log or rules.successor is None:
        return rules.policy.reached(signers)
    if not rules.old_quorum_asked:
        return rules.successor.reached(signers)
    history = [(0, rules.policy), (log.index(REPLACE), rules.successor)]
    before = [end for end in range(2, len(log)) if confirmed(world, rules, log[:end])]
    since = max(before, default=0)
    return all(policy.reached(signers) for policy in required(history, since=since, size=len(log)))


def _signers(world: World, rules: Rules, log: Log) -> set[str]:
    liars = set(sorted(rules.names)[: rules.lying])
    pairs = zip(rules.honest, world.memories, strict=True)
    return liars | {name for name, memory in pairs if log in memory.signed}


def effects(world: World, rules: Rules) -> set[Log]:
    """What left any service: the log up to each entry whose effect its own gate let go.

    Everything that may leave has left: holding it back shows nobody more.
    """
    found: set[Log] = set()
    known = {log: confirmed(world, rules, log) for log in prefixes(world.services)}
    for number, log in enumerate(world.services, 1):
        ends = range(log.index(f"start{number}") + 1, len(log) + 1)
        covered = max((end for end in ends if known[log[:end]]), default=0)
        found.update(
            log[:end] for end in range(1, covered + 1) if log[end - 1].startswith(f"use{number}.")
        )
    return found


def on_two_branches(world: World, rules: Rules) -> bool:
    """Whether two effects left of which neither's log continues the other's."""
    return any(
        one[: len(other)] != other[: len(one)]
        for one, other in combinations(effects(world, rules), 2)
    )


# --- the search ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """How many states there are, and the shortest way to a bad one, if there is one."""

    states: int
    way: tuple[object, ...]


def search(
    first: State,
    following: Callable[[State], Iterator[State]],
    bad: Callable[[State], bool],
    *,
    limit: int = 1_000_000,
) -> Found:
    """Every state that can be reached, breadth first; ends at the first bad one.

    Raises ``RuntimeError`` where there are more than ``limit``: then nothing was shown.
    """
    came: dict[State, State | None] = {first: None}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        if bad(state):
            way: list[State] = []
            at: State | None = state
            while at is not None:
                way.append(at)
                at = came[at]
            return Found(len(came), tuple(reversed(way)))
        for coming in following(state):
            if coming not in came:
                came[coming] = state
                waiting.append(coming)
        if len(came) > limit:
            message = f"more than {limit} states"
            raise RuntimeError(message)
    return Found(len(came), ())


def explore(rules: Rules) -> Found:
    """Looks for a world in which effects left on two branches."""
    return search(
        beginning(rules),
        lambda world: (canonical(item, rules) for item in steps(world, rules)),
        lambda world: on_two_branches(world, rules),
    )
