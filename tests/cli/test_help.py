# SPDX-License-Identifier: Apache-2.0
"""The help of every command, found by walking the tree of commands."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from accord import __version__
from accord.cli._main import cli, run


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from leaves(child, (*path, name))


LEAVES = list(leaves(cli))


def test_every_command_is_a_noun_and_a_verb() -> None:
    """No deeper trees to remember; only the doctor, and the questions why and whence, need none."""
    assert {2} == {len(path) for path in LEAVES} - {1}
    assert [path for path in LEAVES if len(path) == 1] == [("doctor",), ("lineage",), ("why",)]
    assert len(LEAVES) >= 25


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_a_sentence_and_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--help` says what the command does and shows a line to type."""
    assert run([*path, "--help"]) == 0

    said = capsys.readouterr().out
    assert "Example" in said
    assert f"accord {' '.join(path)}" in said.split("Example", 1)[1]
    assert "--json" in said


@pytest.mark.parametrize("noun", sorted({path[0] for path in LEAVES if len(path) > 1}))
def test_every_noun_says_what_it_is(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a noun lists its verbs."""
    assert run([noun, "--help"]) == 0

    said = capsys.readouterr().out
    assert all(path[1] in said for path in LEAVES if path[0] == noun)


def test_the_first_help_lists_the_nouns_and_the_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`accord --help` is where a reader starts."""
    assert run(["--help"]) == 0

    said = capsys.readouterr().out
    assert all(path[0] in said for path in LEAVES)
    assert "130 interrupted" in " ".join(said.split())


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """`accord --version` names the program and its version."""
    assert run(["--version"]) == 0
    assert f"accord, version {__version__}\n" == capsys.readouterr().out
