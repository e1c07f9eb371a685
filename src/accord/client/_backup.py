# SPDX-License-Identifier: Apache-2.0
"""What a backup shows to everybody, and who seals what to whom (docs/adr/0021-recovery.md)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from accord.client._cosigned import verify_cosigned
from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
    parse_canonical_json,
    parse_digest,
)
from accord.errors import BackupDamagedError, NotCosignedError, SignatureInvalidError
from accord.identity import VerifyKey
from accord.ledger import Ledger, verify_checkpoint
from accord.release import Machine, log_origin

ID_BYTES = HASH_BYTES = 32
MAX_NOTE = 1 << 16


def backup_key_context(board: Digest, backup: bytes, holder: Digest) -> JSONValue:
    """What the key of a backup is sealed for; ``holder`` is the id of a member's key."""
    return {"board": board, "backup": backup.hex(), "holder": holder}


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """What a backup shows to everybody."""

    SCHEMA = "accord.backup.v1"

    board: Digest
    backup: bytes
    """Random: no two backups have the same keys."""

    epoch: int
    size: int
    root: bytes
    checkpoint: bytes
    """The signed note over exactly these entries; on a witnessed board a quorum cosigned it."""

    keys: Mapping[Digest, bytes]
    """The key of the log's part, sealed to each member, by the id of their signing key."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises ``EncodingError``; neither checkpoint nor keys are verified."""
        fields = Fields(parse_canonical_json(data, what="backup"), "backup")
        fields.schema(cls.SCHEMA)
        listed = fields.object("keys")
        header = cls(
            fields.digest("board"),
            fields.hex("backup", size=ID_BYTES),
            fields.integer("epoch", minimum=1),
            fields.integer("size", minimum=1),
            fields.hex("root", size=HASH_BYTES),
            fields.data("checkpoint", limit=MAX_NOTE),
            MappingProxyType(
                {
                    parse_digest(name, what="backup.keys"): listed.data(name)
                    for name in listed.names()
                }
            ),
        )
        listed.end()
        fields.end()
        return header

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "backup": self.backup.hex(),
            "epoch": self.epoch,
            "size": self.size,
            "root": self.root.hex(),
            "checkpoint": base64_encode(self.checkpoint),
            "keys": {name: base64_encode(sealed) for name, sealed in self.keys.items()},
        }

    def to_bytes(self) -> bytes:
        return canonical_json(self.to_json())


def verify_backup(header: BackupHeader, ledger: Ledger, machine: Machine) -> None:
    """That the log that was replayed is the one of the backup, and the witnesses have seen it.

    That the log did not go on after the backup is *not* known. Raises ``BackupDamagedError``
    and what verifying the checkpoint raises.
    """
    # (1) The log's own key signed a checkpoint over all of it, under its present name.
    if machine.log_key is None or machine.board.board != header.board:
        raise BackupDamagedError(detail="it holds another log")
    note, key = header.checkpoint, _signer(header, ledger, machine)
    # (2) The header, which members are shown, says the same.
    if (ledger.size, ledger.root()) != (header.size, header.root):
        raise BackupDamagedError(detail="its header is of another log")
    # (3) A quorum of the witnesses in force at its end has seen it: no clone made it alone.
    if machine.board.charter.witnesses is not None:
        try:
            verify_cosigned(note, ledger=ledger, machine=machine, key=key)
        except NotCosignedError as exc:
            raise BackupDamagedError(detail=exc) from exc


def _signer(header: BackupHeader, ledger: Ledger, machine: Machine) -> VerifyKey:
    """Whose checkpoint over the whole log it is: after a hand-over also who wrote that."""
    note = header.checkpoint
    origin = log_origin(header.board, machine.board.generation(ledger.size))
    *others, last = machine.closing_keys
    for key in others:
        with suppress(SignatureInvalidError):
            ledger.verify_complete(verify_checkpoint(note, origin=origin, name=origin, key=key))
            return key
    ledger.verify_complete(verify_checkpoint(note, origin=origin, name=origin, key=last))
    return last


def reseal_context(board: Digest, boot: bytes, member: str) -> JSONValue:
    """What a member seals to one boot: the key of a backup, or their share."""
    return {"board": board, "boot": boot.hex(), "member": member}
