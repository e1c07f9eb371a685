# SPDX-License-Identifier: Apache-2.0
"""The package as users install it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of the wheel, built from this checkout without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("accord-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_wheel_holds_the_package_and_nothing_else(unpacked: Path) -> None:
    """Tests, benchmarks and documentation are not installed."""
    top = {path.name.partition("-")[0] for path in unpacked.iterdir()}

    assert {"accord"} == top


@pytest.mark.parametrize(
    "name",
    ["py.typed", "demo/data/wdbc.csv.gz", "demo/data/ATTRIBUTION.md", "demo/programs/train.py"],
)
def test_wheel_ships_what_the_demo_needs(unpacked: Path, name: str) -> None:
    """An installed accord runs the demo: records, attribution and programs are inside."""
    assert (unpacked / "accord" / name).is_file()


def test_installed_package_runs(unpacked: Path) -> None:
    """The command line works from the wheel's own files."""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    code = "import accord, sys; print(accord.__file__); from accord.cli._main import run; "
    code += "sys.exit(run(['policy', '--help']))"

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert str(unpacked) in done.stdout
    assert "check" in done.stdout
