# SPDX-License-Identifier: Apache-2.0
"""A board whose operator ran two copies of its trust service, and members who saw one of them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from pathlib import Path

from accord.board import ForkHead
from accord.ledger import Ledger
from tests.support.live import Hardware
from tests.support.recovering import RULES, Planned
from tests.support.witness import FakeWitness
from tests.support.witnessed import copied

WITH_FORKS = {**RULES, "log.fork.resolve": {"all": ["role:data-owner"]}}


def founded(root: Path, witnesses: Sequence[FakeWitness] = ()) -> Planned:
    hardware = Hardware.create(root / "hardware")
    return Planned(hardware, root / "homes", constitution=WITH_FORKS, witnesses=witnesses)


def cloned(board: Planned) -> Planned:
    """A second service on a copy of the disk."""
    other = copy.copy(board)
    other.store = copied(board.store)
    other.service = other.start()
    other.host = asyncio.run(other.service.host(other.board))
    return other


def grow(board: Planned, name: str, count: int = 1) -> None:
    """Ann offers something: the log is another one from here on."""
    for number in range(count):
        board.deposit(f"{name}-{number}", b"value")


def head(board: Planned, size: int | None = None) -> ForkHead:
    size = board.host.head.size if size is None else size
    return ForkHead(size, board.host.head.root(size))


def look(board: Planned, name: str = "ann") -> None:
    """A member reads the log that ``board`` shows."""
    with board.over_http() as url:
        home = board.member(name, url)
        with home.connect() as session:
            home.read(session)


def history(board: Planned) -> Ledger:
    """All that a service shows, as its attested reader sees it."""
    with board.over_http() as url:
        home = board.member("cid", url)
        with home.connect() as session:
            return session.read_log(home.identity.signer)[0]


def forked(board: Planned) -> Planned:
    """The operator ran two copies; ann saw the end of the one that is returned."""
    other = cloned(board)
    grow(other, "there", 2)
    grow(board, "here")
    look(other)
    return other
