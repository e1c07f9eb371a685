# SPDX-License-Identifier: Apache-2.0
"""How far a quorum of witnesses has seen a log, and until when: checked by who replayed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from accord.board import WitnessPolicy, required
from accord.errors import NotCosignedError
from accord.identity import VerifyKey
from accord.ledger import Ledger, cosignatures, verify_checkpoint
from accord.release import Machine, log_origin


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The first ``size`` entries: a quorum of every policy that counts saw them by ``time``."""

    size: int
    time: datetime
    """By the witnesses' clocks; nothing is known of what came after it."""

    witnesses: tuple[str, ...]


def verify_cosigned(
    note: bytes, *, ledger: Ledger, machine: Machine, key: VerifyKey, since: int | None = None
) -> Cosigned:
    """How far ``note``, a checkpoint that ``key`` signed, says that a quorum saw ``ledger``.

    ``since`` is the size that a quorum was known to have seen before: whoever was replaced
    later must have cosigned, too. That the log has not grown since is *not* known.

    Raises ``NotCosignedError``, ``CheckpointOriginError``, ``SignatureInvalidError``,
    ``LogSizeError`` or ``ConsistencyError``.
    """
    board = machine.board
    # (1) It is of this log.
    origin = origin_of(note, machine)
    checkpoint = verify_checkpoint(note, origin=origin, name=origin, key=key)
    # (2) The log that was replayed starts with what it covers.
    ledger.verify_extends(checkpoint)
    # (3) Of every policy that counts, a quorum of groups has signed it.
    before = checkpoint.size if since is None else min(since, checkpoint.size)
    policies = required(board.witnessed, since=before, size=checkpoint.size)
    found: dict[str, int] = {}
    times = []
    for policy in policies:
        signed = cosignatures(note, {item.name: item.key for item in policy.witnesses})
        if not policy.reached(signed):
            groups = {policy.by_name[name].group for name in signed}
            raise NotCosignedError(
                index=checkpoint.size - 1, reached=len(groups), quorum=policy.quorum
            )
        found |= signed
        times.append(_quorum_time(policy, signed))
    if not policies:
        raise NotCosignedError(index=checkpoint.size - 1, reached=0, quorum=0)
    time = datetime.fromtimestamp(min(times), UTC)
    return Cosigned(checkpoint.size, time, tuple(sorted(found)))


def origin_of(note: bytes, machine: Machine) -> str:
    """Which name of the log a checkpoint claims: each fork that was resolved began another."""
    board = machine.board
    names = [log_origin(board.board, n) for n in range(board.generation() + 1)]
    claimed = note.split(b"\n", 1)[0].decode("utf-8", "replace")
    return claimed if claimed in names else names[-1]


def _quorum_time(policy: WitnessPolicy, signed: Mapping[str, int]) -> int:
    """When a quorum had seen it: of the groups' newest times the q-th newest."""
    newest: dict[str, int] = {}
    for name, time in signed.items():
        group = policy.by_name[name].group
        newest[group] = max(time, newest.get(group, 0))
    return sorted(newest.values(), reverse=True)[policy.quorum - 1]
