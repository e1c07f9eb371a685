# SPDX-License-Identifier: Apache-2.0
"""A trust service in this process whose board has witnesses, and copies of its disk."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from accord.board import Choice, Proposal, ProposedAction
from accord.evidence import Role
from accord.identity import sign_statement
from accord.policy import Policy
from accord.service import MemoryStore, TrustService
from accord.service._round import Pace
from tests.support.live import make_genesis, owner_claim
from tests.support.served import BOTH, Served
from tests.support.witness import FakeWitness, policy_of

IMPATIENT = Pace(window_s=0.001, patience_s=1.0)

RULES = {
    **BOTH,
    "constitution.replace": {"all": ["role:data-owner", "role:code-owner"]},
    "witnesses.replace": {"all": ["role:data-owner", "role:code-owner"]},
}


@dataclass
class Witnessed(Served):
    """`Served` with witnesses, which know its log at once unless ``introduced`` is false."""

    witnesses: list[FakeWitness] = field(default_factory=list)
    quorum: int = 3
    faulty: int = 1
    pace: Pace = IMPATIENT
    introduced: bool = True
    services: list[TrustService] = field(default_factory=list)
    """All that were started, clones among them."""

    def __post_init__(self) -> None:
        policy = policy_of(self.witnesses, quorum=self.quorum, faulty=self.faulty)
        self.genesis, self.envelope = make_genesis(
            self.root, self.hardware, constitution=RULES, witnesses=policy
        )
        self.service = self.start()
        if self.introduced:
            self.introduce()
        self.host = asyncio.run(self.service.found(self.envelope))

    def introduce(self, *witnesses: FakeWitness) -> None:
        for witness in witnesses or self.witnesses:
            witness.log_key = self.service.keyset.verify_key

    def start(self) -> TrustService:
        service = TrustService(
            store=self.store,
            attester=self.hardware.attester(Role.SERVICE),
            tls_spki_sha256=self.tls.spki_sha256,
            clock=self.now,
            entropy=os.urandom,
            url=f"https://service-{len(self.services)}.example",
            allow_private_peers=True,
            pace=self.pace,
        )
        asyncio.run(service.claim(owner_claim(service)))
        self.services.append(service)
        return service

    def close(self) -> None:
        """Ends all services; whatever a clone's disk says is of no interest then."""
        for service in self.services:
            service.close()

    def ready(self, **changes: Any) -> Policy:
        """A policy in force under which anybody honest gets a grant."""
        policy = self.policy(**changes)
        self.enact(policy)
        return policy

    def propose(self, *actions: ProposedAction, by: str = "bob") -> None:
        """Proposed, and voted for by everybody."""
        proposal = Proposal(
            board=self.board,
            author=by,
            title="a change",
            base=self.host.machine.board.charter.digest,
            actions=actions,
            expires=self.now().replace(microsecond=0) + timedelta(days=1),
        )
        envelope = sign_statement("proposal", proposal.to_json(), [self.identity(by).signer])
        self.submit(envelope)
        self.vote(envelope.statement_digest, "ann", "bob", choice=Choice.APPROVE)

    def cloned(self, store: MemoryStore | None = None) -> Witnessed:
        """A second service on a copy of the disk as it is, or was."""
        other = copy.copy(self)
        other.store = store or copied(self.store)
        other.service = other.start()
        other.host = asyncio.run(other.service.host(self.board))
        return other


def copied(store: MemoryStore) -> MemoryStore:
    """What the operator keeps of a disk; nobody holds its fences."""
    memo: dict[int, Any] = {}
    for value in vars(store).values():
        if isinstance(value, type(threading.Lock()) | type(threading.RLock())):
            memo[id(value)] = threading.RLock()
    return copy.deepcopy(store, memo)
