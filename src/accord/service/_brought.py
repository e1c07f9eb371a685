# SPDX-License-Identifier: Apache-2.0
"""A board from another machine comes into the store: all of it at once, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accord.client import BackupHeader
from accord.errors import BackupDamagedError
from accord.release import Machine
from accord.service._cosigned import checkpoint_setting
from accord.service._hosting import Hosting
from accord.service._store import Stored


def bring(
    hosting: Hosting,
    header: BackupHeader,
    machine: Machine,
    batch: Sequence[Stored],
    *,
    notes: Mapping[int, bytes],
) -> None:
    """Puts the whole log into the store, in one transaction.

    What this service had of it, before it gave it away, must be its beginning; the last entry
    comes with all bodies and secrets. ``notes`` are the checkpoints that first covered each
    change of witnesses.

    Raises ``BackupDamagedError`` where another log is there, ``NotWriterError``, and what the
    store raises.
    """
    store, board = hosting.store, header.board
    fence = store.acquire(board, hosting.holder)
    try:
        known = 0
        for known, (kept, item) in enumerate(zip(store.entries(board), batch, strict=False), 1):
            if kept != item.entry:
                raise BackupDamagedError(detail=f"this service has another entry {known - 1}")
        if store.size(board) >= len(batch):
            raise BackupDamagedError(detail="this service has more of the log")
        if machine.board.charter.witnesses is not None:
            # First, so that only the witnesses in force there are needed to go on.
            store.set_setting(checkpoint_setting(board), header.checkpoint)
            for change, note in notes.items():
                store.set_setting(checkpoint_setting(board, change), note)
        store.append(board, known, batch[known:], fence=fence)
    finally:
        store.release_writer(board, fence)
