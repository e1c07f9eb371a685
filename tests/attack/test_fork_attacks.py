# SPDX-License-Identifier: Apache-2.0
"""Whoever saw an abandoned history follows the survivor by the members' vote, and only by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.forks import cloned, forked, founded, grow, head, history, look
from tests.support.recovering import NAMES, Planned
from tests.support.witness import FakeWitness, four_witnesses

from accord.board import ResolveFork
from accord.client import MemberHome, Resolution
from accord.encoding import Digest
from accord.errors import (
    CheckpointOriginError,
    ConsistencyError,
    ForkUnresolvedError,
    LogSizeError,
    NoForkSeenError,
    NotConfirmedError,
    NotCosignedError,
    SignatureInvalidError,
)
from accord.identity import FileIdentity
from accord.ledger import Ledger


@pytest.fixture
def board(tmp_path: Path) -> Planned:
    """A board whose data owner decides about forks."""
    return founded(tmp_path)


def follow(
    board: Planned,
    name: str = "ann",
    *,
    vote: Digest | None = None,
    abandoned: Ledger | None = None,
) -> Resolution:
    with board.over_http() as url:
        home = board.member(name, url)
        with home.connect() as session:
            return home.follow_fork(session, abandoned=abandoned, vote=vote)


def test_a_home_follows_the_survivor_by_the_vote(board: Planned) -> None:
    """Refused before; shown, confirmed and accepted then; the abandoned one is refused after."""
    other = forked(board)
    survivor, abandoned = head(board), head(other)
    board.amend(ResolveFork(survivor, abandoned))
    with pytest.raises((ConsistencyError, LogSizeError)):
        look(board)
    found = follow(board)
    assert [(item.size, item.root) for item in found.seen] == [(abandoned.size, abandoned.root)]
    assert (found.action.survivor, found.action.abandoned) == (survivor, abandoned)
    assert found.record.approvals == {"ann"}
    with pytest.raises((ConsistencyError, LogSizeError)):
        look(board)  # Showing it has changed nothing.
    with pytest.raises(NotConfirmedError):
        follow(board, vote=Digest("sha256:" + "0" * 64))
    follow(board, vote=found.record.id)
    look(board)
    with pytest.raises((CheckpointOriginError, SignatureInvalidError)):
        look(other)
    kept = FileIdentity.load(board.root / "ann").home / "board.checkpoint.abandoned"
    assert f"\n{abandoned.size}\n".encode() in kept.read_bytes()
    with pytest.raises(NoForkSeenError):
        follow(board, vote=found.record.id)


def test_without_a_vote_nothing_is_accepted(board: Planned) -> None:
    """A rolled-back service shows another history, and nobody has decided anything."""
    forked(board)
    grow(board, "more", 4)
    with pytest.raises(ForkUnresolvedError):
        follow(board)


@pytest.mark.parametrize("saw", ["less", "more"])
def test_a_head_at_another_size_needs_the_history_itself(board: Planned, saw: str) -> None:
    """The vote named one head; ann saw an earlier or later one of the same abandoned history."""
    other = forked(board)
    size = head(other).size
    if saw == "less":
        grow(other, "later")
        size += 1
    named = head(other, size if saw == "less" else size - 1)
    board.amend(ResolveFork(head(board), named))
    with pytest.raises(ForkUnresolvedError, match=str(size - 1 if saw == "less" else size)):
        follow(board)
    found = follow(board, abandoned=history(other))
    follow(board, abandoned=history(other), vote=found.record.id)
    look(board)


def test_a_third_history_is_not_covered_by_the_vote(board: Planned) -> None:
    """The operator ran three copies: the vote about one says nothing of another."""
    other, third = cloned(board), cloned(board)
    for copy_, name in ((other, "there"), (third, "third"), (board, "here")):
        grow(copy_, name, 2)
    look(third)
    board.amend(ResolveFork(head(board), head(other)))
    for shown in (None, history(other), history(third)):
        with pytest.raises(ForkUnresolvedError):
            follow(board, abandoned=shown)


def test_a_vote_that_abandons_what_goes_on_abandons_nothing_else(board: Planned) -> None:
    """A head that both histories share would let any other history pass for abandoned."""
    shared = head(board)
    other = forked(board)
    board.amend(ResolveFork(head(board), shared))
    with pytest.raises(ForkUnresolvedError):
        follow(board, abandoned=history(other))


def test_the_loser_cannot_use_the_votes(board: Planned) -> None:
    """The operator hands them to the abandoned history: it is not the survivor that they name."""
    other = cloned(board)
    grow(other, "there", 2)
    grow(board, "here", 2)
    look(board)
    other.amend(ResolveFork(head(board), head(other)))
    with pytest.raises(ForkUnresolvedError):
        follow(other, abandoned=history(board))


@pytest.fixture
def witnesses() -> Iterator[list[FakeWitness]]:
    with four_witnesses() as found:
        yield found


def test_on_a_witnessed_board_a_quorum_must_have_seen_the_vote(
    tmp_path: Path, witnesses: list[FakeWitness]
) -> None:
    """Where the witnesses are away the vote may be on one more branch."""
    board = founded(tmp_path, witnesses)
    with closing(board.service):
        asyncio.run(board.host.confirmed(board.host.head.size - 1))
        for witness in witnesses:
            witness.away = True
        other = cloned(board)
        with closing(other.service):
            grow(other, "there", 2)
            grow(board, "here")
            look(other)
            board.amend(ResolveFork(head(board), head(other)))
            with pytest.raises(NotCosignedError):
                follow(board)
            for witness in witnesses:
                witness.away = False
            asyncio.run(board.host.confirmed(board.host.head.size - 1))
            found = follow(board)
            follow(board, vote=found.record.id)
            look(board)
            home = MemberHome.load(board.root / "ann")
            assert (home.identity.home / "board.cosigned").read_bytes()


def test_members_who_saw_the_survivor_have_nothing_to_accept(board: Planned) -> None:
    """Nor do those who saw nothing yet."""
    other = cloned(board)
    grow(other, "there")
    look(board, "bob")
    board.amend(ResolveFork(head(board), head(other)))
    for name in NAMES[1:]:
        with pytest.raises(NoForkSeenError):
            follow(board, name)
