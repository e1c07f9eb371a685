# SPDX-License-Identifier: Apache-2.0
"""A board with shares of a root secret, its backups, and other machines to restore them on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from accord.board import Genesis, Proposal
from accord.channel import TLSIdentity
from accord.client import MemberHome, give_share, open_board, see_recovery
from accord.encoding import Digest
from accord.evidence import Role
from accord.identity import sign_statement
from accord.service import MemoryStore, TrustService, create_app
from tests.support.live import Hardware, make_genesis, owner_claim, running_app
from tests.support.served import Served
from tests.support.witness import FakeWitness, policy_of
from tests.support.witnessed import IMPATIENT

NAMES = ("ann", "bob", "cid")
EITHER = {"any": ["role:data-owner", "role:code-owner"]}
RULES = {
    "policy.enact": {"all": ["role:data-owner", "role:code-owner"]},
    "member.remove": {"all": ["role:data-owner"]},
    "service.replace": {"all": ["role:data-owner", "role:code-owner"]},
    "keys.rotate": {"all": ["role:data-owner"]},
    "witnesses.replace": {"all": ["role:data-owner"]},
    "recovery.open": EITHER,
}

VALUE = b"the value that ann deposited, which is nowhere in the backup"


@dataclass
class Planned(Served):
    """`Served`, with three members and a plan: two of them bring the board back.

    Its witnesses, if there are any, know its log at once.
    """

    threshold: int = 2
    constitution: Mapping[str, Any] = field(default_factory=lambda: RULES)
    witnesses: Sequence[FakeWitness] = ()

    def __post_init__(self) -> None:
        policy = policy_of([*self.witnesses]) if self.witnesses else None
        genesis, _ = make_genesis(
            self.root,
            self.hardware,
            names=NAMES,
            constitution=self.constitution,
            witnesses=policy,
        )
        document = {**genesis.to_json(), "recovery": {"threshold": self.threshold, "epoch": 1}}
        self.genesis = Genesis.from_json(document)
        people = [self.identity(name).signer for name in NAMES]
        self.envelope = sign_statement("genesis", self.genesis.to_json(), people)
        self.service = self.start()
        self.host = asyncio.run(self.service.found(self.envelope))

    def start(self) -> TrustService:
        service = _started(self.hardware, self.store, self.tls, clock=self.now)
        introduce(service, self.witnesses)
        return service

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
        self.vote(self.propose(*actions), *by)

    def propose(self, *actions: Any) -> Digest:
        """Bob asks for them; nobody has voted yet."""
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
        return envelope.statement_digest


@dataclass
class Elsewhere:
    """Another machine of the same vendor, with a trust service that restores a folder."""

    hardware: Hardware
    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    tls: TLSIdentity = field(default_factory=TLSIdentity.generate)

    def start(self) -> TrustService:
        return _started(self.hardware, self.store, self.tls, restoring=self.folder)

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[TrustService, str]]:
        service = self.start()
        with running_app(create_app(service), self.tls) as url:
            yield service, url


def _started(
    hardware: Hardware,
    store: MemoryStore,
    tls: TLSIdentity,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    restoring: Path | None = None,
) -> TrustService:
    service = TrustService(
        store=store,
        attester=hardware.attester(Role.SERVICE),
        tls_spki_sha256=tls.spki_sha256,
        clock=clock,
        entropy=os.urandom,
        allow_private_peers=True,
        restoring=restoring,
        pace=IMPATIENT,
    )
    asyncio.run(service.claim(owner_claim(service)))
    return service


def introduce(service: TrustService, witnesses: Iterable[FakeWitness]) -> None:
    """Their owners tell the witnesses with which key the log goes on."""
    for witness in witnesses:
        witness.log_key = service.keyset.verify_key


def prepared(root: Path, *, witnesses: Sequence[FakeWitness] = ()) -> Planned:
    """A board whose job gets a deposited secret, of which a few uses are allowed."""
    hardware = Hardware.create(root / "hardware")
    planned = Planned(hardware, root / "homes", witnesses=witnesses)
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
