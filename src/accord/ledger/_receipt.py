# SPDX-License-Identifier: Apache-2.0
"""Receipts: a proof of inclusion as a COSE message (RFC 9942, RFC9162_SHA256)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cbor2

from accord.encoding import CBORValue, Tagged, decode_cbor
from accord.errors import CheckpointOriginError, MalformedError
from accord.identity import VerifyKey
from accord.ledger._checkpoint import Checkpoint
from accord.ledger._entry import leaf
from accord.ledger._lines import MAX_PROOF_HASHES
from accord.ledger._merkle import HASH_BYTES, inclusion_root, leaf_hash
from accord.ledger._note import SIGNATURE_BYTES, NoteSigner

_SIGN1 = 18
"""COSE_Sign1 (RFC 9052)."""

_ALGORITHM, _KEY_ID, _CLAIMS, _STRUCTURE, _PROOFS = 1, 4, 15, 395, 396
"""Header parameters of RFC 9052, RFC 9597 and RFC 9942."""

_EDDSA = -8
_RFC9162_SHA256 = 1
_INCLUSION = -1
_ISSUER, _SUBJECT = 1, 2
_LIMIT = 1 << 14
_WHAT = "receipt"


def cose_receipt(
    checkpoint: Checkpoint, *, index: int, proof: Sequence[bytes], signer: NoteSigner
) -> bytes:
    """A receipt that entry ``index`` is under ``checkpoint``, signed with the key of the log.

    The proof is *not* verified. A receipt does not say who cosigned: see `LogProof`.
    """
    protected = _protected(checkpoint.origin, index, checkpoint.size, signer.verify_key)
    signature = signer.sign(_to_be_signed(protected, checkpoint.root))
    return _message(protected, index, checkpoint.size, proof, signature)


def verify_cose_receipt(receipt: bytes, entry: bytes, *, origin: str, key: VerifyKey) -> Checkpoint:
    """The tree of log ``origin`` that holds ``entry``, if ``key`` signed so.

    Its root is what the proof leads to. Whether any witness saw that tree is *not* known.

    Raises ``CheckpointOriginError``, ``InclusionError``, ``SignatureInvalidError``,
    ``TooLargeError`` or ``MalformedError``.
    """
    # (1) One spelling: what was read is what would be written.
    found, protected, index, size, proof, signature = _read(receipt)
    if _message(protected, index, size, proof, signature) != receipt:
        raise MalformedError(what=_WHAT, detail="not in deterministic encoding (RFC 8949, 4.2)")
    # (2) It speaks of this log, and its signed header of this place in a tree of this size.
    if found != origin:
        raise CheckpointOriginError(found=found, expected=origin)
    if protected != _protected(origin, index, size, key):
        raise MalformedError(what=_WHAT, detail="its protected header says something else")
    # (3) "Inclusion proof, then signature over the root" (RFC 9942, section 5.2.1).
    root = inclusion_root(leaf_hash(leaf(entry)), index=index, size=size, proof=proof)
    key.verify(signature, _to_be_signed(protected, root), what=_WHAT)
    return Checkpoint(origin, size, root)


def _protected(origin: str, index: int, size: int, key: VerifyKey) -> bytes:
    # The standard signs neither index nor size, and some paths fit to several sizes.
    return _encoded(
        {
            _ALGORITHM: _EDDSA,
            _KEY_ID: key.key_id.encode(),
            _CLAIMS: {_ISSUER: origin, _SUBJECT: f"{index}/{size}"},
            _STRUCTURE: _RFC9162_SHA256,
        }
    )


def _to_be_signed(protected: bytes, root: bytes) -> bytes:
    """Sig_structure (RFC 9052, 4.4) over the root, which is not in the message ("detached")."""
    return _encoded(["Signature1", protected, b"", root])


def _message(
    protected: bytes, index: int, size: int, proof: Sequence[bytes], signature: bytes
) -> bytes:
    inclusion = _encoded([size, index, list(proof)])
    proofs = {_PROOFS: {_INCLUSION: [inclusion]}}
    return _encoded(cbor2.CBORTag(_SIGN1, [protected, proofs, None, signature]))


def _read(receipt: bytes) -> tuple[str, bytes, int, int, tuple[bytes, ...], bytes]:
    """Origin, protected header, index, size, proof and signature: of these types, unverified."""
    message = decode_cbor(receipt, what=_WHAT, limit=_LIMIT)
    match message:
        case Tagged(
            tag=18,
            value=[bytes(protected), {396: {-1: [bytes(inclusion)]}}, None, bytes(signature)],
        ) if len(signature) == SIGNATURE_BYTES:
            pass
        case _:
            raise MalformedError(what=_WHAT, detail="not a COSE_Sign1 with one inclusion proof")
    match decode_cbor(protected, what=f"header of {_WHAT}"):
        case {15: {1: str(origin)}}:
            pass
        case _:
            raise MalformedError(what=_WHAT, detail="its protected header names no issuer")
    match decode_cbor(inclusion, what=f"proof in {_WHAT}"):
        case [int(size), int(index), list(proof)] if _hashes(proof):
            return origin, protected, index, size, tuple(proof), signature
        case _:
            raise MalformedError(what=_WHAT, detail="its proof is not: size, index, path")


def _encoded(value: Any) -> bytes:
    """Deterministic (RFC 8949, 4.2.1): of keys such as ours the older order is the same."""
    return cbor2.dumps(value, canonical=True)


def _hashes(proof: list[CBORValue]) -> bool:
    return len(proof) <= MAX_PROOF_HASHES and all(
        isinstance(each, bytes) and len(each) == HASH_BYTES for each in proof
    )
