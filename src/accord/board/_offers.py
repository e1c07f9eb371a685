# SPDX-License-Identifier: Apache-2.0
"""Assets of a board: offered and withdrawn by their owners, each statement after the one before."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from accord.board._asset import AssetOffer, AssetWithdrawal
from accord.board._record import AssetRecord, keys_digest
from accord.encoding import Digest
from accord.errors import StaleStatementError, UnknownAssetError
from accord.identity import Statement

if TYPE_CHECKING:
    from accord.board._state import BoardState


def offer_asset(state: BoardState, statement: Statement, _index: int, _time: datetime) -> None:
    """A new asset, or another version of one. Raises BRD errors."""
    offer = AssetOffer.from_fields(statement.fields())
    state.must_be_here(offer.board)
    owner = state.must_be_signed_by(offer.owner, statement)
    _must_follow(state, offer.name, offer.predecessor)
    before = state.assets.get(offer.name)
    readers = [state.members[name] for name in offer.terms.readers if name in state.members]
    state.assets[offer.name] = AssetRecord(
        offer,
        statement.digest,
        statement.digest,
        owner.identity.verify_key.key_id,
        {reader.name: keys_digest(reader.identity) for reader in readers},
        (*(before.deposits if before else ()), statement.digest),
    )


def withdraw_asset(state: BoardState, statement: Statement, _index: int, _time: datetime) -> None:
    """Nothing of the asset is released any more. Raises BRD errors."""
    withdrawal = AssetWithdrawal.from_fields(statement.fields())
    state.must_be_here(withdrawal.board)
    state.must_be_signed_by(withdrawal.owner, statement)
    if withdrawal.name not in state.assets:
        raise UnknownAssetError(asset=withdrawal.name)
    _must_follow(state, withdrawal.name, withdrawal.predecessor)
    record = state.assets[withdrawal.name]
    record.withdrawn, record.latest = True, statement.digest
    if withdrawal.erase:
        record.deposits = ()


def _must_follow(state: BoardState, asset: str, predecessor: Digest | None) -> None:
    record = state.assets.get(asset)
    latest = record.latest if record else None
    if predecessor != latest:
        raise StaleStatementError(what=asset, found=predecessor, expected=latest)
