# SPDX-License-Identifier: Apache-2.0
"""`accord lineage`, and what a withdrawal tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.conftest import FinishedDemo
from tests.support.live import Board


def test_lineage_of_a_model_is_the_same_from_bundle_and_file(
    demo: FinishedDemo, command: Command
) -> None:
    """The document is byte for byte the one in the bundle."""
    run, place = demo.result["run"], ("--bundle", demo.bundle)
    found = command("lineage", run, *place, "--json")
    tree = command("lineage", run, *place).stdout

    assert found.exit_code == 0
    (step,) = found.document["predicate"]["steps"]
    assert step["run"] == run
    assert tree.startswith(run)
    assert all(item["asset"] in tree for item in step["inputs"])


def test_lineage_as_a_graph(demo: FinishedDemo, command: Command) -> None:
    """Graphviz's language, with an arrow for everything that went in and came out."""
    run = demo.result["run"]
    document = command("lineage", run, "--bundle", demo.bundle, "--json").document
    graph = command("lineage", run, "--bundle", demo.bundle, "--dot").stdout
    (step,) = document["predicate"]["steps"]

    assert graph.startswith("digraph lineage {")
    assert graph.count("->") == len(step["inputs"]) + len(step["outputs"])


def test_lineage_of_what_no_run_made_is_refused(demo: FinishedDemo, command: Command) -> None:
    """With its own code, and exit code 2."""
    found = command("lineage", "nobody/nothing", "--bundle", demo.bundle)

    assert (found.exit_code, "accord-BUN-011" in found.stderr) == (2, True)


def test_lineage_needs_to_know_where_to_look(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home or a bundle."""
    monkeypatch.delenv("ACCORD_HOME", raising=False)

    assert command("lineage", "x").exit_code == 2


def test_withdrawal_lists_live_runs(board: Board, command: Command) -> None:
    """Who withdraws learns which runs still hold the asset."""
    board.enact({"ann/data": board.offer("ann", "data")})
    member = board.member("ann")
    with member.connect() as session:
        session.release(board.request(session))
        (run,) = member.read(session)[1].runs
    home = ("--home", board.home("ann"))
    shown = command("lineage", run, *home)
    withdrawn = command("asset", "withdraw", "data", *home, "--json")

    assert "made nothing" in shown.stdout
    assert [{"run": run, "lease_until": None}] == withdrawn.document["live"]
    assert withdrawn.document["derived"] == []
    assert f"{run} still holds it (until it ends)" in withdrawn.stderr
    again = command("asset", "withdraw", "data", *home, "--json")
    assert again.document["live"] == withdrawn.document["live"]


def test_model_is_signed_only_where_its_result_opens(
    demo: FinishedDemo, command: Command, tmp_path: Path
) -> None:
    """Without a key of P-256 nothing is signed."""
    (tmp_path / "key.pem").write_text("nothing")
    refused = command(
        *("bundle", "verify-model", demo.bundle, "--signature", tmp_path / "key.pem"),
        *("--key", tmp_path / "key.pem"),
    )

    assert (refused.exit_code, "accord-BUN-012" in refused.stderr) == (3, True)
