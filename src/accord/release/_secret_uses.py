# SPDX-License-Identifier: Apache-2.0
"""Which secrets a service gets, and whether those who share them still agree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from accord.board import AssetKind, BoardState
from accord.encoding import Digest
from accord.errors import (
    AssetKindError,
    ExportWithdrawnError,
    UnknownAssetError,
)
from accord.policy import Policy, SecretKind, SecretSpec, Service
from accord.release._consent import still_shares
from accord.release._fragments import fragments_agree
from accord.release._records import SecretUse
from accord.release._references import referenced_secrets


def secret_uses(
    board: BoardState,
    policy: Policy,
    service: Service,
    peers: Mapping[str, Digest],
    *,
    now: datetime,
) -> tuple[SecretUse, ...]:
    """The secrets that a release to ``service`` hands out, and where each comes from.

    ``peers`` holds, for imports from other trust services, the version of the exporting policy
    that the other service named; that it said so is *not* checked here.
    Raises ``ExportWithdrawnError``, ``PolicyExpiredError``, ``ExecutionStoppedError``,
    ``UnknownAssetError`` or ``AssetKindError``, and, as what the service is decides which it gets,
    ``FragmentWithdrawnError`` or ``FragmentMismatchError``.
    """
    fragments_agree(board, policy, (service,), now=now)
    return tuple(
        _use(board, policy, name, policy.secrets[name], peers, now=now)
        for name in referenced_secrets(service)
    )


def secret_use(board: BoardState, policy: Policy, name: str, *, now: datetime) -> SecretUse:
    """`secret_uses` for one secret, which another trust service cannot have. Raises likewise.

    The fragments of all services of the policy are looked at.
    """
    fragments_agree(board, policy, policy.services.values(), now=now)
    return _use(board, policy, name, policy.secrets[name], {}, now=now)


def _use(
    board: BoardState,
    policy: Policy,
    name: str,
    spec: SecretSpec,
    peers: Mapping[str, Digest],
    *,
    now: datetime,
) -> SecretUse:
    if spec.kind is SecretKind.ASSET:
        record = board.assets.get(spec.asset or "")
        if record is None:
            raise UnknownAssetError(asset=spec.asset)
        if record.offer.kind is not AssetKind.SECRET:
            raise AssetKindError(
                asset=spec.asset, found=record.offer.kind, expected=AssetKind.SECRET
            )
        return SecretUse(name, f"asset:{spec.asset}", record.offered_by)
    if spec.kind is not SecretKind.IMPORT:
        return SecretUse(name, f"policy:{policy.name}", policy.digest)
    if spec.service is not None:
        version = peers.get(name)
        if version is None or (spec.pin is not None and spec.pin != version):
            detail = "the other trust service has another version"
            raise _withdrawn(policy, spec, detail)
        return SecretUse(name, f"peer:{spec.service.board}:{spec.policy}", version)
    exporter = exporting_policy(board, policy, spec)
    still_shares(board, exporter, now)
    return SecretUse(name, f"policy:{exporter.name}", exporter.digest)


def exporting_policy(board: BoardState, importer: Policy, spec: SecretSpec) -> Policy:
    """The policy in force that shares what ``spec`` imports, if it still does.

    Both sides are looked at anew each time: consent that has ended, or a pin that no longer
    fits, ends the sharing. That the exporting policy may be used now is *not* checked here.
    Raises ``ExportWithdrawnError``.
    """
    exporter = board.policy(spec.policy or "")
    if exporter is None:
        raise _withdrawn(importer, spec, "there is no such policy")
    if spec.pin is not None and spec.pin != exporter.digest:
        raise _withdrawn(importer, spec, f"the pin is {spec.pin}, in force is {exporter.digest}")
    if not exporter.shares(spec.secret or "", importer=importer.name, digest=importer.digest):
        raise _withdrawn(
            importer, spec, "it is not exported to that policy, or not to this version"
        )
    return exporter


def _withdrawn(importer: Policy, spec: SecretSpec, detail: str) -> ExportWithdrawnError:
    return ExportWithdrawnError(
        importer=importer.name, secret=spec.secret, exporter=spec.policy, detail=detail
    )
