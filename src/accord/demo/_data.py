# SPDX-License-Identifier: Apache-2.0
"""The patients of the demonstration, and who holds which of them.

The records are real; the split is constructed. It gives the two hospitals nearly opposite
patients (label skew), as a screening clinic and a referral centre might have, because that is
where training together shows. With a random split of the same records the gain is small.
"""

import gzip
import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from accord.errors import MalformedError

DATA_SHA256 = "e3a0e6a7ccb06cd16504a4dc055fe3927f8261882231ba015bf932b05cf1ebba"
"""Of the packaged ``wdbc.csv.gz``."""

SCREENING = {"0": 150, "1": 6}
"""Patients of hospital A by label: 0 benign, 1 malignant."""

REFERRAL = {"0": 12, "1": 120}
"""Patients of hospital B by label."""

UNSEEN = {"0": 92, "1": 50}
"""Patients of the clinic by label; the others stay unused."""


@dataclass(frozen=True, slots=True)
class HospitalSplit:
    """Disjoint rows, each a line of the original file without its line end."""

    header: str
    hospital_a: tuple[str, ...]
    """Screening clinic: 156 patients, nearly all benign."""

    hospital_b: tuple[str, ...]
    """Referral centre: 132 patients, nearly all malignant."""

    clinic: tuple[str, ...]
    """142 patients that neither hospital has, for evaluation only."""

    unused: tuple[str, ...]
    """139 patients (103 benign, 36 malignant) that take no part."""


def load_lines() -> tuple[str, tuple[str, ...]]:
    """The header and the 569 rows of the packaged data. Raises ``MalformedError``."""
    packed = files("accord.demo").joinpath("data/wdbc.csv.gz").read_bytes()
    if hashlib.sha256(packed).hexdigest() != DATA_SHA256:
        raise MalformedError(what="the packaged wdbc.csv.gz", detail="its SHA-256 is another")
    header, *rows = gzip.decompress(packed).decode("ascii").splitlines()
    return header, tuple(rows)


def split(seed: int = 0) -> HospitalSplit:
    """The records dealt to hospital A, hospital B and the clinic, the same for the same seed."""
    header, rows = load_lines()
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - reproducible, not secret
    dealt: dict[str, list[str]] = {"a": [], "b": [], "clinic": [], "unused": []}
    for label in ("0", "1"):
        left = [row for row in shuffled if row.endswith("," + label)]
        for name, share in (("a", SCREENING), ("b", REFERRAL), ("clinic", UNSEEN)):
            dealt[name] += left[: share[label]]
            left = left[share[label] :]
        dealt["unused"] += left
    order = {row: number for number, row in enumerate(shuffled)}
    a, b, clinic, unused = (tuple(sorted(part, key=order.__getitem__)) for part in dealt.values())
    return HospitalSplit(header, a, b, clinic, unused)


def write_records(path: Path, rows: Iterable[str]) -> None:
    """Write ``rows`` below the header of the original file, replacing ``path``."""
    header, _ = load_lines()
    path.write_text("\n".join((header, *rows)) + "\n", encoding="ascii")
