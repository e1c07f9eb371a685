# SPDX-License-Identifier: Apache-2.0
"""The documentation says what is so: links, examples, generated pages, commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.docs._console import Fence, fences

from accord.board import Constitution, Terms
from accord.cli._main import cli
from accord.demo import PROGRAMS, split, write_records
from accord.encoding import Fields
from accord.errors import catalogue
from accord.policy import parse_policy, parse_yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "changelog.d").glob("*.md")),
    *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts),
]
RUN = [DOCS / "tutorial", DOCS / "how-to"]
EXAMPLES = [item for page in PAGES for item in fences(page) if item.language == "yaml"]

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"`accord ([a-z]+) ([a-z]+(?:-[a-z]+)*)\b([^`]*)`")


def name(value: object) -> str:
    """How a page or a fence is called in a test's name."""
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else getattr(value, "where", "")


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_generated_pages_are_current() -> None:
    """Commands, errors and exit codes are what `python docs/generate.py` writes now."""
    checked = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project names one, and its anchor a heading there."""
    broken = []
    for link in _LINK.findall(re.sub(r"`[^`]*`", "", prose(page))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def check_example(fence: Fence) -> None:
    """Reads a YAML example with the reader that its info string names."""
    kind = fence.words[1] if len(fence.words) > 1 else ""
    text = re.sub(r"TAG-OF-[A-Z]+", "sha256:" + "0" * 64, fence.body)
    text = re.sub(r"\[(MRTD|RTMR0|MRCONFIGID)\]", "['" + "0" * 96 + "']", text)
    if kind == "policy":
        parse_policy(text.encode())
    elif kind == "terms":
        Terms.from_fields(Fields(parse_yaml(text.encode()), "terms"))
    elif kind == "constitution":
        Constitution.from_fields(Fields(parse_yaml(text.encode()), "constitution"))
    else:
        pytest.fail(f"{fence.where} does not say what it is: policy, terms or constitution")


@pytest.mark.parametrize("fence", EXAMPLES, ids=name)
def test_yaml_examples_are_valid(fence: Fence) -> None:
    """Every policy, terms and constitution shown is accepted by the real reader."""
    check_example(fence)


@pytest.mark.parametrize("kind", ["policy", "terms", "constitution"])
def test_each_reference_page_shows_every_field(kind: str) -> None:
    """The example on a reference page holds every field that its tables list."""
    page = DOCS / "reference" / f"{kind}.md"
    shown = "".join(fence.body for fence in fences(page))
    listed = re.findall(r"^\| `([a-z_]+)` \|", prose(page), flags=re.MULTILINE)
    missing = [field for field in listed if not re.search(rf"\b{field}\b", shown)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_console_blocks_stand_where_they_are_run(page: Path) -> None:
    """A console block outside the tutorial and the how-to guides would be run by nobody."""
    if page.parent not in RUN:
        assert [fence.where for fence in fences(page) if fence.language == "console"] == []


def commands_named(text: str) -> Iterator[tuple[str, str]]:
    """The nouns and verbs of all commands in backticks."""
    for noun, verb, _ in _COMMAND.findall(text):
        yield noun, verb


def exists(noun: str, verb: str) -> bool:
    """Whether `accord noun verb` is a command."""
    context = click.Context(cli)
    group = cli.get_command(context, noun)
    return isinstance(group, click.Group) and verb in group.commands


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_pages_name_exist(page: Path) -> None:
    """No page names a command that the program does not have."""
    unknown = [pair for pair in commands_named(prose(page)) if not exists(*pair)]
    assert unknown == []


def unknown_words(line: str) -> list[str]:
    """The words of an example that are neither commands nor options of the program."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    context = click.Context(command)
    while isinstance(command, click.Group) and words:
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return [name]
        command = found
    known = {option for item in command.params for option in item.opts}
    return [word for word in words if word.startswith("-") and word not in known]


def test_examples_in_the_readme_can_be_typed() -> None:
    """Each `accord` line of its shell blocks is a command with options that it has."""
    lines = [
        line
        for fence in fences(ROOT / "README.md")
        if fence.language == "sh"
        for line in fence.body.splitlines()
        if line.startswith("accord ")
    ]
    assert len(lines) >= 4
    assert [(line, unknown_words(line)) for line in lines if unknown_words(line)] == []
    assert unknown_words("accord policy enforce policy.yaml") == ["enforce"]
    assert unknown_words("accord policy lint policy.yaml --force") == ["--force"]


