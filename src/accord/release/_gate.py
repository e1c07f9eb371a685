# SPDX-License-Identifier: Apache-2.0
"""The gate: what must hold before a secret leaves, in one place, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from accord.errors import WrongBoardError
from accord.evidence import Claims, Purpose, appraise, verify
from accord.policy import Assurance, Policy, Service
from accord.release._challenges import Challenges
from accord.release._consent import enacted_service, owners_consent
from accord.release._documents import Release, ReleaseRequest
from accord.release._machine import Machine

RUN_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Decision:
    """A release that every owner's terms allow; nothing has left and nothing is counted yet."""

    release: Release
    policy: Policy
    service: Service


Stage = Callable[[str], contextlib.AbstractContextManager[None]]
"""Called around each step with its name, so that a caller with a clock can time it."""


@contextlib.contextmanager
def _untimed(_step: str) -> Iterator[None]:
    yield


def decide(
    machine: Machine,
    request: ReleaseRequest,
    *,
    challenges: Challenges,
    service_assurance: Assurance,
    now: datetime,
    entropy: Callable[[int], bytes],
    stage: Stage = _untimed,
) -> Decision:
    """Whether ``request`` may be released what it asks for.

    ``service_assurance`` is what the trust service itself is worth: it holds the keys, so a run
    is worth no more. The caller must write the release to the log, durably, before it seals
    anything.
    Raises REL and ATT errors; the nonce is used up in any case.
    """
    # (1) The request was made for this board.
    if request.board != machine.board.board:
        raise WrongBoardError(found=request.board, expected=machine.board.board)
    # (2) The nonce is ours, fresh, for this purpose, and now used.
    challenges.consume(request.nonce, request.board, Purpose.RELEASE, now=now)
    # (3) The evidence is genuine, under the board's anchors, and binds nonce, keys and request.
    with stage("verify"):
        claims = _verify(machine, request, now)
    # (4) The policy is in force. Only now does the requester learn anything about the board.
    policy, service = enacted_service(machine.board, request.policy, request.service, now)
    # (5) The environment is one that the policy names.
    with stage("appraise"):
        result = appraise(claims, service.attestation, now=now)
    assurance = claims.assurance.weaker(service_assurance)
    # (6) Every owner's terms allow it, and a use is left.
    with stage("consent"):
        uses = owners_consent(
            machine.board,
            machine.uses,
            policy=policy,
            service=service,
            assurance=assurance,
            now=now,
        )
    release = Release(
        board=request.board,
        run="run-" + entropy(RUN_ID_BYTES).hex(),
        policy=policy.name,
        policy_digest=policy.digest,
        service=request.service,
        keyset=request.keyset,
        nonce=request.nonce,
        evidence=request.evidence.digest,
        assurance=assurance,
        result=result.to_json(),
        uses=uses,
    )
    return Decision(release, policy, service)


def _verify(machine: Machine, request: ReleaseRequest, now: datetime) -> Claims:
    return verify(
        request.evidence,
        anchors=machine.board.genesis.anchors,
        now=now,
        binding=request.binding,
    )
