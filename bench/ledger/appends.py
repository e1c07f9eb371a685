# SPDX-License-Identifier: Apache-2.0
"""Appends: real statements with and without sharing a transaction; their cost as a log grows."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.live import Hardware, make_genesis, make_service, terms

from accord.board import AssetKind, AssetOffer
from accord.encoding import Envelope, sha256
from accord.evidence import Role
from accord.identity import FileIdentity, sign_statement
from accord.ledger import MerkleTree, leaf, leaf_hash
from accord.service import SQLiteStore, Stored
from accord.service._host import BoardHost
from bench.report import Report, median

WAITING = 64
"""Callers that wait for the disk at the same time."""

BATCHES = 20
PER_FILL = 2000

_BOARD = sha256(b"a board that grows")


def run(report: Report, folder: Path, hardware: Hardware, *, count: int, largest: int) -> None:
    _statements(report, folder, hardware, count)
    _flat(report, folder, largest)


def _statements(report: Report, folder: Path, hardware: Hardware, count: int) -> None:
    """One caller and 64 in turn, ABBA: each is answered when its entry is on the disk."""
    store = SQLiteStore(folder / "appends.db", bytes(32))
    service = make_service(hardware.attester(Role.SERVICE), store=store)
    genesis, envelope = make_genesis(folder / "appends", hardware)
    host = asyncio.run(service.found(envelope))
    signer = FileIdentity.load(folder / "appends" / "ann").signer
    offers = []
    for number in range(count):
        offer = AssetOffer(
            board=genesis.digest,
            name=f"ann/asset-{number}",
            kind=AssetKind.SECRET,
            tag=sha256(number.to_bytes(8)),
            terms=terms(),
            predecessor=None,
        )
        offers.append(sign_statement("asset", offer.to_json(), [signer]))
    alone: list[float] = []
    shared: list[float] = []
    part = count // 22  # one caller is slower: a tenth of the statements each time
    for callers, share in ((1, part), (WAITING, 10 * part), (WAITING, 10 * part), (1, part)):
        given, offers = offers[:share], offers[share:]
        start = time.perf_counter()
        asyncio.run(_append(host, given, callers))
        (alone if callers == 1 else shared).append(share / (time.perf_counter() - start))
    service.close()
    store.close()
    report.add_timing(
        "append.per_s",
        median(shared),
        unit="/s",
        samples=20 * part,
        reference=median(alone),
        target=1000,
        at_least=True,
        note=f"signed statements, {WAITING} callers, SQLite; against one caller",
    )


async def _append(host: BoardHost, envelopes: list[Envelope], callers: int) -> None:
    waiting = iter(envelopes)

    async def caller() -> None:
        for envelope in waiting:
            await host.append(envelope)

    await asyncio.gather(*(caller() for _ in range(callers)))


@dataclass
class Growing:
    """A log that grows: its store, and the tree over it."""

    store: SQLiteStore
    tree: MerkleTree = field(default_factory=MerkleTree)

    def __post_init__(self) -> None:
        self.fence = self.store.acquire(_BOARD, "the benchmark")

    def extend(self, count: int) -> None:
        entries = [hashlib.sha512(os.urandom(8)).digest() * 8 for _ in range(count)]
        batch = [Stored(entry) for entry in entries]
        self.store.append(_BOARD, self.tree.size, batch, fence=self.fence)
        for entry in entries:
            self.tree.append(leaf_hash(leaf(entry)))
        self.tree.root()

    def grow_to(self, size: int) -> None:
        while self.tree.size < size:
            self.extend(min(PER_FILL, size - self.tree.size))

    def append_us(self) -> float:
        start = time.perf_counter()
        self.extend(WAITING)
        return 1e6 * (time.perf_counter() - start) / WAITING


def _flat(report: Report, folder: Path, largest: int) -> None:
    """Tree and store alone, at each power of ten, in turn with a log of 1000; ABBA."""
    large = Growing(SQLiteStore(folder / "large.db", bytes(32)))
    ratio, size = 1.0, 1000
    while size <= largest:
        small = Growing(SQLiteStore(folder / f"small-{size}.db", bytes(32)))
        small.grow_to(1000)
        large.grow_to(size)
        times: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(BATCHES // 2):
            for which in (0, 1, 1, 0):
                times[which].append((small, large)[which].append_us())
        small.store.close()
        at_small, at_large = median(times[0]), median(times[1])
        ratio = at_large / at_small
        report.add_timing(
            f"append.at_{size}",
            at_large,
            unit="us",
            samples=BATCHES * WAITING,
            reference=at_small,
            target=None,
            note="tree and store, in transactions of 64; against a log of 1000",
        )
        size *= 10
    large.store.close()
    note = f"the cost of an append at {size // 10} entries over that at 1000"
    report.add("append.flat", ratio, unit="x", samples=BATCHES, target=1.5, note=note)
