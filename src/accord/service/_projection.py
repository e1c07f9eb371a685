# SPDX-License-Identifier: Apache-2.0
"""The state of a board from its log, with a saved state to start from (docs/spec/store.md)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from accord.encoding import Digest, Envelope, Fields, canonical_json, parse_json
from accord.errors import AccordError, StoreIntegrityError
from accord.ledger import Entry, LogHead
from accord.release import Machine, machine_to_json, read_machine
from accord.service._store import Store

SAVE_EVERY = 1000
"""Entries replayed at a start after which the state is saved: about a second of work."""

MAX_PROJECTION_BYTES = 1 << 30
"""Largest saved state read. It is our own and authentic; this bounds a mistake."""

_SCHEMA = "accord.projection.v1"

_LOG = logging.getLogger("accord.service")


@dataclass(frozen=True, slots=True)
class Replayed:
    """A log's head, the state it leads to, and its first statement."""

    head: LogHead
    machine: Machine
    genesis: Envelope


def damaged(board: str, detail: object) -> StoreIntegrityError:
    """The error that says that a stored log does not hold."""
    return StoreIntegrityError(path=f"of board {board}", detail=detail)


def replay(store: Store, board: Digest, *, save_it: bool) -> Replayed:
    """The board as its stored log says.

    Entries that a saved state covers are only hashed: the root over them must be the one that
    was saved with it. Every other entry is verified again. Raises ``StoreIntegrityError``.
    """
    try:
        found, replayed = _replayed(store, board)
    except StoreIntegrityError:
        raise
    except AccordError as exc:
        raise damaged(board, exc) from exc
    if found.machine.board.board != board:
        raise damaged(board, f"it holds the log of {found.machine.board.board}")
    if save_it and replayed >= SAVE_EVERY:
        save(store, found)
    return found


def save(store: Store, state: Replayed) -> None:
    """Saves the state, which must be durable, so that the next start replays less."""
    board, size = state.machine.board.board, state.head.size
    document = {
        "schema": _SCHEMA,
        "board": board,
        "root": state.head.root().hex(),
        "genesis": state.genesis.to_json(),
        "state": machine_to_json(state.machine),
    }
    store.save_projection(board, size, canonical_json(document))


def _replayed(store: Store, board: Digest) -> tuple[Replayed, int]:
    """The state, and how many entries were verified to get there."""
    saved = store.projection(board)
    if saved is None:
        return _all(store, board)
    size, data = saved
    try:
        root, genesis, machine = _read(data)
    except AccordError as exc:
        # Of another version of the service, or one that it wrote wrongly. The log is the truth.
        _LOG.warning("the saved state of board %s is not used: %s (%s)", board, exc, exc.code)
        return _all(store, board)
    head = LogHead()
    entries = store.entries(board)
    for data in entries:
        if head.size == size - 1:
            break
        head.rehash(data)
    # The last of them is read, for its time.
    head.extend(data)
    if head.size != size or head.root().hex() != root:
        raise damaged(board, "its saved state is of another log")
    for data in entries:
        machine.apply(head.extend(data))
    return Replayed(head, machine, genesis), head.size - size


def _read(data: bytes) -> tuple[str, Envelope, Machine]:
    """The root over the entries that a saved state covers, the first statement, and the state."""
    fields = Fields(parse_json(data, what="projection", limit=MAX_PROJECTION_BYTES), "projection")
    fields.schema(_SCHEMA)
    fields.digest("board")
    root = fields.text("root")
    genesis = Envelope.from_json(fields.take("genesis"), what="genesis")
    machine = read_machine(fields.take("state"))
    fields.end()
    return root, genesis, machine


def _all(store: Store, board: Digest) -> tuple[Replayed, int]:
    head = LogHead()
    entries = store.entries(board)
    first = next(entries, None)
    if first is None:
        raise damaged(board, "the log is empty")
    entry: Entry = head.extend(first)
    machine = Machine.found(entry)
    for data in entries:
        machine.apply(head.extend(data))
    return Replayed(head, machine, entry.envelope), head.size
