# SPDX-License-Identifier: Apache-2.0
"""The gate: what must hold before a secret leaves, in one place, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from accord.encoding import Digest
from accord.errors import (
    ChannelTooWeakError,
    IdentityKeyError,
    LeaseError,
    OneTimePasswordMissingError,
    UnknownRunError,
    WrongBoardError,
)
from accord.evidence import AttestationResult, Claims, Purpose, appraise, verify
from accord.policy import Assurance, Channel, Policy, Service
from accord.release._challenges import Challenges
from accord.release._check import all_still_agree
from accord.release._consent import (
    enacted_service,
    nothing_stopped,
    owners_consent,
    touched_assets,
    unused_token,
)
from accord.release._documents import LeaseRequest, ReleaseRequest, lease_binding
from accord.release._machine import Machine
from accord.release._records import Release, Renewal
from accord.release._references import password_source
from accord.release._requested import requested_service
from accord.release._reservations import Reserved
from accord.release._run import RunRecord
from accord.release._secret_uses import secret_uses
from accord.release._tags import volumes_to_open

RUN_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Decision:
    """A release that everybody's terms allow; nothing has left and nothing is counted yet."""

    release: Release
    policy: Policy
    service: Service


@dataclass(frozen=True, slots=True)
class Attested:
    """A requester whose evidence is genuine, fresh and bound to the request.

    From here on a refusal may say why.
    """

    claims: Claims
    exporter: bytes | None


Stage = Callable[[str], contextlib.AbstractContextManager[None]]
"""Called around each step with its name, so that a caller with a clock can time it."""

CheckPassword = Callable[[Policy, str, str, int | None], int]
"""``(policy, secret, password, last step) -> step`` used up; raises ``OneTimePasswordError``."""


@contextlib.contextmanager
def untimed(_step: str) -> Iterator[None]:
    """A stage that nobody times."""
    yield


def attest_requester(
    machine: Machine,
    request: ReleaseRequest,
    *,
    challenges: Challenges,
    now: datetime,
    exporter: bytes | None,
) -> Attested:
    """That ``request`` comes from a genuine environment, over this connection, now.

    ``exporter`` is the client's binder of the connection, where it has one. What the environment
    may have is *not* decided here; the nonce is used up in any case.
    Raises ``WrongBoardError``, ``NonceError`` and ATT errors, which strangers are not shown.
    """
    # (1) The request was made for this board.
    if request.board != machine.board.board:
        raise WrongBoardError(found=request.board, expected=machine.board.board)
    # (2) The nonce is ours, fresh, for this purpose, and now used.
    challenges.consume(request.nonce, request.board, Purpose.RELEASE, now=now)
    # (3) The evidence is genuine, under the board's anchors, and binds nonce, keys and request.
    bound = exporter if request.channel is Channel.L2 else None
    anchors = machine.board.genesis.anchors
    claims = verify(request.evidence, anchors=anchors, now=now, binding=request.binding(bound))
    return Attested(claims, bound)


def decide(
    machine: Machine,
    request: ReleaseRequest,
    attested: Attested,
    *,
    service_assurance: Assurance,
    now: datetime,
    entropy: Callable[[int], bytes],
    check_password: CheckPassword,
    peers: Mapping[str, Digest] | None = None,
    reserved: Reserved | None = None,
    stage: Stage = untimed,
) -> Decision:
    """Whether ``request`` may be released what it asks for.

    ``service_assurance`` is what the trust service itself is worth: it holds the keys, so a run
    is worth no more. With ``reserved`` the release takes one use from that, which the caller
    found to be in force. The caller must write the release to the log, durably, before it seals
    anything. Raises REL and ATT errors.
    """
    board, claims = machine.board, attested.claims
    # (4) The policy is in force.
    policy, service = requested_service(
        board, claims, policy=request.policy, service=request.service, now=now
    )
    # (5) The environment, and the way it came, are ones that the policy names; nobody stopped it.
    with stage("appraise"):
        result = _appraise(claims, policy, service, request, now)
    run = "run-" + entropy(RUN_ID_BYTES).hex()
    touched = touched_assets(board, policy, service)
    nothing_stopped(board, policy=policy.name, assets=touched, run=run)
    assurance = claims.assurance.weaker(service_assurance)
    # (6) Every owner's terms allow it, a use is left, and whoever shares a secret still does.
    with stage("consent"):
        uses = owners_consent(
            board,
            machine.uses if reserved is None else reserved.counted,
            policy=policy,
            service=service,
            assurance=assurance,
            now=now,
        )
        secrets = secret_uses(board, policy, service, peers or {}, now=now)
    # (7) The second factors fit, and are used up by what is recorded.
    if service.singleton:
        unused_token(
            board, request.token_sha256, policy=policy.name, service=request.service, now=now
        )
    # (8) No live volume that it opens is as an unclean exit has left it, unless that is accepted.
    volumes = volumes_to_open(
        board, policy, service, run=run, new_id=lambda _: "vol-" + entropy(RUN_ID_BYTES).hex()
    )
    step = _password_step(machine, policy, service, request, check_password)
    release = Release(
        board=request.board,
        run=run,
        policy=policy.name,
        policy_digest=policy.digest,
        service=request.service,
        keyset=request.keyset,
        nonce=request.nonce,
        evidence=request.evidence.digest,
        assurance=assurance,
        result=result.to_json(),
        uses=uses,
        secrets=secrets,
        exporter=attested.exporter,
        token_sha256=request.token_sha256,
        tls_spki_sha256=request.tls_spki_sha256,
        totp_step=step,
        lease_until=lease_end(service, now),
        reservation=None if reserved is None else reserved.digest,
        volumes=volumes,
    )
    return Decision(release, policy, service)


