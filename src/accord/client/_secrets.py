# SPDX-License-Identifier: Apache-2.0
"""Secrets that a member deposits: sealed to the attested trust service, under terms."""

from __future__ import annotations

import os

from accord.board import AssetKind, AssetOffer, AssetRecord, Terms
from accord.client._assets import must_be_worth
from accord.client._home import MemberHome
from accord.client._session import TrustSession
from accord.encoding import sha256
from accord.errors import AssetKindError, ConsentWithdrawnError, UnknownAssetError
from accord.identity import seal, sign_statement
from accord.release import ASSET_KEY_PURPOSE, Machine, asset_key_context
from accord.secrets import SecretValue

SALT_BYTES = 32
"""Before the value, so that its digest in the log cannot be guessed at."""


def deposit_secret(
    home: MemberHome,
    session: TrustSession,
    machine: Machine,
    name: str,
    value: bytes,
    *,
    terms: Terms,
) -> tuple[AssetOffer, int]:
    """Offers ``value`` as the secret ``name``, in place of an earlier one.

    The log has the digest of a salt and the value; the value goes to the attested trust service
    alone, bound to this very offer, and is kept nowhere here. Returns the offer and the index of
    its entry. Raises ``TermsError``, ``AssetKindError``, ``MalformedError`` or BRD errors.
    """
    asset = f"{home.name}/{name}"
    SecretValue.deposited(value)
    must_be_worth(session, terms, asset)
    record = machine.board.assets.get(asset)
    if record is not None:
        _must_be_secret(record)
    salted = os.urandom(SALT_BYTES) + value
    offer = AssetOffer(
        board=session.board,
        name=asset,
        kind=AssetKind.SECRET,
        tag=sha256(salted),
        terms=terms,
        predecessor=record.latest if record else None,
    )
    envelope = sign_statement("asset", offer.to_json(), [home.identity.signer])
    sealed = seal(
        salted,
        session.keyset.seal_key,
        purpose=ASSET_KEY_PURPOSE,
        context=asset_key_context(envelope.statement_digest),
    )
    return offer, session.submit(envelope, sealed_key=sealed)


def rotate_secret(
    home: MemberHome,
    session: TrustSession,
    machine: Machine,
    name: str,
    value: bytes,
    *,
    terms: Terms | None = None,
) -> tuple[AssetOffer, int]:
    """Another value for a secret on offer, under the same terms or under ``terms``.

    Uses are counted anew, as for every offer. Raises ``UnknownAssetError``,
    ``ConsentWithdrawnError``, and what `deposit_secret` raises.
    """
    asset = f"{home.name}/{name}"
    record = machine.board.assets.get(asset)
    if record is None:
        raise UnknownAssetError(asset=asset)
    if record.withdrawn:
        raise ConsentWithdrawnError(owner=home.name, asset=asset)
    _must_be_secret(record)
    return deposit_secret(home, session, machine, name, value, terms=terms or record.offer.terms)


def _must_be_secret(record: AssetRecord) -> None:
    """A name that others know as a volume does not become something else."""
    if record.offer.kind is not AssetKind.SECRET:
        raise AssetKindError(
            asset=record.offer.name, found=record.offer.kind, expected=AssetKind.SECRET
        )
