# SPDX-License-Identifier: Apache-2.0
"""Published policy vectors: YAML in, canonical JSON and digest out, one flaw per folder."""

import hashlib
import json
import runpy
from pathlib import Path

import pytest

from accord.encoding import canonical_json
from accord.errors import AccordError
from accord.policy import parse_policy

FOLDER = Path(__file__).parents[2] / "vectors" / "policy"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/expected.json"))


def outcome(name: str) -> dict[str, str]:
    """What reading a vector gives, in the words of its ``expected``."""
    try:
        policy = parse_policy((FOLDER / name / "policy.yaml").read_bytes())
    except AccordError as exc:
        return {"error": exc.code}
    return {"digest": policy.digest}


@pytest.mark.parametrize("name", NAMES)
def test_vector_meets_its_expected_outcome(name: str) -> None:
    """Accepted with exactly this digest, or refused for exactly this reason."""
    expected = json.loads((FOLDER / name / "expected.json").read_text())

    assert expected == outcome(name)
    assert name.endswith("_fail") == ("error" in expected)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_fail")])
def test_digest_can_be_computed_by_anybody(name: str) -> None:
    """SHA-256 of the canonical form, with nothing of ours."""
    data = (FOLDER / name / "policy.json").read_bytes()
    expected = json.loads((FOLDER / name / "expected.json").read_text())
    policy = parse_policy((FOLDER / name / "policy.yaml").read_bytes())

    assert data == canonical_json(policy.to_json())
    assert expected["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
    assert data.decode() == json.dumps(
        json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def test_published_files_are_what_the_generator_makes() -> None:
    """The vectors on disk follow from the generator, byte for byte."""
    made = runpy.run_path(str(FOLDER / "generate.py"))["files"]()
    found = {p.relative_to(FOLDER).as_posix(): p.read_bytes() for p in FOLDER.glob("*/*.*")}

    assert made == {k: v for k, v in found.items() if "__pycache__" not in k}
