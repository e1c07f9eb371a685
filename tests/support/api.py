# SPDX-License-Identifier: Apache-2.0
"""The HTTP application in this process, with policies that bob alone can enact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from accord.board import Ballot, Choice, EnactPolicy, ExecutionStop, Proposal
from accord.channel import SignedRequest
from accord.encoding import Digest, Envelope, base64_encode, canonical_json
from accord.evidence import Role
from accord.identity import FileIdentity, sign_statement
from accord.policy import Policy
from tests.support.live import reference
from tests.support.wire import InProcess


@dataclass
class API(InProcess):
    """Requests to a service whose board needs bob's vote only."""

    constitution: Mapping[str, Any] = field(
        default_factory=lambda: {"policy.enact": {"all": ["role:code-owner"]}}
    )

    def policy(self, name: str = "job", **more: Any) -> Policy:
        """A policy that uses nothing."""
        document = {
            "schema": "accord.policy.v1",
            "name": name,
            "purpose": "testing",
            "services": {
                "train": {
                    "attestation": reference(self.hardware, Role.SHIELD)["attestation"],
                    "command": ["true"],
                    "environment": {},
                    "network": "none",
                    "timeout_s": 60,
                    "inputs": [],
                    "outputs": [],
                }
            },
            **more,
        }
        return Policy.from_json(document)

    def proposal(self, *policies: Policy, author: str = "ann", title: str = "a job") -> Envelope:
        now = datetime.now(UTC).replace(microsecond=0)
        document = Proposal(
            self.genesis.digest,
            author,
            title,
            self.genesis.charter.digest,
            tuple(map(EnactPolicy, policies)),
            now + timedelta(days=1),
        )
        return self.signed("proposal", document.to_json(), author)

    def signed(self, kind: str, body: Any, name: str) -> Envelope:
        return sign_statement(kind, body, [self.identity(name).signer])

    def submit(self, envelope: Envelope, **headers: str) -> httpx.Response:
        return self.send(f"{self.path}/statements", {"envelope": envelope.to_json()}, headers)

    def send(self, path: str, document: Any, headers: Mapping[str, str]) -> httpx.Response:
        return self.call("POST", path, canonical_json(document), headers)

    def vote(self, proposal: Digest) -> httpx.Response:
        ballot = Ballot(self.genesis.digest, proposal, "bob", Choice.APPROVE, 1)
        return self.submit(self.signed("ballot", ballot.to_json(), "bob"))

    def enact(self, policy: Policy) -> Policy:
        envelope = self.proposal(policy)
        assert self.submit(envelope).status_code == 200
        assert self.vote(envelope.statement_digest).status_code == 200
        return policy

    def stop(self, reason: str) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        stop = ExecutionStop(self.genesis.digest, "ann", "board", reason, now)
        assert self.submit(self.signed("execution-stop", stop.to_json(), "ann")).status_code == 200

    def see(self, name: str, view: str, query: str = "") -> httpx.Response:
        """A signed read of a view of the board; the signature covers the path alone."""
        headers = self.header(self.identity(name), f"{self.path}/{view}")
        return self.call("GET", f"{self.path}/{view}{query}", headers=headers)

    def header(self, identity: FileIdentity, path: str, *, own: bool = False) -> dict[str, str]:
        """The header of a signed read; with ``own`` also the key, which the board lacks."""
        request = SignedRequest(Digest(self.genesis.digest), path, bytes(32), datetime.now(UTC))
        headers = {"Authorization": request.header(identity.signer)}
        if own:
            headers["Accord-Key"] = base64_encode(identity.public.verify_key.raw)
        return headers
