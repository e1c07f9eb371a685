# SPDX-License-Identifier: Apache-2.0
"""The records of the demonstration, their split, and what training together gains."""

import ast
import contextlib
import gzip
import hashlib
import importlib
import io
import json
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from accord.demo import DATA_SHA256, PROGRAMS, _data, split, write_records
from accord.errors import MalformedError


def _malignant(rows: tuple[str, ...]) -> int:
    return sum(row.endswith(",1") for row in rows)


def _packed() -> bytes:
    return files("accord.demo").joinpath("data/wdbc.csv.gz").read_bytes()


def test_packaged_data_is_the_attributed_file() -> None:
    """The digest is the one in the attribution, which is packaged beside it."""
    assert hashlib.sha256(_packed()).hexdigest() == DATA_SHA256
    attribution = files("accord.demo").joinpath("data/ATTRIBUTION.md").read_text()
    assert DATA_SHA256 in attribution
    assert "CC BY 4.0" in attribution


def test_split_has_the_stated_sizes() -> None:
    """Label skew: A screens, B treats, the clinic has a mixture."""
    parts = split()
    sizes = {
        name: (len(rows), _malignant(rows))
        for name, rows in (
            ("a", parts.hospital_a),
            ("b", parts.hospital_b),
            ("clinic", parts.clinic),
            ("unused", parts.unused),
        )
    }
    expected = {"a": (156, 6), "b": (132, 120), "clinic": (142, 50), "unused": (139, 36)}
    assert sizes == expected


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_every_patient_has_one_place(seed: int) -> None:
    """No patient is at two hospitals, none of the clinic's was trained on, none is lost."""
    parts = split(seed)
    dealt = parts.hospital_a + parts.hospital_b + parts.clinic + parts.unused
    lines = gzip.decompress(_packed()).decode().splitlines()
    assert sorted(dealt) == sorted(lines[1:])
    assert len(set(dealt)) == 569
    assert parts.header == lines[0]


def test_same_seed_gives_the_same_split() -> None:
    """And another seed another one."""
    assert split(3) == split(3)
    assert split(3) != split(4)


def test_written_records_are_lines_of_the_original(tmp_path: Path) -> None:
    """Byte for byte: no number was read and written again."""
    rows = split().hospital_b
    path = tmp_path / "records.csv"
    write_records(path, rows)
    original = set(gzip.decompress(_packed()).splitlines(keepends=True))
    assert set(path.read_bytes().splitlines(keepends=True)) <= original
    assert path.read_bytes().count(b"\n") == 133


def test_changed_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged installation does not pass for the real records."""
    monkeypatch.setattr(_data, "DATA_SHA256", "0" * 64)
    with pytest.raises(MalformedError, match="wdbc"):
        split()


@pytest.mark.parametrize("program", ["train.py", "evaluate.py"])
def test_program_is_plain_numpy(program: str) -> None:
    """The lab's and the clinic's programs know nothing of accord."""
    tree = ast.parse((PROGRAMS / program).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert imported <= {"argparse", "json", "sys", "numpy"}
    assert "accord" not in imported


def _run(program: str, *arguments: object) -> str:
    """Run a program's ``main`` in this process, so that its lines are counted."""
    printed = io.StringIO()
    module = importlib.import_module(f"accord.demo.programs.{Path(program).stem}")
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(printed):
        patched.setattr(sys, "argv", [program, *map(str, arguments)])
        module.main()
    return printed.getvalue()


def _evaluate(directory: Path, *hospitals: str) -> dict[str, float]:
    model = directory / "model.npz"
    _run("train.py", "--out", model, *(directory / f"{name}.csv" for name in hospitals))
    found: dict[str, float] = json.loads(
        _run("evaluate.py", "--model", model, directory / "clinic.csv")
    )
    return found


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hospitals")
    parts = split()
    for name in ("hospital_a", "hospital_b", "clinic"):
        write_records(directory / f"{name}.csv", getattr(parts, name))
    return directory


def test_training_together_helps_both(hospitals: Path) -> None:
    """A alone misses tumours, B alone sees them everywhere; together neither."""
    alone_a = _evaluate(hospitals, "hospital_a")
    alone_b = _evaluate(hospitals, "hospital_b")
    joint = _evaluate(hospitals, "hospital_a", "hospital_b")
    assert alone_a["recall"] + 0.05 < joint["recall"]
    assert alone_b["accuracy"] + 0.1 < joint["accuracy"]
    assert joint["accuracy"] > 0.95
    assert joint["auc"] > 0.98
    assert joint["patients"] == 142


def test_training_is_deterministic(hospitals: Path, tmp_path: Path) -> None:
    """The same records give the same model in another process, so that a changed one shows."""
    records = hospitals / "hospital_a.csv"
    said = _run("train.py", "--out", tmp_path / "one.npz", records)
    arguments = (str(PROGRAMS / "train.py"), "--out", str(tmp_path / "two.npz"), str(records))
    command = [sys.executable, "-I", "-B", *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said == result.stdout == "trained on 156 patients, 6 of them malignant\n"
    assert _members(tmp_path / "one.npz") == _members(tmp_path / "two.npz")


def test_constant_measurement_does_not_break_training(tmp_path: Path) -> None:
    """A column without variation carries nothing, and divides by nothing."""
    (tmp_path / "r.csv").write_text("a,b,malignant\n1,5,0\n2,5,0\n3,5,1\n4,5,1\n")
    _run("train.py", "--out", tmp_path / "m.npz", tmp_path / "r.csv")
    found = json.loads(_run("evaluate.py", "--model", tmp_path / "m.npz", tmp_path / "r.csv"))
    assert found == {"accuracy": 1.0, "recall": 1.0, "auc": 1.0, "patients": 4}


def test_model_is_saved_without_pickle(hospitals: Path, tmp_path: Path) -> None:
    """Loading a model must not be able to run code."""
    _run("train.py", "--out", tmp_path / "m.npz", hospitals / "hospital_a.csv")
    assert sorted(_members(tmp_path / "m.npz")) == ["mean.npy", "scale.npy", "weights.npy"]


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
