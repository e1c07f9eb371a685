# SPDX-License-Identifier: Apache-2.0
"""A backup is restored into every durable store, from any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.live import Hardware
from tests.support.postgres import Postgres
from tests.support.recovering import NAMES, VALUE, Elsewhere, Planned, go_on, recovered

from accord.bundle import named_evidence
from accord.errors import SharesMissingError, UsesExhaustedError
from accord.service._postgres import open_postgres
from accord.service._sqlite_store import SQLiteStore

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))

Opened = Callable[[bytes], Any]


@pytest.fixture
def sqlite(tmp_path: Path) -> Opened:
    return lambda key: SQLiteStore(tmp_path / f"{key[0]}.db", key)


@pytest.fixture
def database(postgres: Postgres) -> Opened:
    dsn = {KEY: postgres.database(), OTHER_KEY: postgres.database()}
    return lambda key: open_postgres(dsn[key], key)


@pytest.mark.parametrize(("old", "new"), [("sqlite", "database"), ("database", "sqlite")])
def test_a_board_goes_on_in_another_kind_of_store(
    tmp_path: Path, request: pytest.FixtureRequest, old: str, new: str
) -> None:
    """Entries, bodies and values arrive whole; uses go on counting; a restart finds them."""
    first, second = request.getfixturevalue(old), request.getfixturevalue(new)
    with closing(first(KEY)) as before, closing(second(OTHER_KEY)) as after:
        board = Planned(Hardware.create(tmp_path / "hardware"), tmp_path / "homes", store=before)
        board.deposit("token", VALUE, max_uses=2)
        policy = board.policy(
            secrets={"token": {"kind": "asset", "asset": "ann/token"}},
            train={"environment": {"TOKEN": "{{ accord.token }}"}},
        )
        board.enact(policy, by=NAMES)
        board.release()
        entries = asyncio.run(board.host.entries(0, board.host.durable_size))
        board.back_up(tmp_path / "restoring" / "b.backup")
        elsewhere = Elsewhere(board.hardware, tmp_path / "restoring", store=after)
        with elsewhere.running() as (service, url):
            with pytest.raises(SharesMissingError):
                recovered(board, url, "ann")
            assert after.boards() == []
            recovered(board, url, "cid", "ann")
        assert list(after.entries(board.board))[: len(entries)] == entries
        for digest in named_evidence(entries):
            assert after.object(board.board, digest) == before.object(board.board, digest)
        go_on(board, service, elsewhere)
        board.release()
        size = board.host.durable_size
        service.close()
    with closing(second(OTHER_KEY)) as after:
        assert after.size(board.board) == size
        board.store = after
        board.service = board.start()
        board.host = asyncio.run(board.service.host(board.board))
        with pytest.raises(UsesExhaustedError):
            board.release()
        board.service.close()
