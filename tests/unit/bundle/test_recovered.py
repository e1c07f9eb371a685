# SPDX-License-Identifier: Apache-2.0
"""The log of a board that went on elsewhere: what says so is verified with its evidence, too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.moving import Machine, movable, moved, settled_at
from tests.support.recovering import Elsewhere, Planned, go_on, prepared, recovered

from accord.bundle import VerifiedLog, named_evidence, object_name, replay, verify_log
from accord.encoding import Digest, Fields, parse_canonical_json
from accord.errors import BundleContentError
from accord.identity import statement_kind
from accord.ledger import Entry
from accord.release import Recovery


@pytest.fixture
def board(tmp_path: Path) -> Planned:
    """A board that went on on another machine, and released something there."""
    planned = prepared(tmp_path)
    planned.release()
    planned.back_up(tmp_path / "restoring" / "b.backup")
    elsewhere = Elsewhere(planned.hardware, tmp_path / "restoring")
    with elsewhere.running() as (service, url):
        recovered(planned, url, "ann", "bob")
    go_on(planned, service, elsewhere)
    planned.release()
    return planned


def log_of(board: Planned) -> list[bytes]:
    return asyncio.run(board.host.entries(0, board.host.durable_size))


def verified(board: Planned, *, without: Digest | None = None) -> VerifiedLog:
    """The log with all the evidence that it names, or all but one."""
    entries = log_of(board)
    objects = {}
    for digest in named_evidence(entries):
        body = board.store.object(board.board, digest)
        assert body is not None
        if digest != without:
            objects[object_name(digest)] = body
    note = board.host.checkpoint()
    return verify_log(entries, note=note, objects=objects, genesis=board.board)


def recovery_of(board: Planned) -> Recovery:
    envelopes = [Entry.from_bytes(data).envelope for data in log_of(board)]
    [body] = [item.payload for item in envelopes if statement_kind(item) == "recovery"]
    return Recovery.from_fields(Fields(parse_canonical_json(body, what="entry"), "entry"))


def test_the_evidence_of_a_recovery_is_verified(board: Planned) -> None:
    """The machine that the members let go on proved itself with the keys that signed since."""
    proofs = verified(board).replayed.proofs
    recovery = recovery_of(board)
    [proof] = [item for item in proofs if item.evidence == recovery.evidence]
    assert (proof.entry, proof.binding) == (recovery.size, recovery.binding)
    assert board.service.keyset == recovery.keyset


def test_a_recovery_without_its_evidence_is_refused(board: Planned) -> None:
    """Members may have looked; whoever reads the log later looks again."""
    with pytest.raises(BundleContentError, match="is missing"):
        verified(board, without=recovery_of(board).evidence)


def test_replaying_alone_names_what_a_recovery_rests_on(board: Planned) -> None:
    """Whoever makes a bundle fetches it."""
    assert recovery_of(board).evidence in named_evidence(log_of(board))
    assert recovery_of(board).evidence in [p.evidence for p in replay(log_of(board)).proofs]


def test_a_hand_over_without_its_evidence_is_refused(tmp_path: Path) -> None:
    """Whom the service before named as its successor proved itself; a bundle shows how."""
    board = movable(tmp_path)
    machine = Machine(board.hardware)
    with board.over_http() as source, machine.running() as (service, target):
        handover = moved(board, source, target)
    settled_at(board, service, machine)

    found = {proof.evidence: proof for proof in verified(board).replayed.proofs}
    assert found[handover.evidence].binding == handover.binding
    with pytest.raises(BundleContentError, match=f"evidence {handover.evidence} is missing"):
        verified(board, without=handover.evidence)
