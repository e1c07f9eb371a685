# SPDX-License-Identifier: Apache-2.0
"""Published vectors of genesis and statements: one flaw per folder, and its refusal."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from tests.support.board import replay

from accord.board import verify_genesis
from accord.encoding import Envelope, canonical_json
from accord.errors import AccordError
from accord.ledger import Entry

VECTORS = Path(__file__).parents[2] / "vectors"
GENESIS, STATEMENTS = VECTORS / "genesis", VECTORS / "statements"


def names(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/expected.json"))


def expected(folder: Path) -> Any:
    return json.loads((folder / "expected.json").read_text())


def founded(folder: Path) -> dict[str, str]:
    """What founding says of a vector, in the words of its ``expected``."""
    try:
        data = (folder / "genesis.json").read_bytes()
        return {"digest": verify_genesis(Envelope.from_bytes(data, what="genesis")).digest}
    except AccordError as exc:
        return {"error": exc.code}


def applied(folder: Path) -> dict[str, str]:
    """What the machine says of an entry after its log."""
    own = folder / "log.json"
    listed = json.loads((own if own.exists() else STATEMENTS / "log.json").read_text())
    machine = replay([Entry.from_bytes(canonical_json(entry)) for entry in listed])
    try:
        machine.apply(Entry.from_bytes((folder / "entry.json").read_bytes()))
    except AccordError as exc:
        return {"error": exc.code}
    return {}


@pytest.mark.parametrize("name", names(GENESIS))
def test_genesis_vector_meets_its_expected_outcome(name: str) -> None:
    """Founded with exactly this digest, or refused for exactly this reason."""
    assert expected(GENESIS / name) == founded(GENESIS / name)
    assert name.endswith("_fail") == ("error" in expected(GENESIS / name))


@pytest.mark.parametrize("name", names(STATEMENTS))
def test_statement_vector_meets_its_expected_outcome(name: str) -> None:
    """Taken, or refused for exactly this reason."""
    assert expected(STATEMENTS / name) == applied(STATEMENTS / name)
    assert name.endswith("_fail") == ("error" in expected(STATEMENTS / name))


@pytest.mark.parametrize("folder", [GENESIS, STATEMENTS], ids=lambda folder: folder.name)
def test_published_files_are_what_the_generator_makes(folder: Path) -> None:
    """The vectors on disk follow from the generator, byte for byte."""
    made = runpy.run_path(str(folder / "generate.py"))["files"]()
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".json", ".md")
    }

    assert made == found
