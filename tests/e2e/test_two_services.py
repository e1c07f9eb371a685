# SPDX-License-Identifier: Apache-2.0
"""Two trust services, as two processes, over one PostgreSQL: one writes, both are read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.live import Board, Hardware, ServiceProcess, found_board
from tests.support.postgres import Postgres

from accord.board import ExecutionStop
from accord.client import TrustSession
from accord.errors import NotWriterError
from accord.identity import sign_statement

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TAKEOVER_S = 40.0
"""Longest wait for the lease of a writer that was killed; it lasts ten seconds."""


@pytest.fixture
def pair(
    hardware: Hardware, postgres: Postgres, tmp_path: Path
) -> Iterator[tuple[ServiceProcess, ServiceProcess]]:
    database = postgres.database()
    first = ServiceProcess(hardware, tmp_path / "first", database=database)
    second = ServiceProcess(hardware, tmp_path / "second", database=database, claims=False)
    try:
        yield first.start(), second.start()
    finally:
        second.stop()
        first.stop()


def stop(board: Board, url: str, reason: str) -> int:
    """Hands in a statement of ann's at ``url`` and returns its index."""
    member = board.member("ann")
    now = datetime.now(UTC).replace(microsecond=0)
    said = ExecutionStop(board.genesis.digest, "ann", "board", reason, now)
    with TrustSession.attest(url, board.genesis) as session:
        return session.submit(
            sign_statement("execution-stop", said.to_json(), [member.identity.signer])
        )


def reasons(board: Board, url: str) -> list[str]:
    """What a member reads at ``url``, replayed."""
    member = board.member("ann")
    with TrustSession.attest(url, board.genesis) as session:
        _, machine, _ = session.read_log(member.identity.signer)
    return [record.stop.reason for record in machine.board.stops.values()]


def test_readers_scale_out_and_one_writer_is_fenced(
    pair: tuple[ServiceProcess, ServiceProcess], hardware: Hardware, tmp_path: Path
) -> None:
    """The second reads what the first writes, refuses to write, and takes over when it is dead."""
    first, second = pair
    board = found_board(tmp_path / "board", hardware, first.url)
    stop(board, first.url, "one")

    assert reasons(board, second.url) == ["one"]
    with pytest.raises(NotWriterError, match=first.url):
        stop(board, second.url, "refused")
    stop(board, first.url, "two")
    assert reasons(board, first.url) == reasons(board, second.url) == ["one", "two"]

    first.kill()
    deadline = time.monotonic() + TAKEOVER_S
    while True:
        try:
            stop(board, second.url, "three")
            break
        except NotWriterError:
            assert time.monotonic() < deadline
            time.sleep(0.5)

    assert reasons(board, second.url) == ["one", "two", "three"]
    first.start()
    assert reasons(board, first.url) == ["one", "two", "three"]
    with pytest.raises(NotWriterError):
        stop(board, first.url, "the old writer")
