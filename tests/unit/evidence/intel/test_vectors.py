# SPDX-License-Identifier: Apache-2.0
"""Published vectors: one flaw per folder, and the refusal that it must meet."""

import json
from pathlib import Path
from typing import Any

import pytest

from accord.encoding import parse_time
from accord.errors import EvidenceError
from accord.evidence import Binding, Evidence, Purpose, Role, verify

FOLDER = Path(__file__).parents[3] / "vectors" / "evidence"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/request.json"))


def outcome(name: str) -> dict[str, str]:
    """What `verify` says of a vector, in the words of its ``expected``."""
    request = json.loads((FOLDER / name / "request.json").read_text())
    bound = request["binding"]
    exporter = bound["tls_exporter"]
    binding = Binding(
        purpose=Purpose(bound["purpose"]),
        role=Role(bound["role"]),
        nonce=bytes.fromhex(bound["nonce"]),
        spki_sha256=bytes.fromhex(bound["spki_sha256"]),
        tls_exporter=None if exporter is None else bytes.fromhex(exporter),
        claims_digest=bytes.fromhex(bound["claims_digest"]),
    )
    evidence = Evidence.from_bytes((FOLDER / name / "evidence.json").read_bytes())
    try:
        claims = verify(
            evidence,
            anchors=request["anchors"],
            now=parse_time(request["now"], what="now"),
            binding=binding,
        )
    except EvidenceError as exc:
        return {"error": exc.code}
    return {"tcb_status": claims.tcb_status}


@pytest.mark.parametrize("name", NAMES)
def test_vector_meets_its_expected_outcome(name: str) -> None:
    """Each published vector is accepted or refused for exactly the reason it names."""
    request = json.loads((FOLDER / name / "request.json").read_text())

    assert request["expected"] == outcome(name)


@pytest.mark.parametrize("name", NAMES)
def test_folder_name_tells_the_outcome(name: str) -> None:
    """Folders of refused vectors end in _fail, and no others do."""
    assert name.endswith("_fail") == ("error" in outcome(name))


def test_published_files_are_what_the_generator_makes(generate: Any) -> None:
    """The vectors on disk follow from the generator, byte for byte."""
    found = {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in FOLDER.glob("*/*")
        if path.parent.name != "__pycache__"
    }

    assert generate.files() == found
