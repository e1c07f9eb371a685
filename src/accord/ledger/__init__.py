# SPDX-License-Identifier: Apache-2.0
"""The append-only log: entries, Merkle proofs, signed checkpoints. Pure: no I/O, no clock."""

from accord.ledger._checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from accord.ledger._entry import MAX_ENTRY_BYTES, Entry, leaf
from accord.ledger._ledger import Ledger, LogHead
from accord.ledger._merkle import (
    EMPTY_ROOT,
    MerkleTree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from accord.ledger._note import NoteSigner, open_note, parse_vkey, sign_note, vkey

__all__ = [
    "EMPTY_ROOT",
    "MAX_ENTRY_BYTES",
    "Checkpoint",
    "Entry",
    "Ledger",
    "LogHead",
    "MerkleTree",
    "NoteSigner",
    "leaf",
    "leaf_hash",
    "open_note",
    "parse_vkey",
    "sign_checkpoint",
    "sign_note",
    "verify_checkpoint",
    "verify_consistency",
    "verify_inclusion",
    "vkey",
]
