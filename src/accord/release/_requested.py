# SPDX-License-Identifier: Apache-2.0
"""The service that somebody asks for, and who may learn why there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from accord.board import BoardState
from accord.errors import EvidenceError, NoPolicyError, ReleaseError
from accord.evidence import Claims, appraise
from accord.policy import Policy, Service
from accord.release._consent import enacted_service


def requested_service(
    board: BoardState, claims: Claims, *, policy: str, service: str, now: datetime
) -> tuple[Policy, Service]:
    """The policy in force and its service, for a requester whose environment has ``claims``.

    Whether that environment suits the service is *not* decided here. What is wrong with a
    policy, or who has yet to approve it, is told only to an environment that the policy names,
    in force or proposed: genuine hardware alone may be anybody's.
    Raises as `enacted_service` does; ``NoPolicyError`` for everybody else.
    """
    try:
        return enacted_service(board, policy, service, now)
    except ReleaseError as exc:
        if not any(_admits(item, claims, now) for item in _versions(board, policy)):
            raise NoPolicyError(policy=policy) from exc
        raise


def _versions(board: BoardState, name: str) -> Iterator[Policy]:
    """The version in force, and those that are proposed."""
    enacted = board.policy(name)
    if enacted is not None:
        yield enacted
    for record in board.open_proposals.values():
        yield from (policy for policy in record.proposal.policies if policy.name == name)


def _admits(policy: Policy, claims: Claims, now: datetime) -> bool:
    """Whether any service of the policy may run in the environment."""
    for service in policy.services.values():
        with contextlib.suppress(EvidenceError):
            appraise(claims, service.attestation, now=now)
            return True
    return False
