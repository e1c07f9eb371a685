# SPDX-License-Identifier: Apache-2.0
"""One round of cosignatures: what is asked for, of whom, and how long it may take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from accord.board import Witness, WitnessPolicy
from accord.encoding import Digest
from accord.errors import AccordError
from accord.ledger import LogHead
from accord.release import Machine


class Log(Protocol):
    """The board whose log is cosigned."""

    board: Digest
    head: LogHead
    machine: Machine

    @property
    def durable_size(self) -> int: ...

    def checkpoint(self, size: int | None = None) -> bytes: ...

    async def settled(self) -> None: ...

    async def renew(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How long rounds wait."""

    window_s: float = 0.005
    """What comes within this time shares a round; at most 20 ms."""

    patience_s: float = 10.0
    """How long something waits for its quorum before it is refused."""


@dataclass(slots=True)
class Peer:
    """One witness, as this log knows it."""

    witness: Witness
    origin: str = ""
    size: int = 0
    """How much of the log it has seen, as far as we know."""

    state: str = "not asked"
    cosigned: int = 0
    """Size of the newest checkpoint of ours that it cosigned."""

    busy: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Round:
    """One checkpoint, and who has cosigned it."""

    note: bytes
    origin: str
    size: int
    policies: tuple[WitnessPolicy, ...]
    lines: dict[Witness, str] = field(default_factory=dict)
    others: dict[Witness, bytes] = field(default_factory=dict)
    """What witnesses show that an earlier key of this log signed, and that it does not continue."""

    over: bool = False
    problem: AccordError | None = None
    """What ends it for everybody: a fork, or another writer."""

    @property
    def reached(self) -> bool:
        """Whether every policy has its quorum; a name counts with the key that it has there."""
        return all(
            policy.reached([w.name for w in policy.witnesses if w in self.lines])
            for policy in self.policies
        )

    @property
    def hopeless(self) -> bool:
        """Whether without those that follow `others` there is no quorum."""
        return bool(self.others) and not all(
            policy.reached([w.name for w in policy.witnesses if w not in self.others])
            for policy in self.policies
        )
