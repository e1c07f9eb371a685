# SPDX-License-Identifier: Apache-2.0
"""The picture: what witnesses add to a release, and what an append costs as the log grows."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from bench.report import RESULTS, Row


def plot(added: Mapping[int, float], rows: list[Row]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
    left.plot(list(added), list(added.values()), "o-", color="#3b6ea5")
    left.set_xscale("log", base=2)
    left.set_xlabel("releases at a time")
    left.set_ylabel("ms more than without witnesses (median)")
    left.set_title("Strict release, quorum of 2 of 3 on loopback")
    prefix = "append.at_"
    found = {int(r.id.removeprefix(prefix)): r.ours for r in rows if r.id.startswith(prefix)}
    right.plot(list(found), list(found.values()), "o-", color="#3b6ea5")
    right.set_xscale("log")
    right.set_ylim(bottom=0)
    right.set_xlabel("entries in the log")
    right.set_ylabel("µs an entry")
    right.set_title("Append: tree and SQLite, transactions of 64")
    figure.tight_layout()
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "ledger.svg", metadata={"Date": None})
    plt.close(figure)
