# SPDX-License-Identifier: Apache-2.0
"""A board goes on, on another machine, when enough of its members say so, and only then."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from tests.support.live import Hardware
from tests.support.recovering import NAMES, VALUE, Elsewhere, Planned, go_on, prepared, recovered
from tests.support.served import Served

from accord.board import RemoveMember, RotateKeys
from accord.client import (
    own_share,
    recovery_offer,
)
from accord.errors import (
    NoRecoveryPlanError,
    NotRecoveringError,
    ShareInvalidError,
    SharesMissingError,
)
from accord.secrets import SecretValue
from accord.service._root import BoardRoot


@pytest.fixture
def board(tmp_path: Path) -> Planned:
    """A board whose job gets a deposited secret."""
    return prepared(tmp_path)


def test_shares_are_in_the_log_and_every_member_can_open_their_own(board: Planned) -> None:
    """The first thing that a board with a plan gets is a share for each member."""
    shares = board.host.machine.root_shares
    assert shares is not None
    assert (1, 2, set(NAMES)) == (shares.epoch, shares.threshold, {*shares.shares})
    words = {own_share(board.identity(name), shares) for name in NAMES}
    assert len(NAMES) == len(words)


def test_a_board_goes_on_elsewhere_with_everything_it_had(board: Planned, tmp_path: Path) -> None:
    """What was deposited on the old machine is released by the new one; uses go on counting."""
    board.release()
    board.back_up(tmp_path / "restoring" / "b.backup")
    elsewhere = Elsewhere(board.hardware, tmp_path / "restoring")
    with elsewhere.running() as (service, url):
        assert tuple(host.board for host in service.hosts) == ()
        recovered(board, url, "ann", "cid")
        home = board.member("bob", url)
        with home.connect() as session:
            _, machine, _ = home.read(session)
            with pytest.raises(NotRecoveringError):
                recovery_offer(session)
    assert service.keyset.verify_key == machine.log_key
    assert len(machine.former_keys) == 1
    go_on(board, service, elsewhere)
    token = SecretValue.from_bytes(board.release().secrets["token"])
    assert token.private == VALUE
    assert max(board.host.machine.uses.values()) == 2


def test_a_backup_holds_nothing_that_its_holder_could_read(board: Planned, tmp_path: Path) -> None:
    """Neither values, nor keys, nor what the log says is in it: only a header is readable."""
    data = board.back_up(tmp_path / "b.backup").read_bytes()
    root = board.store.secret(board.board, "board-root")
    assert root is not None
    service = board.service._parts.keys
    hidden = [
        VALUE,
        BoardRoot.from_bytes(board.board, root).secret,
        service.signer.private_key.private_bytes_raw(),
        service.seal_private_key.private_bytes_raw(),
        b"code-owner",
        b"ann/token",
        b"accord.policy.v1",
    ]
    assert [item for item in hidden if item in data or base64.b64encode(item) in data] == []


def test_two_of_three_are_needed_and_the_answer_says_who_is_missing(
    board: Planned, tmp_path: Path
) -> None:
    """With one share less the board stays closed; the second one opens it."""
    board.back_up(tmp_path / "restoring" / "b.backup")
    with Elsewhere(board.hardware, tmp_path / "restoring").running() as (_, url):
        with pytest.raises(SharesMissingError) as refused:
            recovered(board, url, "ann")
        assert refused.value.details["missing"] == "1 of 2 shares"
        recovered(board, url, "ann", "bob")


def test_a_board_that_goes_on_can_be_backed_up_and_moved_again(
    board: Planned, tmp_path: Path
) -> None:
    """The shares stay good; the log has had three keys then."""
    places = [Elsewhere(board.hardware, tmp_path / name) for name in ("second", "third")]
    for elsewhere in places:
        board.back_up(elsewhere.folder / "b.backup")
        with elsewhere.running() as (service, url):
            recovered(board, url, "ann", "bob")
        go_on(board, service, elsewhere)
    assert len(board.host.machine.former_keys) == 2
    restarted = places[-1].start()
    assert restarted.recoveries.boards == ()
    assert board.board in [host.board for host in restarted.hosts]


def test_who_leaves_holds_a_share_of_nothing_that_is_current(
    board: Planned, tmp_path: Path
) -> None:
    """With the vote that removes a member comes a new secret; shares of the old one are refused."""
    old = board.host.machine.root_shares
    board.amend(RemoveMember("cid"))
    new = board.host.machine.root_shares
    assert old is not None
    assert new is not None
    assert (1, 2, {"ann", "bob"}) == (old.epoch, new.epoch, {*new.shares})
    assert old.recovery_key != new.recovery_key
    with pytest.raises(ShareInvalidError):
        own_share(board.identity("cid"), new)


def test_a_vote_rotates_the_root_secret(board: Planned, tmp_path: Path) -> None:
    """Everything is wrapped anew in the next backup, which the new shares open."""
    board.amend(RotateKeys(3))
    shares = board.host.machine.root_shares
    assert shares is not None
    assert (shares.epoch, shares.rotation, shares.threshold) == (2, 2, 3)
    board.back_up(tmp_path / "restoring" / "b.backup")
    with Elsewhere(board.hardware, tmp_path / "restoring").running() as (_, url):
        recovered(board, url, *NAMES)


def test_a_board_without_a_plan_has_no_backup(tmp_path: Path) -> None:
    """Nobody could ever open it."""
    served = Served(Hardware.create(tmp_path / "hardware"), tmp_path / "homes")
    with pytest.raises(NoRecoveryPlanError):
        asyncio.run(served.service.back_up(served.host))
