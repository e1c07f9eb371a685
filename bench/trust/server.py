# SPDX-License-Identifier: Apache-2.0
"""A trust service over SQLite or PostgreSQL, as a process of its own that can be watched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from accord.evidence import Role
from accord.service import STORE_LABEL, SQLiteStore, Store, TrustService, open_postgres, serve
from accord.testing import SimulatedPlatform, simulated_measurements

START_TIMEOUT_S = 300.0
"""A full store is read whole before the first request is taken."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def open_store(where: str, key: bytes) -> Store:
    """``sqlite:PATH`` or ``postgres:CONNINFO``."""
    kind, _, place = where.partition(":")
    return SQLiteStore(Path(place), key) if kind == "sqlite" else open_postgres(place, key)


@asynccontextmanager
async def unserved(where: str, host: Path) -> AsyncIterator[tuple[TrustService, Store]]:
    """The service over a store without HTTP, in this process: for filling stores."""
    attester = SimulatedPlatform.load(host).attester(simulated_measurements(Role.SERVICE))
    store = open_store(where, attester.seal_key(STORE_LABEL))
    service = TrustService(
        store=store,
        attester=attester,
        tls_spki_sha256=bytes(32),
        clock=lambda: datetime.now(UTC),
        entropy=os.urandom,
    )
    async with service.running():
        yield service, store
    service.close()
    store.close()


@dataclass
class Server:
    """The service on one store; its machine is the simulated one below ``host``."""

    host: Path
    where: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    started_in: float = 0.0

    def start(self) -> Server:
        self.folder.mkdir(parents=True, exist_ok=True)
        url_file = self.folder / "url"
        url_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.trust.server"]
        start = time.perf_counter()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.host), self.where, str(url_file)], stdout=log, stderr=log
            )
        while not url_file.exists():
            if self.process.poll() is not None or time.perf_counter() - start > START_TIMEOUT_S:
                self.stop()
                message = f"the service did not start: {(self.folder / 'log').read_text()}"
                raise RuntimeError(message)
            time.sleep(0.02)
        self.started_in = time.perf_counter() - start
        self.url = url_file.read_text()
        return self

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=START_TIMEOUT_S)

    @property
    def resident_mb(self) -> float:
        """What it holds in memory now."""
        return int(self._proc("statm").split()[1]) * _PAGE / 1e6

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used so far, all threads together."""
        after_name = self._proc("stat").rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / _TICKS

    def _proc(self, name: str) -> str:
        if self.process is None:
            message = "the service was not started"
            raise RuntimeError(message)
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


def main(host: str, where: str, url_file: str) -> None:
    attester = SimulatedPlatform.load(Path(host)).attester(simulated_measurements(Role.SERVICE))
    store = open_store(where, attester.seal_key(STORE_LABEL))

    def ready(url: str) -> None:
        new = Path(url_file + ".new")
        new.write_text(url)
        new.rename(url_file)

    try:
        serve(store=store, attester=attester, host="127.0.0.1", port=0, ready=ready)
    finally:
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
