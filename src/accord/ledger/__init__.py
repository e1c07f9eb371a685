# SPDX-License-Identifier: Apache-2.0
"""The append-only log: entries, Merkle proofs, signed checkpoints. Pure: no I/O, no clock."""

from accord.ledger._add_checkpoint import AddCheckpoint
from accord.ledger._checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from accord.ledger._cosignature import (
    cosign,
    cosignatures,
    cosigner_vkey,
    parse_cosigner_vkey,
)
from accord.ledger._entry import MAX_ENTRY_BYTES, Entry, leaf
from accord.ledger._ledger import Ledger, LogHead
from accord.ledger._merkle import (
    EMPTY_ROOT,
    TILE_WIDTH,
    MerkleTree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from accord.ledger._note import (
    NoteSigner,
    add_signatures,
    open_note,
    parse_vkey,
    sign_note,
    vkey,
)
from accord.ledger._proof import LogProof
from accord.ledger._receipt import cose_receipt, verify_cose_receipt
from accord.ledger._tiles import (
    MAX_LEAF_BYTES,
    TilePath,
    entry_bundle,
    parse_tile_path,
    read_entry_bundle,
    tile_path,
)
from accord.ledger._trust_policy import (
    PolicyGroup,
    PolicyKey,
    TrustPolicy,
    parse_policy_text,
    policy_text,
)

__all__ = [
    "EMPTY_ROOT",
    "MAX_ENTRY_BYTES",
    "MAX_LEAF_BYTES",
    "TILE_WIDTH",
    "AddCheckpoint",
    "Checkpoint",
    "Entry",
    "Ledger",
    "LogHead",
    "LogProof",
    "MerkleTree",
    "NoteSigner",
    "PolicyGroup",
    "PolicyKey",
    "TilePath",
    "TrustPolicy",
    "add_signatures",
    "cose_receipt",
    "cosign",
    "cosignatures",
    "cosigner_vkey",
    "entry_bundle",
    "leaf",
    "leaf_hash",
    "open_note",
    "parse_cosigner_vkey",
    "parse_policy_text",
    "parse_tile_path",
    "parse_vkey",
    "policy_text",
    "read_entry_bundle",
    "sign_checkpoint",
    "sign_note",
    "tile_path",
    "verify_checkpoint",
    "verify_consistency",
    "verify_cose_receipt",
    "verify_inclusion",
    "vkey",
]