def _appraise(
    claims: Claims, policy: Policy, service: Service, request: ReleaseRequest, now: datetime
) -> AttestationResult:
    result = appraise(claims, service.attestation, now=now)
    _must_be_close(request.channel, service, request.service)
    if service.identity is (request.tls_spki is None):
        detail = "none was sent" if service.identity else f"{policy.name} certifies none for it"
        raise IdentityKeyError(service=request.service, detail=detail)
    return result


def _must_be_close(channel: Channel, service: Service, name: str) -> None:
    """That the evidence is tied to the connection as closely as the service asks."""
    if not channel.at_least(service.channel):
        raise ChannelTooWeakError(service=name, expected=service.channel, found=channel)


def _password_step(
    machine: Machine,
    policy: Policy,
    service: Service,
    request: ReleaseRequest,
    check_password: CheckPassword,
) -> int | None:
    if service.totp is None:
        return None
    if request.otp is None:
        raise OneTimePasswordMissingError(service=request.service)
    last = machine.totp_steps.get(password_source(policy, service.totp))
    return check_password(policy, service.totp, request.otp, last)


def lease_end(service: Service, now: datetime) -> datetime | None:
    """Until when a run may go on that is released, or renewed, now."""
    return None if service.lease_s is None else now + timedelta(seconds=service.lease_s)


def renew(
    machine: Machine,
    request: LeaseRequest,
    *,
    challenges: Challenges,
    service_assurance: Assurance,
    now: datetime,
    exporter: bytes | None,
) -> tuple[Renewal, RunRecord]:
    """Whether a run may go on: its environment as it is now, and everybody's terms as they are.

    ``service_assurance`` is what the trust service itself is worth. The caller must write the
    renewal to the log, durably, before it answers.
    Raises REL and ATT errors; the nonce is used up in any case.
    """
    if request.board != machine.board.board:
        raise WrongBoardError(found=request.board, expected=machine.board.board)
    # (1) The nonce is ours, for a renewal, and now used; the run is one that still goes on.
    challenges.consume(request.nonce, request.board, Purpose.LEASE, now=now)
    record = machine.runs.get(request.run)
    if record is None or record.statement is not None:
        raise UnknownRunError(run=request.run)
    # (2) The shield of that run asks, and nobody else, with fresh evidence bound to its keys.
    request.verify(record.release.keyset.verify_key)
    bound = exporter if request.channel is Channel.L2 else None
    binding = lease_binding(
        request.board, request.run, record.release.keyset, request.nonce, exporter=bound
    )
    claims = verify(
        request.evidence, anchors=machine.board.genesis.anchors, now=now, binding=binding
    )
    # (3) What the release needed still holds.
    assurance = claims.assurance.weaker(service_assurance).weaker(record.release.assurance)
    service = still_allowed(machine, record, now, assurance=assurance)
    appraise(claims, service.attestation, now=now)
    _must_be_close(request.channel, service, record.release.service)
    until = lease_end(service, now)
    if until is None:
        raise LeaseError(run=request.run, detail="it needs none")
    renewal = Renewal(
        request.board, request.run, request.nonce, request.evidence.digest, assurance, until, bound
    )
    return renewal, record


def still_allowed(
    machine: Machine, record: RunRecord, now: datetime, *, assurance: Assurance
) -> Service:
    """The service of a run whose lease may be renewed at ``now``. Raises REL errors."""
    release = record.release
    if record.lease_until is None or now >= record.lease_until:
        raise LeaseError(run=release.run, detail="it has ended")
    policy, service = enacted_service(machine.board, release.policy, release.service, now)
    if policy.digest != release.policy_digest:
        raise LeaseError(run=release.run, detail=f"another version of {policy.name} is in force")
    all_still_agree(machine.board, release, policy, service, assurance=assurance, now=now)
    return service
