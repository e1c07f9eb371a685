# SPDX-License-Identifier: Apache-2.0
"""What all boards of one service share: store, clock, keys, threads, witnesses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import ParamSpec, TypeVar

from accord.identity import KeySigner
from accord.service._counter import Lives
from accord.service._round import Pace
from accord.service._store import Store
from accord.service._witness_calls import WitnessCalls

COMMITS = 4
"""Transactions of different boards at the same time; those of one board follow each other."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, repr=False)
class Hosting:
    """What all boards of one service share."""

    store: Store
    clock: Callable[[], datetime]
    signer: KeySigner
    pool: Executor
    """Where the store is read: calls wait for a disk, and the event loop does not."""

    holder: str
    """How others reach this service: what they are told while it is the writer."""

    lives: Lives
    """Whether the store is the latest one, as far as a counter can tell."""

    commits: Executor = field(
        default_factory=lambda: ThreadPoolExecutor(COMMITS, thread_name_prefix="accord-commit")
    )
    """Where transactions run: readers of long logs do not stand before them."""

    calls: WitnessCalls = field(default_factory=lambda: WitnessCalls(public_only=False))
    """How witnesses are asked for cosignatures."""

    pace: Pace = field(default_factory=Pace)

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A call of the store, in a thread of the pool."""
        future = self.pool.submit(call, *args, **kwargs)
        return await asyncio.shield(asyncio.wrap_future(future))
