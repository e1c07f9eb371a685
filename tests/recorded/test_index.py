# SPDX-License-Identifier: Apache-2.0
"""Every recorded file is used by a test, and is the file that was recorded."""

import hashlib
import json
import os
import subprocess
import sys
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


def test_every_recorded_file_is_opened_by_a_test(tmp_path: Path) -> None:
    """What a module says that it covers, its tests do read."""
    opened = tmp_path / "opened"
    files = [str(path) for path in Path(__file__).parent.glob("test_*.py") if path.stem in MODULES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.opened", *files]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "ACCORD_OPENED": str(opened)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert set(index()) - set(opened.read_text().split("\n")) == set()


def test_recorded_files_are_unchanged() -> None:
    """Their digests are those of the index."""
    entries = json.loads((EVIDENCE / "index.json").read_text())
    for entry in entries:
        data = (EVIDENCE / entry["file"]).read_bytes()
        assert (entry["file"], entry["sha256"]) == (entry["file"], hashlib.sha256(data).hexdigest())
