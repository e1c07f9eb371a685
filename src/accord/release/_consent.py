# SPDX-License-Identifier: Apache-2.0
"""Whether every owner agrees to one release: pure, so that anybody can replay the decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from accord.board import AssetOffer, AssetRecord, BoardState, ProposalStatus
from accord.encoding import Digest, format_time
from accord.errors import (
    AssetChangedError,
    ConsentWithdrawnError,
    NoPolicyError,
    PolicyPendingError,
    TermsError,
    UnknownAssetError,
    UnknownServiceError,
    UsesExhaustedError,
)
from accord.policy import Assurance, Input, Policy, Service
from accord.release._documents import AssetUse


def enacted_service(
    board: BoardState, policy: str, service: str, now: datetime
) -> tuple[Policy, Service]:
    """The policy in force and its service.

    Raises ``PolicyPendingError`` (naming who is missing), ``NoPolicyError`` or
    ``UnknownServiceError``.
    """
    enacted = board.policy(policy)
    if enacted is None:
        for record in board.proposals.values():
            waiting = record.proposal.policy.name == policy
            if waiting and board.status(record, now) is ProposalStatus.OPEN:
                missing = ", ".join(board.missing(record)) or "to be enacted"
                raise PolicyPendingError(policy=policy, proposal=record.id, missing=missing)
        raise NoPolicyError(policy=policy)
    if service not in enacted.services:
        raise UnknownServiceError(policy=policy, service=service)
    return enacted, enacted.services[service]


def owners_consent(
    board: BoardState,
    uses: Mapping[Digest, int],
    *,
    policy: Policy,
    service: Service,
    assurance: Assurance,
    now: datetime,
) -> tuple[AssetUse, ...]:
    """The uses that a release would count, if every owner's terms allow it.

    ``uses`` are the releases so far, by offer. That the policy is enacted and the assurance
    attested is *not* checked here. Raises REL errors.
    """
    counted = []
    for item in service.inputs:
        record = board.assets.get(item.asset)
        if record is None:
            raise UnknownAssetError(asset=item.asset)
        _still_offered(record, item)
        _within_terms(record.offer, policy, service, assurance, now)
        used = uses.get(record.offered_by, 0)
        if used >= record.offer.terms.max_uses:
            raise UsesExhaustedError(asset=item.asset, uses=used, owner=record.offer.owner)
        counted.append(AssetUse(item.asset, record.offered_by, used + 1))
    return tuple(counted)


def _still_offered(record: AssetRecord, item: Input) -> None:
    if record.withdrawn:
        raise ConsentWithdrawnError(owner=record.offer.owner, asset=item.asset)
    if record.offer.tag != item.tag:
        raise AssetChangedError(asset=item.asset, expected=item.tag, found=record.offer.tag)


def _within_terms(
    offer: AssetOffer,
    policy: Policy,
    service: Service,
    assurance: Assurance,
    now: datetime,
) -> None:
    terms = offer.terms
    readers = sorted({reader for output in service.outputs for reader in output.readers})
    checks = (
        ("policy", policy.name in terms.policies, terms.policies, policy.name),
        ("purpose", policy.purpose in terms.purposes, terms.purposes, policy.purpose),
        (
            "assurance",
            assurance.at_least(terms.min_assurance),
            f"at least {terms.min_assurance}",
            assurance,
        ),
        ("network", service.network == terms.network, terms.network, service.network),
        ("readers", set(readers) <= set(terms.readers), terms.readers, readers),
        (
            "time",
            now < terms.not_after,
            f"before {format_time(terms.not_after)}",
            format_time(now),
        ),
    )
    for field, holds, expected, found in checks:
        if not holds:
            raise TermsError(
                asset=offer.name, field=field, expected=_words(expected), found=_words(found)
            )


def _words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " or ".join(map(str, value)) or "nothing"
    return str(value)
