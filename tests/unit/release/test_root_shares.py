# SPDX-License-Identifier: Apache-2.0
"""What the log says about the root secret, and who may let a restored board go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.recovering import Elsewhere, Planned, prepared, recovered

from accord.board import RemoveMember
from accord.errors import AccordError, LogKeyError, RootSharesError, SignatureInvalidError
from accord.identity import sign_statement
from accord.ledger import Entry
from accord.release import Machine, Recovery, RootShares, machine_to_json, read_machine
from accord.service._root import ROOT_NAME, BoardRoot


@pytest.fixture
def board(tmp_path: Path) -> Planned:
    return prepared(tmp_path)


def replayed(board: Planned) -> Machine:
    """The state that everybody comes to who reads the log."""
    entries = asyncio.run(board.host.entries(0, board.host.durable_size))
    return Machine.replay(entries)[1]


def said(board: Planned, kind: str, body: object) -> None:
    """Replays the log, and then a statement that the trust service signed."""
    envelope = board.service._parts.sign(kind, body)
    machine = replayed(board)
    machine.apply_envelope(envelope, index=board.host.head.size, time=board.now())


@pytest.mark.parametrize("change", ["same epoch", "threshold", "rotation", "a member less"])
def test_shares_that_the_charter_does_not_ask_for_are_refused(board: Planned, change: str) -> None:
    """A service that splits otherwise is found out by everybody who replays."""
    shares = board.host.machine.root_shares
    assert shares is not None
    following = replace(shares, epoch=2)
    fewer = {name: share for name, share in shares.shares.items() if name != "cid"}
    wrong = {
        "same epoch": shares,
        "threshold": replace(following, threshold=3),
        "rotation": replace(following, rotation=2),
        "a member less": replace(following, shares=fewer),
    }[change]
    with pytest.raises(AccordError) as refused:
        said(board, "root-shares", wrong.to_json())
    # The very same shares are a statement that is in the log already.
    assert change == "same epoch" or isinstance(refused.value, RootSharesError)


def test_removing_a_member_leaves_no_moment_without_shares(board: Planned) -> None:
    """The entry right after the enactment splits a new secret among those who are left."""
    board.amend(RemoveMember("cid"))
    entries = asyncio.run(board.host.entries(0, board.host.durable_size))
    kinds = [Entry.from_bytes(data).envelope.payload_type for data in entries]
    assert "root-shares" in kinds[-1]
    assert "enactment" in kinds[-2]


def test_documents_read_back_as_they_were(board: Planned) -> None:
    """Shares survive the log and the snapshot."""
    machine = replayed(board)
    assert machine.root_shares == board.host.machine.root_shares
    assert machine == read_machine(machine_to_json(machine))


def recovery_of(board: Planned, tmp_path: Path) -> tuple[Machine, Recovery, BoardRoot, int]:
    """A board that was recovered by ann and bob: the state before, and what was recorded."""
    board.back_up(tmp_path / "restoring" / "b.backup")
    before = replayed(board)
    root = BoardRoot.from_bytes(board.board, board.store.secret(board.board, ROOT_NAME) or b"")
    with Elsewhere(board.hardware, tmp_path / "restoring").running() as (service, url):
        recovered(board, url, "ann", "bob")
        host = asyncio.run(service.host(board.board))
        entries = asyncio.run(host.entries(0, host.durable_size))
    index = board.host.durable_size
    statement = Entry.from_bytes(entries[index]).envelope
    from accord.encoding import Fields, parse_canonical_json

    body = parse_canonical_json(statement.payload, what="recovery")
    return before, Recovery.from_fields(Fields(body, "recovery")), root, index


def test_a_recovery_needs_both_keys_and_enough_members(board: Planned, tmp_path: Path) -> None:
    """Without the root secret's key, with one member, twice the same, or elsewhere: refused."""
    before, recovery, root, index = recovery_of(board, tmp_path)
    new = board.service._parts.keys.signer
    honest = replace(recovery, keyset=board.service.keyset)
    now = board.now()

    def refused(body: Recovery, *signers: object, at: int = index) -> type[Exception]:
        envelope = sign_statement("recovery", body.to_json(), signers)  # type: ignore[arg-type]
        with pytest.raises(AccordError) as error:
            before.apply_envelope(envelope, index=at, time=now)
        return error.type

    root_key = root.recovery_signer
    assert LogKeyError is refused(honest, new)
    assert LogKeyError is refused(honest, root_key)
    assert SignatureInvalidError is refused(honest, board.identity("ann").signer)
    first = recovery.shares[0]
    for shares in ((first,), (first, first), ()):
        # What members signed names the new keys: only those who were seen can be put in.
        assert refused(replace(honest, shares=shares), new, root_key) is not SignatureInvalidError
    assert RootSharesError is refused(replace(honest, epoch=2), new, root_key)
    assert RootSharesError is refused(honest, new, root_key, at=index + 1)


def test_shares_are_read_strictly(board: Planned) -> None:
    """A document with something more, or less, is none."""
    from accord.encoding import Fields
    from accord.errors import MalformedError

    shares = board.host.machine.root_shares
    assert shares is not None
    document = shares.to_json()
    assert isinstance(document, dict)
    assert shares == RootShares.from_fields(Fields(document, "shares"))
    for wrong in ({**document, "more": 1}, {**document, "threshold": 1}):
        with pytest.raises(MalformedError):
            RootShares.from_fields(Fields(wrong, "shares"))
