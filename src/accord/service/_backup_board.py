# SPDX-License-Identifier: Apache-2.0
"""Makes a backup of one board while the service goes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from accord.board import witness_changes
from accord.client import BackupHeader
from accord.encoding import Digest, parse_canonical_json
from accord.errors import NoRecoveryPlanError, NotCosignedError, NotWriterError
from accord.identity import seal
from accord.ledger import Entry, verify_checkpoint
from accord.policy import AUTHORITY
from accord.release import (
    PACKAGE_KEY_PURPOSE,
    Handover,
    HandoverOffer,
    Machine,
    log_origin,
    package_context,
)
from accord.service._backup import ID_BYTES, KEY_BYTES, Item, new_backup_key, write_backup
from accord.service._cosigned import checkpoint_setting
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._root import ROOT_NAME, BoardRoot
from accord.service._secret_names import authority_name, deposit_name, secret_name, volume_key_name
from accord.service._store import Store

NO_ROOT = 1
"""The epoch that the header of a package shows where the board has no root secret."""


async def back_up(parts: Parts, host: BoardHost) -> Iterator[bytes]:
    """The bytes of a backup of everything that is durable now; iterate it in a thread.

    What it holds is sealed to the members and under the root secret in force: an operator who
    has it can read nothing. On a witnessed board it ends where a quorum has seen the log last.
    Raises ``NoRecoveryPlanError``, ``NotWriterError``, ``NotCosignedError``, ``LogForkError``.
    """
    store, known, shares = parts.hosting.store, host.head.size, host.machine.root_shares
    note, size = await _covered(parts, host, known - 1)
    stored = await parts.hosting.run(store.secret, host.board, ROOT_NAME)
    if stored is None or shares is None:
        raise NoRecoveryPlanError(board=host.board)
    root = BoardRoot.from_bytes(host.board, stored)
    if root.epoch != shares.epoch:  # It was split anew meanwhile.
        await host.catch_up()
        return await back_up(parts, host)
    # The state is that of at least ``size`` entries, and at most has more to keep.
    machine = host.machine
    holders = {
        member.identity.verify_key.key_id: member.identity.seal_key
        for member in machine.board.members.values()
    }
    backup, key, sealed = new_backup_key(host.board, holders)
    root_hash = host.head.root(size)
    header = BackupHeader(host.board, backup, root.epoch, size, root_hash, note, sealed)
    return write_backup(
        header,
        key=key,
        secrets_key=root.derive("backup", salt=backup),
        log=chain(_log(store, host.board, size), _changes(store, machine, size)),
        secrets=_values(store, host.board, [*_names(machine)]),
    )


async def _covered(parts: Parts, host: BoardHost, index: int) -> tuple[bytes, int]:
    """A checkpoint over entry ``index`` and all before it, and its size.

    A quorum has cosigned it where the board has witnesses: whoever restores it need not ask
    those that were replaced. Raises what `BoardHost.confirmed` raises, or ``NotWriterError``.
    """
    if host.witnessed and not host.writes:  # Only its rounds say how far witnesses have come.
        raise NotWriterError(board=host.board, writer="another service")
    await host.confirmed(index)
    if not host.witnessed:
        size = host.durable_size
        return host.checkpoint(size), size
    note, size = host.cosigning.note or b"", host.cosigning.size
    origin = log_origin(host.board, host.machine.board.generation(size))
    key = parts.keyset.verify_key
    checkpoint = verify_checkpoint(note, origin=origin, name=origin, key=key)
    if size <= index or checkpoint != host.head.checkpoint(origin, size):
        raise NotCosignedError(index=index, reached=0, quorum=0)
    return note, size


async def pack(
    parts: Parts, host: BoardHost, gone: Handover, offer: HandoverOffer, note: bytes
) -> Iterator[bytes]:
    """The bytes of everything that the service of ``offer`` needs; iterate them in a thread.

    It is a backup whose keys nobody has but the boot that made the offer. ``note`` is the
    checkpoint over the log, which ends with the hand-over.
    """
    machine, size, store = host.machine, gone.size + 1, parts.hosting.store
    package, keys = parts.entropy(ID_BYTES), parts.entropy(2 * KEY_BYTES)
    holder = offer.keyset.verify_key.key_id
    context = package_context(host.board, package, offer.boot, holder)
    sealed = {holder: seal(keys, offer.key, purpose=PACKAGE_KEY_PURPOSE, context=context)}
    epoch = machine.root_shares.epoch if machine.root_shares is not None else NO_ROOT
    header = BackupHeader(host.board, package, epoch, size, host.head.root(size), note, sealed)
    return write_backup(
        header,
        key=keys[:KEY_BYTES],
        secrets_key=keys[KEY_BYTES:],
        log=chain(_log(store, host.board, size), _changes(store, machine, size)),
        secrets=_values(store, host.board, [ROOT_NAME, *_names(machine)]),
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
    """Every entry, each followed by the bodies that it names first."""
    seen = set[Digest]()
    for data in islice(store.entries(board), size):
        yield Item("e", data)
        for name in _named(data):
            found = None if name in seen else store.object(board, name)
            seen.add(name)
            if found is not None:
                yield Item("o", found)


def _changes(store: Store, machine: Machine, size: int) -> Iterator[Item]:
    """For members who were away: how witnesses handed over to others."""
    board = machine.board
    for change in witness_changes(board.witnessed, since=0, size=size):
        note = store.setting(checkpoint_setting(board.board, change))
        if note is not None:
            yield Item("n", note, str(change))


def _named(data: bytes) -> Iterator[Digest]:
    """The bodies that an entry names: evidence, what it is bound to, and keys with certificates."""
    body = parse_canonical_json(Entry.from_bytes(data).envelope.payload, what="entry")
    if isinstance(body, dict):
        evidence, runtime_data = body.get("evidence"), body.get("runtime_data")
        yield from (Digest(name) for name in (evidence, runtime_data) if isinstance(name, str))
        key = body.get("tls_spki_sha256")
        if isinstance(key, str):
            yield Digest(f"sha256:{key}")


def _values(store: Store, board: str, names: list[str]) -> Iterator[Item]:
    for name in names:
        value = store.secret(board, name)
        if value:  # An empty one was erased.
            yield Item("s", value, name)
