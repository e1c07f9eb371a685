# SPDX-License-Identifier: Apache-2.0
"""What guests of the Key Broker protocol got is proved from the log and the evidence it names."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.kbs import GuestBoard, GuestProgram
from tests.support.live import Hardware

from accord.bundle import EvidenceCheck, Proof, named_evidence, object_name, replay
from accord.encoding import Digest
from accord.errors import BundleContentError
from accord.policy import Assurance
from accord.release import ResourceRelease


@pytest.fixture
def board(hardware: Hardware, tmp_path: Path) -> GuestBoard:
    """One whose log says that a guest got a secret."""
    board = GuestBoard(hardware, tmp_path)
    board.guests()
    guest = GuestProgram(board, board.collect)
    guest.attest()
    guest.fetch()
    return board


def entries(board: GuestBoard) -> list[bytes]:
    return asyncio.run(board.host.entries(0, board.host.head.size))


def bodies(board: GuestBoard) -> dict[str, bytes]:
    found = {}
    for digest in named_evidence(entries(board)):
        body = asyncio.run(board.service.read_object(board.host, digest))
        assert body is not None
        found[object_name(digest)] = body
    return found


def proof_of_guest(board: GuestBoard) -> tuple[list[Proof], Proof, ResourceRelease]:
    proofs = list(replay(entries(board)).proofs)
    (proof,) = (item for item in proofs if item.resource is not None)
    assert proof.resource is not None
    return proofs, proof, proof.resource


def test_evidence_of_a_guest_is_verified(board: GuestBoard) -> None:
    """With the runtime data that it is bound to; nothing else is left over."""
    check = EvidenceCheck(board.host.machine.board.genesis, bodies(board))
    for proof in replay(entries(board)).proofs:
        check.check(proof)
    check.refuse_unused()


@pytest.mark.parametrize("change", ["assurance", "result", "evidence", "runtime data"])
def test_guest_is_not_proved_to_be_what_it_was_not(board: GuestBoard, change: str) -> None:
    """More worth, another result, and evidence that is not at hand."""
    proofs, proof, resource = proof_of_guest(board)
    objects = bodies(board)
    changed = {
        "assurance": replace(resource, assurance=Assurance.CVM),
        "result": replace(resource, result={}),
    }.get(change, resource)
    missing: dict[str, Digest] = {
        "evidence": proof.evidence,
        "runtime data": resource.runtime_data,
    }
    if change in missing:
        del objects[object_name(missing[change])]
    check = EvidenceCheck(board.host.machine.board.genesis, objects)
    for other in proofs[: proofs.index(proof)]:
        check.check(other)

    with pytest.raises(BundleContentError):
        check.check(replace(proof, resource=changed))


def test_only_guests_have_runtime_data(board: GuestBoard) -> None:
    """Asking for that of another entry is a mistake of the program."""
    proofs, _, _ = proof_of_guest(board)
    with pytest.raises(RuntimeError):
        _ = proofs[0].runtime_data
