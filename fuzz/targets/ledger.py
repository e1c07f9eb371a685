# SPDX-License-Identifier: Apache-2.0
"""The parsers of the formats of transparency logs."""

from __future__ import annotations

from collections.abc import Callable

from accord.identity import VerifyKey
from accord.ledger import (
    AddCheckpoint,
    LogProof,
    add_signatures,
    cosignatures,
    parse_cosigner_vkey,
    parse_policy_text,
    parse_tile_path,
    read_entry_bundle,
    verify_cose_receipt,
)

_KEY = VerifyKey(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


TARGETS: dict[str, Callable[[bytes], object]] = {
    "ledger-add-checkpoint": AddCheckpoint.from_bytes,
    "ledger-add-signatures": lambda data: add_signatures(data, [_text(data)]),
    "ledger-cosignatures": lambda data: cosignatures(data, {"fuzz": _KEY}, strict=True),
    "ledger-cosigner": lambda data: parse_cosigner_vkey(_text(data)),
    "ledger-entry-bundle": lambda data: read_entry_bundle(data, width=3),
    "ledger-policy": lambda data: parse_policy_text(_text(data)),
    "ledger-proof": LogProof.from_bytes,
    "ledger-receipt": lambda data: verify_cose_receipt(data, b"{}", origin="fuzz", key=_KEY),
    "ledger-tile-path": lambda data: parse_tile_path(_text(data)),
}
