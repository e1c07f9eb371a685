# SPDX-License-Identifier: Apache-2.0
"""The two-hospital demonstration: real records, and the programs of its lab and its clinic."""

from importlib.resources import files
from pathlib import Path

from accord.demo._data import DATA_SHA256, HospitalSplit, split, write_records
from accord.demo._hospitals import run_hospitals

PROGRAMS = Path(str(files("accord.demo") / "programs"))
"""Directory of ``train.py`` (the lab's) and ``evaluate.py`` (the clinic's)."""

__all__ = ["DATA_SHA256", "PROGRAMS", "HospitalSplit", "run_hospitals", "split", "write_records"]
