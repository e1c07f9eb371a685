# SPDX-License-Identifier: Apache-2.0
"""Whether everybody agrees to one release: pure, so that anybody can replay the decision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from accord.board import (
    AssetKind,
    AssetRecord,
    BoardState,
    InstanceToken,
    ProposalStatus,
    keys_digest,
    tag_name,
)
from accord.encoding import Digest, format_time
from accord.errors import (
    AssetChangedError,
    AssetKindError,
    ConsentWithdrawnError,
    ExecutionStoppedError,
    FreshnessError,
    InstanceTokenError,
    NoPolicyError,
    OwnerChangedError,
    PolicyContentError,
    PolicyExpiredError,
    PolicyPendingError,
    ReaderChangedError,
    ReaderLeftError,
    TermsError,
    UnknownAssetError,
    UnknownServiceError,
    UsesExhaustedError,
)
from accord.policy import Assurance, FreshnessMode, Policy, Service
from accord.release._records import AssetUse
from accord.release._references import referenced_secrets


def enacted_service(
    board: BoardState, policy: str, service: str, now: datetime
) -> tuple[Policy, Service]:
    """The policy in force and its service.

    Raises ``PolicyPendingError`` (naming who is missing), ``NoPolicyError``,
    ``PolicyExpiredError``, ``FreshnessError``, ``UnknownServiceError`` or ``ReaderLeftError``.
    """
    enacted = board.policy(policy)
    if enacted is None:
        for record in board.open_proposals.values():
            waiting = any(item.name == policy for item in record.proposal.policies)
            if waiting and board.status(record, now) is ProposalStatus.OPEN:
                missing = ", ".join(board.missing(record)) or "to be enacted"
                raise PolicyPendingError(policy=policy, proposal=record.id, missing=missing)
        raise NoPolicyError(policy=policy)
    _not_expired(enacted, now)
    freshness_mode(board, enacted)
    if service not in enacted.services:
        raise UnknownServiceError(policy=policy, service=service)
    for output in enacted.services[service].outputs:
        for reader in output.readers:
            if reader not in board.members:
                raise ReaderLeftError(reader=reader, policy=policy)
    return enacted, enacted.services[service]


def freshness_mode(board: BoardState, policy: Policy) -> FreshnessMode:
    """How fresh the state must be before anything of ``policy`` leaves.

    Whether it *is* that fresh is up to whoever lets something leave. Raises ``FreshnessError``
    where the board cannot have the mode that the policy says.
    """
    witnessed = board.charter.witnesses is not None
    if policy.freshness is None:
        return FreshnessMode.STRICT if witnessed else FreshnessMode.SOLO
    mode = policy.freshness.mode
    if (mode is FreshnessMode.SOLO) is witnessed:
        found = "has witnesses" if witnessed else "has no witnesses"
        raise FreshnessError(policy=policy.name, mode=mode, board=found)
    return mode


def _not_expired(policy: Policy, now: datetime) -> None:
    if policy.not_after is not None and now >= policy.not_after:
        raise PolicyExpiredError(policy=policy.name, until=format_time(policy.not_after))


def still_shares(board: BoardState, exporter: Policy, now: datetime) -> None:
    """What ends, or stops, an exporting policy does so for whoever imports from it as well.

    That it exports anything is *not* checked here.
    Raises ``PolicyExpiredError`` or ``ExecutionStoppedError``.
    """
    _not_expired(exporter, now)
    nothing_stopped(board, policy=exporter.name, assets=frozenset(), run="")


def nothing_stopped(board: BoardState, *, policy: str, assets: frozenset[str], run: str) -> None:
    """Raises ``ExecutionStoppedError`` where a member has stopped this, or what it is part of."""
    for record in board.live_stops():
        if record.covers(policy=policy, assets=assets, run=run):
            stop = record.stop
            raise ExecutionStoppedError(member=stop.member, scope=stop.scope, reason=stop.reason)


def unused_token(
    board: BoardState,
    token_sha256: bytes | None,
    *,
    policy: str,
    service: str,
    now: datetime,
) -> InstanceToken:
    """The instance token with this digest, for one start of that service.

    Raises ``InstanceTokenError``.
    """
    token = board.tokens.get(token_sha256 or b"")
    if token is None:
        raise InstanceTokenError(detail="there is none, it is unknown, or it was used")
    if (token.policy, token.service) != (policy, service):
        raise InstanceTokenError(detail="it was issued for another service")
    if now >= token.expires:
        raise InstanceTokenError(detail="it has expired")
    if token.member not in board.members:
        raise InstanceTokenError(detail=f"{token.member}, who issued it, has left the board")
    return token


def used_assets(policy: Policy, service: Service) -> Mapping[str, Digest | None]:
    """Every asset that one release of the service uses, with the tag that the policy pins.

    A deposited secret is not pinned: its owner may rotate it. One that one-time passwords are
    checked with is used as well, though the service never sees it.
    One asset is used in one version: raises ``PolicyContentError`` or ``AssetKindError``.
    """
    used: dict[str, Digest | None] = {}
    for item in service.inputs:
        if used.setdefault(item.asset, item.tag) != item.tag:
            raise PolicyContentError(where=policy.name, detail=f"two versions of {item.asset}")
    secrets = referenced_secrets(service)
    for name in (*secrets, service.totp) if service.totp is not None else secrets:
        asset = policy.secrets[name].asset if name in policy.secrets else None
        if asset is not None and used.setdefault(asset, None) is not None:
            raise AssetKindError(asset=asset, found=AssetKind.VOLUME, expected=AssetKind.SECRET)
    return used


def held_assets(board: BoardState, policy: Policy, service: Service) -> frozenset[str]:
    """What may be in the live volumes of a service, because a service that had them open used it.

    Who reads such a volume reads that, so the owners' terms are asked as for an input.
    """
    records = (board.tags.get(tag_name(policy.name, item.volume)) for item in service.volumes)
    return frozenset(asset for record in records if record is not None for asset in record.assets)


def touched_assets(board: BoardState, policy: Policy, service: Service) -> frozenset[str]:
    """What a run of the service uses, or may find in its live volumes."""
    return frozenset(used_assets(policy, service)) | held_assets(board, policy, service)


def _held_consent(
    board: BoardState, *, policy: Policy, service: Service, assurance: Assurance, now: datetime
) -> None:
    """That the owners of what is in its live volumes let the service have it; no use is counted."""
    for asset in sorted(held_assets(board, policy, service)):
        record = board.assets[asset]
        volume = record.offer.kind is AssetKind.VOLUME
        _still_offered(board, record, record.offer.tag if volume else None)
        _within_terms(board, record, policy=policy, service=service, assurance=assurance, now=now)


def owners_consent(
    board: BoardState,
    uses: Mapping[Digest, int],
    *,
    policy: Policy,
    service: Service,
    assurance: Assurance,
    now: datetime,
    assets: Mapping[str, Digest | None] | None = None,
) -> tuple[AssetUse, ...]:
    """The uses that a release would count, if every owner's terms allow it.

    ``uses`` are the releases so far, by offer; ``assets`` those that are used, by default all
    of the service. That the policy is enacted and the assurance
    attested is *not* checked here. Raises REL errors.
    """
    counted = []
    used_now = used_assets(policy, service) if assets is None else assets
    for asset, tag in used_now.items():
        record = board.assets.get(asset)
        if record is None:
            raise UnknownAssetError(asset=asset)
        _still_offered(board, record, tag)
        _within_terms(board, record, policy=policy, service=service, assurance=assurance, now=now)
        used = uses.get(record.offered_by, 0)
        if used >= record.offer.terms.max_uses:
            raise UsesExhaustedError(asset=asset, uses=used, owner=record.offer.owner)
        counted.append(AssetUse(asset, record.offered_by, used + 1))
    if assets is None:
        _held_consent(board, policy=policy, service=service, assurance=assurance, now=now)
    return tuple(counted)


def owners_still_consent(
    board: BoardState, *, policy: Policy, service: Service, assurance: Assurance, now: datetime
) -> None:
    """`owners_consent` for a run that was counted already. Raises REL errors."""
    for asset, tag in used_assets(policy, service).items():
        record = board.assets[asset]
        _still_offered(board, record, tag)
        _within_terms(board, record, policy=policy, service=service, assurance=assurance, now=now)
    _held_consent(board, policy=policy, service=service, assurance=assurance, now=now)


def _still_offered(board: BoardState, record: AssetRecord, tag: Digest | None) -> None:
    offer = record.offer
    if record.withdrawn:
        raise ConsentWithdrawnError(owner=offer.owner, asset=offer.name)
    expected = AssetKind.SECRET if tag is None else AssetKind.VOLUME
    if offer.kind is not expected:
        raise AssetKindError(asset=offer.name, found=offer.kind, expected=expected)
    if tag is not None and offer.tag != tag:
        raise AssetChangedError(asset=offer.name, expected=tag, found=offer.tag)
    # Whoever takes over a member's name, by whatever vote, does not take over their consent.
    owner = board.members.get(offer.owner)
    if owner is None or owner.identity.verify_key.key_id != record.owner_key:
        raise OwnerChangedError(asset=offer.name)


def _within_terms(
    board: BoardState,
    record: AssetRecord,
    *,
    policy: Policy,
    service: Service,
    assurance: Assurance,
    now: datetime,
) -> None:
    offer, terms = record.offer, record.offer.terms
    readers = sorted({reader for output in service.outputs for reader in output.readers})
    checks = (
        ("policy", terms.allow_policy(policy), terms.policies, policy.name),
        ("purpose", policy.purpose in terms.purposes, terms.purposes, policy.purpose),
        (
            "assurance",
            assurance.at_least(terms.min_assurance),
            f"at least {terms.min_assurance}",
            assurance,
        ),
        ("network", terms.network.allows(service.network), terms.network, service.network),
        ("readers", set(readers) <= set(terms.readers), terms.readers, readers),
        (
            "time",
            now < terms.not_after,
            f"before {format_time(terms.not_after)}",
            format_time(now),
        ),
        ("output size", *_output_size(terms.max_output_bytes, service)),
    )
    for field, holds, expected, found in checks:
        if not holds:
            raise TermsError(
                asset=offer.name, field=field, expected=_words(expected), found=_words(found)
            )
    # The owner named people, of whom the board knew the keys; a name alone may change hands.
    for reader in readers:
        if record.reader_keys.get(reader) != keys_digest(board.members[reader].identity):
            raise ReaderChangedError(asset=offer.name, reader=reader)


def _output_size(limit: int | None, service: Service) -> tuple[bool, str, str]:
    """Whether every output that the policy allows is as small as the terms ask."""
    if limit is None:
        return True, "", ""
    for output in service.outputs:
        if output.max_bytes is None or output.max_bytes > limit:
            found = f"{output.max_bytes} bytes" if output.max_bytes else "no limit"
            return False, f"at most {limit} bytes", f"{found} for output {output.name}"
    return True, "", ""


def _words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " or ".join(map(str, value)) or "nothing"
    return str(value)
