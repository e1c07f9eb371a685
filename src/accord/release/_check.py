# SPDX-License-Identifier: Apache-2.0
"""Whether an entry about a run says what the entries before it allow: the rules of a replay."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from accord.board import BoardState
from accord.encoding import Digest
from accord.errors import LeaseEndedError, ReleaseInvalidError, UnknownRunError
from accord.policy import Assurance, Policy, Service
from accord.release._consent import (
    enacted_service,
    nothing_stopped,
    owners_consent,
    owners_still_consent,
    touched_assets,
    unused_token,
)
from accord.release._records import Release, Renewal
from accord.release._references import password_source
from accord.release._run import RunOutcome, RunRecord, RunStatement
from accord.release._secret_uses import secret_uses
from accord.release._tags import opens_rightly


def check_release(
    board: BoardState,
    release: Release,
    *,
    counted: Mapping[Digest, int],
    totp_steps: Mapping[str, int],
    index: int,
    now: datetime,
) -> tuple[Policy, Service]:
    """The policy and the service of a release that could be the next one.

    ``counted`` are the uses so far. That run and nonce are new is *not* checked here.
    Raises ``ReleaseInvalidError`` where it says something else than the state, and REL errors.
    """
    policy, service = enacted_service(board, release.policy, release.service, now)
    assets = touched_assets(board, policy, service)
    nothing_stopped(board, policy=policy.name, assets=assets, run=release.run)
    uses = owners_consent(
        board, counted, policy=policy, service=service, assurance=release.assurance, now=now
    )
    if service.singleton:
        unused_token(
            board, release.token_sha256, policy=policy.name, service=release.service, now=now
        )
    peers = {use.name: use.version for use in release.secrets}
    consistent = (
        release.uses == uses
        and release.secrets == secret_uses(board, policy, service, peers, now=now)
        and release.policy_digest == policy.digest
        and release.channel.at_least(service.channel)
        and (release.tls_spki_sha256 is not None) is service.identity
        and _is_new_step(release, policy, service, totp_steps)
        and _lease_fits(release.lease_until, service, now)
        and opens_rightly(board, release, policy, service)
    )
    if not consistent:
        raise ReleaseInvalidError(index=index)
    return policy, service


def _is_new_step(
    release: Release, policy: Policy, service: Service, totp_steps: Mapping[str, int]
) -> bool:
    """Whether the one-time password, where one is needed, is of a step not used before."""
    if service.totp is None:
        return release.totp_step is None
    last = totp_steps.get(password_source(policy, service.totp), -1)
    return release.totp_step is not None and release.totp_step > last


def check_renewal(
    board: BoardState, renewal: Renewal, record: RunRecord, *, index: int, now: datetime
) -> None:
    """That the run of ``record`` may go on as ``renewal`` says.

    That the nonce is new is *not* checked here. Raises as `check_release`.
    """
    release = record.release
    policy, service = enacted_service(board, release.policy, release.service, now)
    all_still_agree(board, release, policy, service, assurance=renewal.assurance, now=now)
    consistent = (
        policy.digest == release.policy_digest
        and record.lease_until is not None
        and now < record.lease_until
        and release.assurance.at_least(renewal.assurance)
        and renewal.channel.at_least(service.channel)
        and _lease_fits(renewal.until, service, now)
    )
    if not consistent:
        raise ReleaseInvalidError(index=index)


def all_still_agree(
    board: BoardState,
    release: Release,
    policy: Policy,
    service: Service,
    *,
    assurance: Assurance,
    now: datetime,
) -> None:
    """That what ``release`` rested on beside evidence and second factors still holds.

    ``policy`` and ``service`` are those in force: whether they are those of the release is
    *not* checked here. Raises REL errors.
    """
    assets = touched_assets(board, policy, service)
    nothing_stopped(board, policy=policy.name, assets=assets, run=release.run)
    owners_still_consent(board, policy=policy, service=service, assurance=assurance, now=now)
    peers = {use.name: use.version for use in release.secrets}
    secret_uses(board, policy, service, peers, now=now)


def _lease_fits(until: datetime | None, service: Service, now: datetime) -> bool:
    """Whether a lease given at ``now`` ends no later than the service's rule allows."""
    if service.lease_s is None:
        return until is None
    return until is not None and until <= now + timedelta(seconds=service.lease_s)


def check_run(
    board: BoardState, run: RunStatement, record: RunRecord, policy: Policy, *, now: datetime
) -> None:
    """That the run of ``record``, released by ``policy``, may end as ``run`` says.

    A failure may be told at any time; results are worth something only where the run had leave
    to go on until the log had them.
    Raises ``UnknownRunError``, ``LeaseEndedError`` or ``ExecutionStoppedError``.
    """
    release = record.release
    service = policy.services[release.service]
    succeeded = run.outcome is RunOutcome.SUCCEEDED
    # A run that succeeded has every output for exactly its readers; one that failed, none.
    promised = [(output.name, sorted(output.readers)) for output in service.outputs]
    consistent = (
        record.statement is None
        and run.policy_digest == release.policy_digest
        and run.service == release.service
        and run.assurance is release.assurance
        and run.inputs == tuple((item.asset, item.tag) for item in service.inputs)
        and [(item.name, [who for who, _ in item.sealed_keys]) for item in run.outputs]
        == (promised if succeeded else [])
    )
    if not consistent:
        raise UnknownRunError(run=run.run)
    if succeeded:
        if record.lease_until is not None and now >= record.lease_until:
            raise LeaseEndedError(run=run.run)
        assets = touched_assets(board, policy, service)
        nothing_stopped(board, policy=policy.name, assets=assets, run=run.run)
