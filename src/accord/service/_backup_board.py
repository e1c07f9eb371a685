# SPDX-License-Identifier: Apache-2.0
"""Makes a backup of one board while the service goes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from accord.client import BackupHeader
from accord.encoding import parse_canonical_json
from accord.errors import NoRecoveryPlanError
from accord.ledger import Entry
from accord.policy import AUTHORITY
from accord.release import Machine
from accord.service._backup import Item, new_backup_key, write_backup
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._root import ROOT_NAME, BoardRoot
from accord.service._secret_names import authority_name, deposit_name, secret_name, volume_key_name
from accord.service._store import Store


async def back_up(parts: Parts, host: BoardHost) -> Iterator[bytes]:
    """The bytes of a backup of everything that is durable now; iterate it in a thread.

    What it holds is sealed to the members and under the root secret in force: an operator who
    has it can read nothing. Raises ``NoRecoveryPlanError``.
    """
    await host.settled()
    store, machine, size = parts.hosting.store, host.machine, host.durable_size
    shares, names = machine.root_shares, [*_names(machine)]
    holders = {
        member.identity.verify_key.key_id: member.identity.seal_key
        for member in machine.board.members.values()
    }
    note, root_hash = host.checkpoint(size), host.head.root(size)
    stored = await parts.hosting.run(store.secret, host.board, ROOT_NAME)
    if stored is None or shares is None:
        raise NoRecoveryPlanError(board=host.board)
    root = BoardRoot.from_bytes(host.board, stored)
    if root.epoch != shares.epoch:  # It was split anew meanwhile.
        return await back_up(parts, host)
    backup, key, sealed = new_backup_key(host.board, holders)
    header = BackupHeader(host.board, backup, root.epoch, size, root_hash, note, sealed)
    return write_backup(
        header,
        key=key,
        secrets_key=root.derive("backup", salt=backup),
        log=_log(store, host.board, size),
        secrets=_values(store, host.board, names),
    )


def _names(machine: Machine) -> Iterator[str]:
    """The name of everything that the store may keep for a board (`_secret_names`)."""
    yield from map(deposit_name, machine.board.recorded)
    yield from (volume_key_name(record.volume_id) for record in machine.board.tags.values())
    for versions in machine.board.policies.values():
        for policy in versions:
            yield authority_name(policy.digest)
            yield from (secret_name(policy.digest, name) for name in (*policy.secrets, AUTHORITY))


def _log(store: Store, board: str, size: int) -> Iterator[Item]:
    """Every entry, each followed by the evidence that it names."""
    for data in islice(store.entries(board), size):
        yield Item("e", data)
        body = parse_canonical_json(Entry.from_bytes(data).envelope.payload, what="entry")
        named = body.get("evidence") if isinstance(body, dict) else None
        found = store.object(board, named) if isinstance(named, str) else None
        if found is not None:
            yield Item("o", found)


def _values(store: Store, board: str, names: list[str]) -> Iterator[Item]:
    for name in names:
        value = store.secret(board, name)
        if value is not None:
            yield Item("s", value, name)
