# SPDX-License-Identifier: Apache-2.0
"""A board goes on, on another machine, when enough of its members say so, and only then."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.kbs import GuestBoard, GuestProgram
from tests.support.live import Hardware
from tests.support.recovering import (
    NAMES,
    RULES,
    VALUE,
    Elsewhere,
    Planned,
    go_on,
    introduce,
    prepared,
    recovered,
)
from tests.support.served import Served
from tests.support.witness import FakeWitness, four_witnesses, policy_of

from accord.board import Ballot, Choice, RemoveMember, ReplaceWitnesses, RotateKeys
from accord.bundle import named_evidence
from accord.client import (
    own_share,
    recovery_offer,
)
from accord.errors import (
    NoRecoveryPlanError,
    NotCosignedError,
    NotRecoveringError,
    NotWriterError,
    ShareInvalidError,
    SharesMissingError,
)
from accord.identity import sign_statement
from accord.secrets import SecretValue
from accord.service._backup import read_backup
from accord.service._backup_board import back_up
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


@pytest.fixture
def witnesses() -> Iterator[list[FakeWitness]]:
    """Four groups, of which three are a quorum."""
    with four_witnesses() as found:
        yield found


@pytest.fixture
def witnessed(tmp_path: Path, witnesses: list[FakeWitness]) -> Iterator[Planned]:
    """The same board with witnesses, which have seen a release."""
    planned = prepared(tmp_path, witnesses=witnesses)
    planned.release()
    first = planned.service
    yield planned
    first.close()


def test_a_witnessed_board_goes_on_without_the_witnesses_that_it_had_replaced(
    witnessed: Planned, witnesses: list[FakeWitness], tmp_path: Path
) -> None:
    """The backup says how far a quorum has seen the log: only who is in force there is asked."""
    with four_witnesses("v") as others:
        introduce(witnessed.service, others)
        witnessed.amend(ReplaceWitnesses(policy_of(others)))
        witnessed.release()
        for witness in witnesses:
            witness.away = True
        asked = [witness.asked for witness in witnesses]
        witnessed.back_up(tmp_path / "restoring" / "b.backup")
        elsewhere = Elsewhere(witnessed.hardware, tmp_path / "restoring")
        with elsewhere.running() as (service, url):
            recovered(witnessed, url, "ann", "cid")
        go_on(witnessed, service, elsewhere)
        with closing(service):
            with pytest.raises(NotCosignedError):  # Nobody told them of the new key.
                witnessed.release()
            introduce(service, others)
            witnessed.release()
            assert witnessed.host.freshness == "open"
        assert [witness.asked for witness in witnesses] == asked


def test_a_backup_of_a_witnessed_board_ends_where_a_quorum_has_seen_it(
    witnessed: Planned, tmp_path: Path
) -> None:
    """What no witness had seen before is shown to them first."""
    witnessed.amend(RotateKeys(3))
    assert witnessed.host.cosigning.size < witnessed.host.durable_size
    header = read_backup(witnessed.back_up(tmp_path / "b.backup"))
    assert header.size == witnessed.host.cosigning.size == witnessed.host.durable_size
    assert header.checkpoint == witnessed.host.cosigning.note


def test_a_backup_that_waits_for_witnesses_is_under_the_secret_of_its_end(
    witnessed: Planned, witnesses: list[FakeWitness], tmp_path: Path
) -> None:
    """While they take their time the members rotate the root secret: the new shares open it."""
    proposal = witnessed.propose(RotateKeys(2))
    ballot = Ballot(witnessed.board, proposal, "ann", Choice.APPROVE, 1)
    envelope = sign_statement("ballot", ballot.to_json(), [witnessed.identity("ann").signer])
    held = threading.Event()
    for witness in witnesses:
        witness.held = held

    async def both() -> bytes:
        pieces = asyncio.create_task(witnessed.service.back_up(witnessed.host))
        await asyncio.sleep(0.02)
        await witnessed.service.submit(witnessed.host, envelope, None)
        held.set()
        return b"".join(await pieces)

    path = tmp_path / "restoring" / "b.backup"
    path.parent.mkdir()
    path.write_bytes(asyncio.run(both()))
    assert read_backup(path).epoch == 2
    with Elsewhere(witnessed.hardware, path.parent).running() as (service, url):
        recovered(witnessed, url, "ann", "bob")
    service.close()


def test_a_backup_never_has_a_checkpoint_of_anything_else(witnessed: Planned) -> None:
    """Where what was kept is not what the witnesses saw last, there is none."""
    older = witnessed.host.cosigning.note
    witnessed.release()
    witnessed.host.cosigning._notes.latest = older
    with pytest.raises(NotCosignedError):
        asyncio.run(witnessed.service.back_up(witnessed.host))


def test_who_no_longer_writes_makes_no_backup_of_a_witnessed_board(
    witnessed: Planned, tmp_path: Path
) -> None:
    """It cannot know how far the witnesses have come."""
    witnessed.host.step_down()
    with pytest.raises(NotWriterError):
        asyncio.run(back_up(witnessed.service._parts, witnessed.host))


def test_a_run_renews_its_certificate_where_its_board_goes_on(
    board: Planned, tmp_path: Path
) -> None:
    """The key that was certified on the old machine is in the backup."""
    key, shield = ec.generate_private_key(ec.SECP256R1()), board.shield()
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    train = {"identity": True, "lease_s": 600}
    board.enact(board.policy(name="named", authority=True, train=train), by=NAMES)
    grant = board.release(shield, policy="named", tls_spki=spki)
    board.back_up(tmp_path / "restoring" / "b.backup")
    elsewhere = Elsewhere(board.hardware, tmp_path / "restoring")
    with elsewhere.running() as (service, url):
        recovered(board, url, "ann", "cid")
    go_on(board, service, elsewhere)
    leaf = x509.load_der_x509_certificate(board.renew(shield, grant.run).identity[0])
    assert key.public_key() == leaf.public_key()


@dataclass
class PlannedGuests(GuestBoard, Planned):
    """A board with a plan whose service answers guests."""


def test_what_guests_got_can_be_proved_where_the_board_goes_on(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Their evidence and what it is bound to are in the backup."""
    rules = {**RULES, "policy.enact": {"all": ["member:ann", "member:bob"]}}
    board = PlannedGuests(hardware, tmp_path / "homes", constitution=rules)
    board.guests()
    guest = GuestProgram(board, board.collect)
    guest.attest()
    guest.fetch()
    named = named_evidence(asyncio.run(board.host.entries(0, board.host.durable_size)))
    board.back_up(tmp_path / "restoring" / "b.backup")
    elsewhere = Elsewhere(hardware, tmp_path / "restoring")
    with elsewhere.running() as (_, url):
        recovered(board, url, "ann", "cid")
    kept = [elsewhere.store.object(board.board, digest) for digest in named]
    assert [board.store.object(board.board, digest) for digest in named] == kept
    assert None not in kept


def test_a_board_without_a_plan_has_no_backup(tmp_path: Path) -> None:
    """Nobody could ever open it."""
    served = Served(Hardware.create(tmp_path / "hardware"), tmp_path / "homes")
    with pytest.raises(NoRecoveryPlanError):
        asyncio.run(served.service.back_up(served.host))
