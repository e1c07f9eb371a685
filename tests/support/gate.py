# SPDX-License-Identifier: Apache-2.0
"""The release gate as the trust service calls it: who asks, then whether they may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from accord.encoding import Digest
from accord.errors import OneTimePasswordError
from accord.policy import Assurance, Policy
from accord.release import (
    Challenges,
    CheckPassword,
    Decision,
    Machine,
    ReleaseRequest,
    attest_requester,
)
from accord.release import decide as decide_attested
from accord.release._gate import Stage, untimed


def no_password(_policy: Policy, _secret: str, _password: str, _last: int | None) -> int:
    """No password is right."""
    raise OneTimePasswordError


def decide(
    machine: Machine,
    request: ReleaseRequest,
    *,
    challenges: Challenges,
    service_assurance: Assurance,
    now: datetime,
    entropy: Callable[[int], bytes],
    exporter: bytes | None = None,
    check_password: CheckPassword = no_password,
    peers: Mapping[str, Digest] | None = None,
    stage: Stage = untimed,
) -> Decision:
    """Both halves of the gate."""
    attested = attest_requester(machine, request, challenges=challenges, now=now, exporter=exporter)
    return decide_attested(
        machine,
        request,
        attested,
        service_assurance=service_assurance,
        now=now,
        entropy=entropy,
        check_password=check_password,
        peers=peers,
        stage=stage,
    )
