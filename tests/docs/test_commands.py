# SPDX-License-Identifier: Apache-2.0
"""Every command that the tutorial and the how-to guides show is typed, and prints what they say."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.docs._console import Session, commands, fences, matches

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOW_TO = DOCS / "how-to"
TUTORIALS = sorted((DOCS / "tutorial").glob("*.md"))

# The pages are typed as they stand, one process after the other.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A shell in an empty folder, with `accord` and `python` as a reader has them."""
    # A copy of the package: the simulated TEE measures its files, and somebody may edit them.
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "reader"
    folder.mkdir()
    scripts = Path(sys.executable).parent
    environment = {
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "PYTHONPATH": str(source),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
    }
    return Session(folder, environment)


def how_to_pages() -> list[Path]:
    """The guides in the order of their table of contents."""
    listed = re.search(r"```\{toctree\}\n(.*?)```", (HOW_TO / "index.md").read_text(), re.DOTALL)
    assert listed
    names = [line for line in listed[1].split() if not line.startswith(":") and line != "1"]
    return [HOW_TO / f"{name}.md" for name in names]


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_does_what_it_says(session: Session, tutorial: Path) -> None:
    """A reader who types a whole tutorial sees what it shows."""
    with session:
        assert session.run(tutorial) == []


def test_the_how_to_guides_do_what_they_say(session: Session) -> None:
    """A reader who follows all guides, one after the other, sees what they show."""
    pages = how_to_pages()
    assert set(pages) == set(HOW_TO.glob("*.md")) - {HOW_TO / "index.md"}
    with session:
        for page in pages:
            assert session.run(page) == []


def page(tmp_path: Path, text: str) -> Path:
    """A page with one console block."""
    path = tmp_path / "page.md"
    path.write_text(f"```console\n{text}```\n")
    return path


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        ("$ echo yes\nyes\n", ""),
        ("$ echo yes\nno\n", "printed\nyes\n"),
        ("$ echo yes; echo no\ny…\n…\n", ""),
        ("$ false\n", "exit code 0, got 1"),
        ("$ echo 'error: accord-REL-005 x'; exit 4\nerror: accord-REL-005 x\n", "the shell ended"),
        ("$ echo 'error: accord-REL-005 x'; (exit 4)\nerror: accord-REL-005 x\n", ""),
        ("$ echo 'error: accord-REL-005 x'\nerror: accord-REL-005 x\n", "exit code 4, got 0"),
        ("$ echo \\\n>   both\nboth\n", ""),
    ],
)
def test_the_runner_sees_what_goes_wrong(
    session: Session, tmp_path: Path, shown: str, problem: str
) -> None:
    """Other output, or another exit code, than the page shows is a failure."""
    with session:
        try:
            wrong = session.run(page(tmp_path, shown))
        except EOFError as error:
            wrong = [str(error)]
    assert bool(wrong) == bool(problem)
    assert problem in "".join(wrong)


def test_every_block_has_a_command() -> None:
    """All console blocks can be read: commands, and output after a command."""
    for path in (*TUTORIALS, *how_to_pages()):
        for fence in fences(path):
            if fence.language == "console":
                assert list(commands(fence))


def test_an_ellipsis_alone_stands_for_any_lines() -> None:
    """``…`` within a line stays within it; alone it may be no line, or many."""
    assert matches("a …\n", "a b\n")
    assert not matches("a …\n", "a b\nc\n")
    assert matches("a\n…\n", "a\n")
    assert matches("a\n…\n", "a\nb\nc\n")
