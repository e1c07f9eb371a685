# SPDX-License-Identifier: Apache-2.0
"""What members together can read of a backup, without any service."""

from __future__ import annotations

from pathlib import Path

from accord.client import backup_key_context, own_share
from accord.identity import open_sealed
from accord.release import BACKUP_KEY_PURPOSE, RootShares
from accord.service._backup import BackupReader
from accord.service._root import BoardRoot, rebuild
from tests.support.recovering import Planned


def shares_of(board: Planned) -> RootShares:
    shares = board.host.machine.root_shares
    assert shares is not None
    return shares


def root_of(board: Planned, shares: RootShares, *names: str) -> BoardRoot:
    """The root secret that these members rebuild together."""
    return rebuild(shares, [own_share(board.identity(name), shares) for name in names])


def secrets_in(board: Planned, path: Path, root: BoardRoot) -> dict[str, bytes]:
    """What ``root`` opens of a backup, whose log any member opens."""
    identity = board.identity("ann")
    with path.open("rb") as file:
        reader = BackupReader(file)
        holder, header = identity.signer.key_id, reader.header
        key = open_sealed(
            header.keys[holder],
            identity.seal_private_key,
            purpose=BACKUP_KEY_PURPOSE,
            context=backup_key_context(board.board, header.backup, holder),
        )
        assert list(reader.log(key))
        opened = root.derive("backup", salt=header.backup)
        return {item.name: item.data for item in reader.secrets(opened)}
