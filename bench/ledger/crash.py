# SPDX-License-Identifier: Apache-2.0
"""How long the trust service takes to open again after it was killed under load."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.crash_load import Acknowledged, Load, enact_small_policy
from tests.support.crash_process import Nursery
from tests.support.live import Hardware, claim, found_board

from bench.report import Report, median


def run(report: Report, folder: Path, hardware: Hardware, *, kills: int) -> None:
    with Nursery(hardware.trust_host, folder / "killed") as nursery:
        url = nursery.start()
        claim(url, hardware, folder / "killed-owner")
        board = found_board(folder / "board-killed", hardware, url)
        enact_small_policy(board)
        nursery.opened.clear()
        for _ in range(kills):
            with Load(board, url, Acknowledged()) as load:
                load.busy.wait(10)
                time.sleep(0.1)
                nursery.kill()
            url = nursery.start()
    note = "from the start of a process that has its code loaded to its first connection"
    report.add("crash.open", median(nursery.opened), unit="s", samples=kills, note=note)
    report.add("crash.open.max", max(nursery.opened), unit="s", samples=kills, target=10.0)
