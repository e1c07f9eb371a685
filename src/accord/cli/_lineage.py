# SPDX-License-Identifier: Apache-2.0
"""`accord lineage`: which data and code a result came from, over several runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from accord.bundle import verify_bundle_log
from accord.cli._audit import must_be_folder
from accord.cli._options import PATH, service_url, with_output
from accord.cli._output import Output
from accord.client import MemberHome
from accord.release import Ingredient, Lineage, Machine, Step, lineage_statement


@click.command("lineage")
@click.argument("name", metavar="MODEL|RUN")
@click.option("--home", type=PATH, envvar="ACCORD_HOME", help="Your identity; asks the board.")
@click.option("--bundle", type=PATH, help="A bundle instead of the board, verified offline.")
@click.option("--dot", is_flag=True, help="Print a graph for Graphviz.")
@with_output
def group(out: Output, name: str, home: Path | None, bundle: Path | None, *, dot: bool) -> None:
    """Show which data and code a result came from, through all runs of the board.

    MODEL is RUN/OUTPUT, the name of an asset that a run made, or a tag. Code is an asset like
    data; the policy of each run says which environment it ran in. What `lineage` cannot see is
    what happened outside of the board.

    \b
    Example:
      accord lineage run-0123456789abcdef0123456789abcdef/model --home clinic
      accord lineage clinic/model --bundle bundle --dot
    """
    lineage = Lineage(_machine(home, bundle))
    run = lineage.find(name)
    if dot and not out.json:
        out.result(None, _dot(lineage, run))
    else:
        out.result(lineage_statement(lineage, run), _tree(lineage, run))


def _machine(home: Path | None, bundle: Path | None) -> Machine:
    if bundle is not None:
        return verify_bundle_log(must_be_folder(bundle))[1].machine
    if home is None:
        raise click.UsageError("give --home or --bundle")
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        return member.read(session)[1]


def _tree(lineage: Lineage, run: str) -> Iterator[str]:
    """Every run with what went in below it; a run met again is not drawn again."""
    drawn: set[str] = set()
    waiting: list[tuple[int, Step | Ingredient]] = [(0, lineage.steps[run])]
    while waiting:
        depth, item = waiting.pop()
        pad = "  " * depth
        if isinstance(item, Ingredient):
            yield f"{pad}{item.asset}  {item.tag}"
            if item.made_by is not None:
                waiting.append((depth + 1, lineage.steps[item.made_by[0]]))
        elif item.run in drawn:
            yield f"{pad}{item.run}  (above)"
        else:
            drawn.add(item.run)
            release = item.record.release
            made = ", ".join(output.name for output in item.outputs) or "nothing"
            yield f"{pad}{item.run}  {release.policy}/{release.service}, made {made}"
            for use in release.secrets:
                yield f"{pad}  secret {use.name} of {use.source}"
            waiting += [(depth + 1, used) for used in reversed(item.inputs)]


def _dot(lineage: Lineage, run: str) -> Iterator[str]:
    """Names of assets, runs and policies hold nothing that a quoted string of DOT minds."""
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    for step in lineage.ancestry(run):
        release = step.record.release
        yield f'  "{step.run}" [shape=box, label="{release.policy}/{release.service}"];'
        for output in step.outputs:
            yield f'  "{output.tag}" [label="{output.name}"];'
            yield f'  "{step.run}" -> "{output.tag}";'
        for item in step.inputs:
            if item.made_by is None:
                yield f'  "{item.tag}" [label="{item.asset}"];'
            yield f'  "{item.tag}" -> "{step.run}";'
    yield "}"
