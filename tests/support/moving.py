# SPDX-License-Identifier: Apache-2.0
"""A board that accepts two trust services, and the other one, to which it may move."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from accord.board import ReplaceService, Witness
from accord.channel import TLSIdentity
from accord.client import TrustSession, hand_over
from accord.encoding import Digest, Fields
from accord.evidence import Role
from accord.identity import KeySigner
from accord.policy import AttestationVariant
from accord.release import Grant, Handover, log_origin
from accord.secrets import SecretValue
from accord.service import MemoryStore, TrustService, create_app
from accord.witness import WatchedLog
from accord.witness.replay import Replay
from tests.support.live import OWNER, Hardware, owner_claim, reference, running_app
from tests.support.recovering import NAMES, Elsewhere, Planned, prepared
from tests.support.witnessed import IMPATIENT
from tests.support.witnessing import make_witness, witness_in_thread

NEXT = bytes(47) + b"\2"
"""The measurement of the service to which the board moves."""


@dataclass
class Machine:
    """A machine with a trust service of some code, which has no board yet."""

    hardware: Hardware
    mrtd: bytes = NEXT
    store: MemoryStore = field(default_factory=MemoryStore)
    tls: TLSIdentity = field(default_factory=TLSIdentity.generate)
    owner: KeySigner = OWNER

    def start(self) -> TrustService:
        service = TrustService(
            store=self.store,
            attester=self.hardware.attester(Role.SERVICE, mrtd=self.mrtd),
            tls_spki_sha256=self.tls.spki_sha256,
            clock=lambda: datetime.now(UTC),
            entropy=os.urandom,
            allow_private_peers=True,
            pace=IMPATIENT,
        )
        asyncio.run(service.claim(owner_claim(service, self.owner)))
        return service

    @contextlib.contextmanager
    def running(self, *, port: int = 0) -> Iterator[tuple[TrustService, str]]:
        service = self.start()
        with running_app(create_app(service), self.tls, port=port) as url:
            yield service, url


def variants(hardware: Hardware, *measurements: bytes) -> tuple[AttestationVariant, ...]:
    """The conditions of the genesis, and the same with other code."""
    [known] = reference(hardware, Role.SERVICE)["attestation"]
    others = [{**known, "measurements": {"mrtd": [mrtd.hex()]}} for mrtd in measurements]
    return tuple(
        AttestationVariant.from_fields(Fields(item, "variant")) for item in [known, *others]
    )


def movable(root: Path, *, witnesses: Sequence[Any] = ()) -> Planned:
    """A board with a secret and a job, whose members voted that they accept both services."""
    board = prepared(root, witnesses=witnesses)
    for witness in witnesses:
        witness.watch(board)
    board.enact(
        board.policy(
            secrets={"token": {"kind": "asset", "asset": "ann/token"}},
            train={"environment": {"TOKEN": "{{ accord.token }}"}, "lease_s": 600},
            predecessor=board.host.machine.board.policies["job"][-1].digest,
        ),
        by=NAMES,
    )
    board.amend(ReplaceService(variants(board.hardware, NEXT)), by=NAMES)
    return board


def moved(board: Planned, source: str, target: str, *, by: str = "ann") -> Handover:
    """A member moves the board."""
    home = board.member(by, source)
    with home.connect() as session:
        return hand_over(home, session, source=source, target=target)


def settled_at(board: Planned, service: TrustService, machine: Machine | Elsewhere) -> None:
    """From here on the board's helper speaks to the other service."""
    board.service, board.tls, board.store = service, machine.tls, machine.store
    board.host = asyncio.run(service.host(board.board))


def value_of(grant: Grant) -> bytes:
    """The secret that a program gets."""
    [value] = grant.secrets.values()
    return SecretValue.from_bytes(value, what="secret").private


def log_of(service: TrustService, board: Digest) -> list[bytes]:
    """All entries that a service has."""
    host = asyncio.run(service.host(board))
    return asyncio.run(host.entries(0, host.durable_size))


def attested(board: Planned, url: str) -> TrustSession:
    """A session for somebody who knows the board's charter."""
    accepted = board.host.machine.board.charter.service
    return TrustSession.attest(url, board.genesis, accepted=accepted)


class Entries:
    """What a replaying witness reads: the longest log that any of these stores has."""

    def __init__(self, board: Digest, stores: Sequence[MemoryStore]) -> None:
        self._board, self._stores = board, stores

    def entries(
        self, start: int, size: int | None, _accepted: Sequence[AttestationVariant] = ()
    ) -> Iterator[bytes]:
        longest = max(self._stores, key=lambda store: store.size(self._board))
        return islice(longest.entries(self._board, start), None if size is None else size - start)

    def close(self) -> None:
        """It holds nothing."""


@dataclass
class Replaying:
    """A real witness in a thread, which replays what it cosigns."""

    name: str
    home: Path
    stores: list[MemoryStore] = field(default_factory=list)
    url: str = ""
    log_key: object = None

    def __post_init__(self) -> None:
        self.witness = make_witness(
            self.home,
            name=self.name,
            examiner=Replay(lambda log: Entries(Digest(log.board), self.stores)),
        )

    @property
    def listed(self) -> Witness:
        return Witness(
            self.name, f"group-{self.name}", self.witness._key.signer.verify_key, self.url
        )

    def watch(self, board: Planned) -> None:
        """From now on it knows the log."""
        self.stores.append(board.store)
        origin, key = log_origin(board.board), board.service.keyset.verify_key
        self.witness.store.add(WatchedLog(origin, origin, key, board.board, "https://a.example"))


@contextlib.contextmanager
def replaying(root: Path, count: int = 3) -> Iterator[list[Replaying]]:
    """So many witnesses of their own groups."""
    with contextlib.ExitStack() as stack:
        found = [Replaying(f"w{n}", root / f"witness-{n}") for n in range(count)]
        for item in found:
            item.url = stack.enter_context(witness_in_thread(item.witness))
        yield found
