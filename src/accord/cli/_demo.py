# SPDX-License-Identifier: Apache-2.0
"""`accord demo`: the main job, end to end."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click

from accord.cli._options import PATH, with_output, writing
from accord.cli._output import Output, table
from accord.errors import ExtraMissingError


@click.group("demo")
def group() -> None:
    """The main job on one machine, with real processes and public interfaces only."""


@group.command()
@click.option(
    "--out",
    "target",
    type=PATH,
    default=Path("demo-out"),
    show_default=True,
    help="Folder of the demo; an interrupted demo goes on there.",
)
@with_output
def hospitals(out: Output, target: Path) -> None:
    """Two hospitals train one model, and neither sees the other's patients.

    Shows every command that it runs. Then four attacks are tried; each must be refused.

    \b
    Example: accord demo hospitals --out demo-out
    """
    if importlib.util.find_spec("numpy") is None:
        raise ExtraMissingError(what="the demo", package="numpy")
    from accord.demo import run_hospitals

    with writing(target):
        result = run_hospitals(target, out.note)
    out.result(result, _text(result))


def _text(result: dict[str, Any]) -> list[str]:
    measured = result["measurements"]
    models = [
        (label, *(f"{result[key][name]:.3f}" for name in ("accuracy", "recall", "auc")))
        for label, key in (
            ("hospital A alone", "hospital_a"),
            ("hospital B alone", "hospital_b"),
            ("joint, by accord", "joint"),
        )
    ]
    return [
        "",
        *table(("stakeholder", "has"), [(i["name"], i["has"]) for i in result["stakeholders"]]),
        "",
        *table(("model", "accuracy", "recall", "auc"), models),
        f"split: {result['split']}",
        "",
        *table(
            ("attack", "outcome", "reason"),
            [(i["name"], i["outcome"], i["reason"]) for i in result["attacks"]],
        ),
        "",
        "attested (mrtd: the code, the same for both; mrconfigid: the role)",
        f"trust service  mrtd {measured['trust_service']}",
        f"         mrconfigid {measured['trust_service_role']}",
        f"shield         mrtd {measured['shield']}",
        f"         mrconfigid {measured['shield_role']}",
        f"board          {result['board']}",
        f"bundle         {result['bundle']['path']}",
        f"assurance      {result['assurance'].upper()}: no hardware protected this run",
        f"time           {result['seconds']} s",
    ]