def test_hints_name_commands_and_pages_that_exist() -> None:
    """What an error advises can be done: its commands and its pages exist."""
    wrong: list[tuple[str, ...]] = []
    for code, error in catalogue().items():
        wrong += [(code, *pair) for pair in commands_named(error.hint) if not exists(*pair)]
        pages = re.findall(r"docs/[\w/-]+\.md", error.hint)
        wrong += [(code, page) for page in pages if not (ROOT / page).exists()]
    assert wrong == []


def test_code_refers_to_pages_that_exist() -> None:
    """Every page that the source cites is there."""
    cited = {
        (str(path.relative_to(ROOT)), page)
        for path in (ROOT / "src").rglob("*.py")
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text())
    }
    assert sorted(item for item in cited if not (ROOT / item[1]).exists()) == []


def test_the_table_of_palaemon_is_whole_and_its_paths_exist() -> None:
    """All 46 rows, in order; what is there names code and tests that exist."""
    text = (DOCS / "explanation" / "palaemon.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| \d+ \|", line)
    ]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 47)]
    assert {len(row) for row in rows} == {6}
    verdicts = {row[0]: re.split(r"[.,:]| by", row[3])[0].strip(" *") for row in rows}
    assert set(verdicts.values()) == {"yes", "partly", "not yet", "no"}
    bare = [row[0] for row in rows if verdicts[row[0]] == "yes" and not (row[4] and row[5])]
    assert bare == []
    named = re.findall(r"`((?:src|tests|bench|docs)/[^`…]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_readme_names_make_targets_that_exist() -> None:
    """`make TARGET` in README and CONTRIBUTING is a rule of the Makefile."""
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set()
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text()
        named |= set(re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named - rules == set()


def test_every_decision_has_a_price() -> None:
    """An ADR names its negative consequences."""
    decisions = sorted((DOCS / "adr").glob("0*.md"))
    assert decisions
    free = [path.name for path in decisions if "\nBad:\n\n* " not in path.read_text()]
    assert free == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_mentions_a_machine(page: Path) -> None:
    """Pages hold no path of somebody's machine and no emoji."""
    text = page.read_text()
    paths = re.findall(r"(?<![\w/.])/(?:root|work|home|Users|opt)/\S*", text)
    emoji = re.findall("[\U0001f000-\U0001faff\u2705\u274c\u26a0\ufe0f]", text)
    assert (paths, emoji) == ([], [])


@pytest.mark.timeout(400)
def test_the_web_pages_build_without_warnings(tmp_path: Path) -> None:
    """Sphinx builds all pages; each is in a table of contents and every reference resolves."""
    pytest.importorskip("furo", reason="the docs extra is not installed")
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html"]
    built = subprocess.run(
        [*build, "-d", str(tmp_path / "cache"), str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")


def test_readme_shows_the_accuracies_that_the_programs_reach(tmp_path: Path) -> None:
    """The table in the README is what train.py and evaluate.py give on the demo's split."""
    dealt = split()
    groups = {
        "hospital A alone": (dealt.hospital_a,),
        "hospital B alone": (dealt.hospital_b,),
        "joint, by accord": (dealt.hospital_a, dealt.hospital_b),
    }
    write_records(tmp_path / "unseen.csv", dealt.clinic)
    for label, parts in groups.items():
        files = []
        for number, rows in enumerate(parts):
            files.append(str(tmp_path / f"{number}.csv"))
            write_records(Path(files[-1]), rows)
        model = str(tmp_path / "model.npz")
        run_program("train.py", "--out", model, *files)
        reached = json.loads(run_program("evaluate.py", "--model", model, tmp_path / "unseen.csv"))
        numbers = " ".join(f"{reached[key]:.3f}" for key in ("accuracy", "recall", "auc"))
        assert f"{label} {numbers}" in " ".join((ROOT / "README.md").read_text().split())


def run_program(name: str, *arguments: str | Path) -> str:
    """What one of the demo's programs prints."""
    words = [sys.executable, str(PROGRAMS / name), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
