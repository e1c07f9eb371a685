# SPDX-License-Identifier: Apache-2.0
"""The picture: where the time of a release goes, and how it is spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from bench.report import RESULTS


def plot(steps: Mapping[str, float], totals: Mapping[str, Sequence[float]]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8))
    left.barh(list(steps), list(steps.values()), color="#3b6ea5")
    left.invert_yaxis()
    left.set_xlabel("ms (median), simulated TEE, loopback")
    left.set_title("A release over a new connection")
    for kind, values in totals.items():
        ordered = sorted(values)
        right.plot(ordered, [place / len(ordered) for place in range(len(ordered))], label=kind)
    right.set_xlabel("ms")
    right.set_ylabel("share of releases")
    right.set_title("Releases over a kept connection")
    right.legend()
    figure.tight_layout()
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "trust.svg", metadata={"Date": None})
    plt.close(figure)
