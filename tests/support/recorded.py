# SPDX-License-Identifier: Apache-2.0
"""Recorded evidence of real hardware, where it lies beside the checkout; it is never copied."""

import json
from functools import cache
from pathlib import Path

import pytest

EVIDENCE = Path(__file__).parents[3] / "shared" / "evidence"

needs_evidence = pytest.mark.skipif(
    not (EVIDENCE / "index.json").is_file(),
    reason=f"SKIPPED: no recorded evidence of real hardware at {EVIDENCE}",
)
"""Marks tests of recorded evidence; where it is not at hand, the report says so."""


@cache
def index() -> dict[str, str]:
    """The expected outcome of every recorded file, by its path."""
    entries = json.loads((EVIDENCE / "index.json").read_text())
    return {entry["file"]: entry["expected"] for entry in entries}
