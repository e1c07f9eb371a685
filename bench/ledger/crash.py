# SPDX-License-Identifier: Apache-2.0
"""How long the trust service takes to open again after it was killed under load."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.crash_load import Acknowledged, Load, enact_small_policy
from tests.support.crash_process import Nursery
from tests.support.crash_witnesses import Witnesses
from tests.support.live import Hardware, claim, found_board

from bench.report import Report, median


def run(report: Report, folder: Path, hardware: Hardware, *, kills: int) -> None:
    for kind, witnessed in (("crash", False), ("crash.witnessed", True)):
        place = folder / f"killed-{kind}"
        with Nursery(hardware.trust_host, place / "service") as nursery:
            granted = _killed(nursery, place, hardware, kills=kills, witnessed=witnessed)
        note = "from the start of a process that has its code loaded to its first connection"
        report.add(f"{kind}.open", median(nursery.opened), unit="s", samples=kills, note=note)
        report.add(f"{kind}.open.max", max(nursery.opened), unit="s", samples=kills, target=10.0)
        note = "from its first connection to the first grant, attestation and all"
        report.add(f"{kind}.grant", median(granted), unit="s", samples=kills, note=note)


def _killed(
    nursery: Nursery, folder: Path, hardware: Hardware, *, kills: int, witnessed: bool
) -> list[float]:
    """How long each life took to its first grant."""
    url = nursery.start()
    claim(url, hardware, folder / "owner")
    if witnessed:
        witnesses = Witnesses.create(nursery, folder / "witnesses")
        board = witnesses.found(folder / "board", hardware, url)
    else:
        board = found_board(folder / "board", hardware, url)
    enact_small_policy(board)
    nursery.opened.clear()
    granted = []
    for _ in range(kills):
        with Load(board, url, Acknowledged()) as load:
            start = time.perf_counter()
            if load.busy.wait(10):
                granted.append(time.perf_counter() - start)
            time.sleep(0.1)
            nursery.kill()
        url = nursery.start()
    return granted
