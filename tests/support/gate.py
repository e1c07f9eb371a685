# SPDX-License-Identifier: Apache-2.0
"""The release gate as the trust service calls it: who asks, then whether they may."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from accord.encoding import Digest
from accord.errors import OneTimePasswordError
from accord.evidence import Binding, Evidence, Purpose
from accord.identity import Statement
from accord.policy import Assurance, Channel, Policy
from accord.release import (
    Challenges,
    CheckPassword,
    Decision,
    LeaseRequest,
    Machine,
    Release,
    ReleaseRequest,
    Renewal,
    attest_requester,
    lease_binding,
    renew,
)
from accord.release import decide as decide_attested
from accord.release._gate import Stage, untimed
from tests.support.board import Hardware, Person, World, policy_json, service_json


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


class Gate:
    """A board with a policy in force, and the gate in front of its secrets."""

    def __init__(self, hardware: Hardware, document: Any = None, **changes: Any) -> None:
        self.hardware = hardware
        self.world = World.ready(anchors=[hardware.vendor.root_digest], **changes)
        self.world.enact_policy(document)
        self.challenges = Challenges(secrets.token_bytes)
        self.peers: dict[str, Digest] = {}

    @classmethod
    def of(cls, hardware: Hardware, **service: Any) -> Gate:
        """One whose policy has the service that ``service`` describes."""
        return cls(hardware, policy_json(services={"train": service_json(**service)}))

    def nonce(self, purpose: Purpose = Purpose.RELEASE) -> bytes:
        return self.challenges.issue(self.world.board, purpose, now=self.world.time)[0]

    def decide(
        self,
        request: ReleaseRequest,
        *,
        exporter: bytes | None = None,
        check_password: CheckPassword = no_password,
    ) -> Decision:
        return decide(
            self.world.machine,
            request,
            challenges=self.challenges,
            now=self.world.time,
            entropy=secrets.token_bytes,
            service_assurance=Assurance.ENCLAVE,
            exporter=exporter,
            check_password=check_password,
            peers=self.peers,
        )

    def ask(self, *, check_password: CheckPassword = no_password, **changes: Any) -> Decision:
        """An honest request over an honest connection."""
        request = self.hardware.request(self.world, self.nonce(), **changes)
        exporter = changes.get("exporter")
        return self.decide(request, exporter=exporter, check_password=check_password)

    def commit(self, release: Release) -> Statement:
        return self.world.say("release", release.to_json(), self.world.service.signer)

    def release(self, **changes: Any) -> Release:
        """Asked for, decided and recorded."""
        release = self.ask(**changes).release
        self.commit(release)
        return release

    def lease_request(
        self,
        release: Release,
        *,
        nonce: bytes | None = None,
        attest: Callable[[Binding], Evidence] | None = None,
        exporter: bytes | None = None,
        by: str = "shield",
    ) -> LeaseRequest:
        """What the shield of a run sends so that it may go on."""
        nonce = nonce or self.nonce(Purpose.LEASE)
        binding = lease_binding(
            release.board, release.run, release.keyset, nonce, exporter=exporter
        )
        evidence = (attest or self.hardware.attest)(binding)
        level = Channel.L1 if exporter is None else Channel.L2
        return LeaseRequest.make(
            board=release.board,
            run=release.run,
            nonce=nonce,
            evidence=evidence,
            channel=level,
            signer=Person.of(by).signer,
        )

    def renew(self, request: LeaseRequest, *, exporter: bytes | None = None) -> Renewal:
        renewal, _ = renew(
            self.world.machine,
            request,
            challenges=self.challenges,
            service_assurance=Assurance.ENCLAVE,
            now=self.world.time,
            exporter=exporter,
        )
        return renewal

    def record(self, renewal: Renewal) -> Statement:
        return self.world.say("renewal", renewal.to_json(), self.world.service.signer)
