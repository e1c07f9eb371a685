# SPDX-License-Identifier: Apache-2.0
"""Every recorded file is used by a test, and is the file that was recorded."""

import hashlib
import json
from importlib import import_module
from pathlib import Path

from tests.support.recorded import EVIDENCE, index, needs_evidence

pytestmark = needs_evidence

MODULES = sorted(
    path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != "test_index"
)


def covered() -> dict[str, list[str]]:
    """Which modules say that they use a file."""
    found: dict[str, list[str]] = {}
    for module in MODULES:
        for name in import_module(f"tests.recorded.{module}").COVERS:
            found.setdefault(name, []).append(module)
    return found


def test_every_recorded_file_is_covered() -> None:
    """Files that nobody verifies would look like files that verify."""
    assert set(index()) == set(covered())


def test_recorded_files_are_unchanged() -> None:
    """Their digests are those of the index."""
    entries = json.loads((EVIDENCE / "index.json").read_text())
    for entry in entries:
        data = (EVIDENCE / entry["file"]).read_bytes()
        assert (entry["file"], entry["sha256"]) == (entry["file"], hashlib.sha256(data).hexdigest())
