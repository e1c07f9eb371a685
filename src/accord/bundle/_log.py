# SPDX-License-Identifier: Apache-2.0
"""Checking a whole log offline: its entries, its checkpoint, the evidence that it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accord.board import BoardState, WitnessPolicy
from accord.bundle._evidence import Environments, EvidenceCheck
from accord.bundle._proofs import Proof, Replayed, replay
from accord.encoding import Digest
from accord.errors import (
    BundleContentError,
    BundleGenesisError,
    BundleWitnessError,
    CosignatureUnknownError,
)
from accord.evidence import Claims
from accord.identity import VerifyKey
from accord.ledger import cosignatures, verify_checkpoint
from accord.release import Machine, log_origin


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A log of which every entry holds, and who saw it."""

    replayed: Replayed
    runs: Mapping[str, Environments]
    """By run, the claims of those who had its keys."""

    exports: Sequence[tuple[Proof, Claims]]
    """Secrets that other trust services imported, with the claims of each service."""

    cosigned: Mapping[str, int]
    """By witness, when it cosigned the checkpoint (POSIX time, by its own clock)."""

    @property
    def machine(self) -> Machine:
        return self.replayed.machine

    @property
    def size(self) -> int:
        return self.replayed.ledger.size


def verify_log(
    entries: Iterable[bytes],
    *,
    note: bytes,
    objects: Mapping[str, bytes],
    genesis: Digest | None = None,
) -> VerifiedLog:
    """The log of ``entries``, if it is whole, lawful and cosigned, and its evidence holds.

    ``objects`` is what the log names by digest, by file name in a bundle. Whether it is the
    *latest* state of the board is not known here.

    Raises BUN errors, and what replaying, the checkpoint and verifying evidence raise.
    """
    # (1) Entry 0 is the genesis of the board that the caller means, signed by every founder;
    #     replaying the rest re-checks every signature, vote, term and use.
    replayed = replay(entries)
    board = replayed.machine.board
    if genesis is not None and board.board != genesis:
        raise BundleGenesisError(found=board.board, expected=genesis)
    # (2) The checkpoint is over exactly this log, by the log key and a quorum of witnesses.
    cosigned = verify_note(replayed, note)
    # (3) Evidence of every service start, recovery and hand-over, release, renewal, guest,
    #     importing service and automated ballot, as of the time it was used, by the charter and the
    #     policy that were in force then.
    evidence = EvidenceCheck(board.genesis, objects)
    for proof in replayed.proofs:
        evidence.check(proof)
    evidence.refuse_unused()
    return VerifiedLog(replayed, evidence.runs, tuple(evidence.exports), cosigned)


def verify_note(replayed: Replayed, note: bytes) -> Mapping[str, int]:
    """Who cosigned the checkpoint of a log, every byte of which is accounted for.

    Raises ``BundleContentError``, ``BundleWitnessError``, LED and IDN errors.
    """
    ledger, machine = replayed.ledger, replayed.machine
    if machine.log_key is None:
        raise BundleContentError(detail="no trust service ever started on this board")
    board = machine.board
    # Of this size it is by the key that is the log's at its end, whatever key came before.
    origin = log_origin(board.board, board.generation(ledger.size))
    checkpoint = verify_checkpoint(note, origin=origin, name=origin, key=machine.log_key)
    ledger.verify_complete(checkpoint)
    witnesses = board.charter.witnesses
    keys = {} if witnesses is None else {w.name: w.key for w in witnesses.witnesses}
    cosigned = cosignatures(note, keys)
    _refuse_strangers(note, board, keys, cosigned)
    _require_quorum(witnesses, cosigned, size=ledger.size)
    return cosigned


def _refuse_strangers(
    note: bytes, board: BoardState, keys: Mapping[str, VerifyKey], cosigned: Mapping[str, int]
) -> None:
    """A line by nobody whom the board ever named could say anything: it is refused, not skipped.

    Witnesses that were replaced cosign the entry that does it, and count for nothing here.
    """
    named = {(w.name, w.key) for _, policy in board.witnessed for w in policy.witnesses}
    former = sum(len(cosignatures(note, {name: key})) for name, key in named - set(keys.items()))
    known = len(cosigned) + former
    found = note.rpartition(b"\n\n")[2].count(b"\n") - 1  # The log's own is not a cosignature.
    if found > known:
        raise CosignatureUnknownError(found=found, known=known)


def _require_quorum(
    witnesses: WitnessPolicy | None, cosigned: Mapping[str, int], *, size: int
) -> None:
    if witnesses is not None and not witnesses.reached(cosigned):
        found = " and ".join(sorted(cosigned)) or "nobody"
        raise BundleWitnessError(size=size, found=found, quorum=witnesses.quorum)
