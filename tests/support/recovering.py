# SPDX-License-Identifier: Apache-2.0
"""A board with shares of a root secret, its backups, and other machines to restore them on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from accord.board import Genesis, Proposal
from accord.channel import TLSIdentity
from accord.client import MemberHome, give_share, open_board, see_recovery
from accord.evidence import Role
from accord.identity import sign_statement
from accord.service import MemoryStore, TrustService, create_app
from tests.support.live import Hardware, make_genesis, owner_claim, running_app
from tests.support.served import Served

NAMES = ("ann", "bob", "cid")
EITHER = {"any": ["role:data-owner", "role:code-owner"]}
RULES = {
    "policy.enact": {"all": ["role:data-owner", "role:code-owner"]},
    "member.remove": {"all": ["role:data-owner"]},
    "service.replace": {"all": ["role:data-owner", "role:code-owner"]},
    "keys.rotate": {"all": ["role:data-owner"]},
    "recovery.open": EITHER,
}

VALUE = b"the value that ann deposited, which is nowhere in the backup"


@dataclass
class Planned(Served):
    """`Served`, with three members and a plan: two of them bring the board back."""

    threshold: int = 2
    constitution: Mapping[str, Any] = field(default_factory=lambda: RULES)

    def __post_init__(self) -> None:
        genesis, _ = make_genesis(
            self.root, self.hardware, names=NAMES, constitution=self.constitution
        )
        document = {**genesis.to_json(), "recovery": {"threshold": self.threshold, "epoch": 1}}
        self.genesis = Genesis.from_json(document)
        people = [self.identity(name).signer for name in NAMES]
        self.envelope = sign_statement("genesis", self.genesis.to_json(), people)
        self.service = self.start()
        self.host = asyncio.run(self.service.found(self.envelope))

    def back_up(self, path: Path) -> Path:
        """Writes a backup of everything so far, as the operator does."""
        path.parent.mkdir(parents=True, exist_ok=True)

        async def pieces() -> bytes:
            return b"".join(await self.service.back_up(self.host))

        path.write_bytes(asyncio.run(pieces()))
        return path

    def member(self, name: str, url: str) -> MemberHome:
        """A member's home, which uses the service at the URL."""
        MemberHome.join(self.root / name, self.genesis, "https://127.0.0.1:1")
        return MemberHome.load(self.root / name, service=url)

    def amend(self, *actions: Any, by: tuple[str, ...] = ("ann",)) -> None:
        """Members vote for actions that change the charter."""
        proposal = Proposal(
            board=self.board,
            author="bob",
            title="amend",
            base=self.host.machine.board.charter.digest,
            actions=actions,
            expires=self.now().replace(microsecond=0) + timedelta(days=1),
        )
        envelope = sign_statement("proposal", proposal.to_json(), [self.identity("bob").signer])
        self.submit(envelope)
        self.vote(envelope.statement_digest, *by)


@dataclass
class Elsewhere:
    """Another machine of the same vendor, with a trust service that restores a folder."""

    hardware: Hardware
    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    tls: TLSIdentity = field(default_factory=TLSIdentity.generate)

    def start(self) -> TrustService:
        service = TrustService(
            store=self.store,
            attester=self.hardware.attester(Role.SERVICE),
            tls_spki_sha256=self.tls.spki_sha256,
            clock=lambda: datetime.now(UTC),
            entropy=os.urandom,
            allow_private_peers=True,
            restoring=self.folder,
        )
        asyncio.run(service.claim(owner_claim(service)))
        return service

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[TrustService, str]]:
        service = self.start()
        with running_app(create_app(service), self.tls) as url:
            yield service, url


def prepared(root: Path) -> Planned:
    """A board whose job gets a deposited secret, of which a few uses are allowed."""
    planned = Planned(Hardware.create(root / "hardware"), root / "homes")
    planned.deposit("token", VALUE, max_uses=3)
    policy = planned.policy(
        secrets={"token": {"kind": "asset", "asset": "ann/token"}},
        train={"environment": {"TOKEN": "{{ accord.token }}"}},
    )
    planned.enact(policy, by=NAMES)
    return planned


def recovered(board: Planned, url: str, *names: str) -> None:
    """Members look, give their shares, and the last of them opens the board."""
    for name in names:
        home = board.member(name, url)
        with home.connect() as session:
            give_share(home, session, see_recovery(home, session))
            if name == names[-1]:
                open_board(session)


def go_on(board: Planned, service: TrustService, elsewhere: Elsewhere) -> None:
    """From here on the board's helper speaks to the other machine."""
    board.service, board.tls = service, elsewhere.tls
    board.store = elsewhere.store
    board.host = asyncio.run(service.host(board.board))
