# SPDX-License-Identifier: Apache-2.0
"""Updates of live volumes' tags: through the core, over HTTP, and against what others do."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from tests.support.live import Hardware, reference, store_key
from tests.support.served import Served, Shield

from accord.client import TrustSession
from accord.encoding import Digest, Envelope, sha256
from accord.evidence import Role
from accord.identity import sign_statement
from accord.release import Grant, TagCommit, TagUpdate
from accord.service import SQLiteStore
from bench.report import Report

RUNS = 32
"""Shields at the same time, each with one live volume."""

BATCH = 16
"""Updates of one statement, where a shield collects them while it waits for the disk."""

COMMITS = 60
"""Statements of each shield in one measurement."""

COUNTER_PER_S = 13
"""Increments of a hardware monotonic counter per second, as the literature has measured."""

PROCESSES = 2
TARGET_PER_S = 1000


class _Run:
    """One shield, its open volume, and the commits that it signs ahead of the clock."""

    def __init__(self, shield: Shield, grant: Grant) -> None:
        self._shield, self._grant = shield, grant
        self._tag, self._number = grant.volumes[0].tag, 0

    def sign(self, statements: int, batch: int) -> list[Envelope]:
        return [self._commit(batch) for _ in range(statements)]

    def _commit(self, batch: int) -> Envelope:
        updates = []
        for _ in range(batch):
            self._number += 1
            new = sha256(os.urandom(32))
            updates.append(TagUpdate("state", self._number, self._tag, new))
            self._tag = new
        body = TagCommit(self._grant.board, self._grant.run, tuple(updates)).to_json()
        return sign_statement("tag-commit", body, [self._shield.signer])


def _opened(served: Served) -> list[_Run]:
    """As many policies as runs, each with one live volume that its run has opened."""
    service = {
        "attestation": reference(served.hardware, Role.SHIELD)["attestation"],
        "command": ["true"],
        "inputs": [],
        "outputs": [],
        "volumes": [{"volume": "state", "at": "/data/state"}],
    }
    policies = [
        served.policy(name=f"job-{number}", volumes={"state": {}}, services={"train": service})
        for number in range(RUNS)
    ]
    served.enact(*policies)
    runs = []
    for policy in policies:
        shield = served.shield()
        runs.append(_Run(shield, served.release(shield, policy=policy.name)))
    return runs


def _through_core(served: Served, runs: Sequence[_Run], batch: int) -> tuple[float, float]:
    """Updates per second, and milliseconds of one commit."""
    signed = [run.sign(COMMITS, batch) for run in runs]

    async def follow(envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            await served.service.commit_tags(served.host, envelope)

    async def everybody() -> float:
        start = time.perf_counter()
        await asyncio.gather(*map(follow, signed))
        return time.perf_counter() - start

    taken = asyncio.run(everybody())
    return len(runs) * COMMITS * batch / taken, 1000 * taken / COMMITS


def _send(url: str, board: Digest, groups: Sequence[Sequence[bytes]]) -> None:
    """The shields of one process, each over a connection of its own."""

    def follow(envelopes: Sequence[bytes]) -> None:
        with TrustSession.open(url, board) as session:
            for data in envelopes:
                session.commit_tag(Envelope.from_bytes(data, what="commit"))

    with ThreadPoolExecutor(len(groups)) as pool:
        list(pool.map(follow, groups))


def _over_http(served: Served, runs: Sequence[_Run], batch: int) -> float:
    """Updates per second, of shields in processes of their own."""
    signed = [[item.to_bytes() for item in run.sign(COMMITS, batch)] for run in runs]
    spawn = multiprocessing.get_context("spawn")
    with served.over_http() as url, ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
        for ready in [pool.submit(time.sleep, 1.0) for _ in range(PROCESSES)]:
            ready.result()
        start = time.perf_counter()
        parts = [signed[number::PROCESSES] for number in range(PROCESSES)]
        for done in [pool.submit(_send, url, served.board, part) for part in parts]:
            done.result()
        taken = time.perf_counter() - start
    return len(runs) * COMMITS * batch / taken


def _file_updates(folder: Path, count: int, before: Callable[[], None]) -> float:
    """Updates per second of a tag in a file, replaced atomically and made durable."""
    path = folder / "tag"
    start = time.perf_counter()
    for number in range(count):
        before()
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(b"%064d" % number)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    return count / (time.perf_counter() - start)


def _alone(served: Served, run: _Run, count: int) -> float:
    """Updates per second of one shield that waits for each."""
    signed = run.sign(count, 1)

    async def follow() -> float:
        start = time.perf_counter()
        for envelope in signed:
            await served.service.commit_tags(served.host, envelope)
        return count / (time.perf_counter() - start)

    return asyncio.run(follow())


def tags(report: Report) -> None:
    """Adds the rows about tags; the protected ones against a counter and an unprotected file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        hardware = Hardware.create(folder / "hardware")
        store = SQLiteStore(folder / "store.sqlite3", store_key(hardware))
        (folder / "members").mkdir()
        served = Served(hardware, folder / "members", store=store)  # type: ignore[arg-type]
        runs = _opened(served)
        single, wait_ms = _through_core(served, runs, 1)
        many, _ = _through_core(served, runs, BATCH)
        http_single, http_many = _over_http(served, runs, 1), _over_http(served, runs, BATCH)
        alone = _alone(served, runs[0], 300)
        counter = _file_updates(folder, 26, lambda: time.sleep(1 / COUNTER_PER_S))
        plain = _file_updates(folder, 500, lambda: None)
        served.service.close()
        store.close()
    size, per_s = RUNS * COMMITS, "updates/s"
    for name, ours, batch, note in (
        ("tag updates, core", single, 1, f"one per statement; {wait_ms:.0f} ms to the answer"),
        ("tag updates, core, batched", many, BATCH, f"{BATCH} per statement"),
        ("tag updates, HTTP", http_single, 1, "TLS, one per statement"),
        ("tag updates, HTTP, batched", http_many, BATCH, f"TLS, {BATCH} per statement"),
    ):
        report.add(
            name,
            ours,
            unit=per_s,
            samples=size * batch,
            target=TARGET_PER_S,
            at_least=True,
            note=f"{RUNS} shields, SQLite; {note}",
        )
    for name, ours, reference_, note in (
        ("one shield / counter", alone, counter, "emulated hardware counter, 13 increments/s"),
        ("one shield / plain file", alone, plain, "unprotected file, fsync of each update"),
        ("32 shields / counter", single, counter, "emulated hardware counter, 13 increments/s"),
        ("32 shields, batched / counter", many, counter, f"{BATCH} updates per statement"),
        ("32 shields, batched / plain file", many, plain, "unprotected file, fsync of each update"),
    ):
        report.add(name, ours, unit=per_s, samples=300, reference=reference_, note=note)
