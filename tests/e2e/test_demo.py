# SPDX-License-Identifier: Apache-2.0
"""The two hospitals' job, as a user runs it: its result, its disk, and going on after a kill."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.conftest import FinishedDemo
from tests.support.live import ACCORD, accord

from accord.demo import split

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MEMBERS = ("hospital-a", "hospital-b", "lab", "clinic")


def test_training_together_finds_more_than_either_alone(demo: FinishedDemo) -> None:
    """The joint model finds clearly more of the clinic's malignant cases than hospital A's."""
    result = demo.result

    assert result["joint"]["recall"] > result["hospital_a"]["recall"] + 0.05
    assert result["joint"]["accuracy"] > result["hospital_b"]["accuracy"] + 0.05
    assert result["joint"]["patients"] == 142
    assert "constructed" in result["split"]


def test_the_result_says_that_it_is_simulated(demo: FinishedDemo) -> None:
    """Nobody can take the run for one on hardware."""
    assert demo.result["assurance"] == "simulated"
    assert "SIMULATED" in demo.shown or "simulated" in demo.shown
    assert any("SIMULATED" in point for point in demo.result["bundle"]["not_proven"])


def test_four_attacks_are_tried_and_each_is_refused(demo: FinishedDemo) -> None:
    """Every attack has a name, the outcome refused, and a reason with its code."""
    attacks = demo.result["attacks"]

    assert [(item["name"], item["outcome"], item["code"]) for item in attacks] == [
        ("changed-training-code", "refused", "accord-REL-006"),
        ("withdrawn-consent", "refused", "accord-REL-005"),
        ("older-volume", "refused", "accord-VOL-003"),
        ("operator-reads-disk", "refused", "ciphertext-only"),
    ]
    assert all(item["reason"] for item in attacks)


def test_the_missing_vote_is_named(demo: FinishedDemo) -> None:
    """Without hospital B's vote the job is refused, naming who is missing."""
    refused = demo.result["missing_vote"]

    assert refused["code"] == "accord-REL-003"
    assert "hospital-b" in refused["message"]
    assert "hospital-a" not in refused["message"]


def test_the_time_taken_is_told(demo: FinishedDemo) -> None:
    """The result says how long it took."""
    assert 0 < demo.result["seconds"] < 300


def test_standard_output_is_one_document(demo: FinishedDemo) -> None:
    """With --json the commands and remarks go to standard error."""
    assert demo.result["schema"] == "accord.demo.v1"
    assert "$ accord " in demo.shown


def test_the_bundle_verifies_by_the_genesis_digest_alone(
    demo: FinishedDemo, tmp_path: Path
) -> None:
    """A copy of the bundle, elsewhere, verifies with nothing but the digest."""
    copy = shutil.copytree(demo.bundle, tmp_path / "elsewhere")
    verified = accord("bundle", "verify", copy, "--genesis", demo.board, "--json")

    assert (
        verified.exit_code,
        verified.document["verified"],
        verified.document["assurance"],
    ) == (0, True, "simulated")
    facts = " ".join(verified.document["facts"])
    assert all(name in facts for name in MEMBERS)


def operator_bytes(demo: FinishedDemo) -> bytes:
    """Contents and names of everything that the operator ever kept on disk."""
    operator = demo.folder / "operator"
    files = [path for path in operator.rglob("*") if path.is_file()]
    assert len(files) > 20
    listing = "\n".join(str(path.relative_to(operator)) for path in operator.rglob("*"))
    return b"\n".join(path.read_bytes() for path in files) + listing.encode()


def test_no_line_of_the_data_is_on_the_operators_disk(demo: FinishedDemo) -> None:
    """No record of any patient, no header, no line of the program, no model is found there."""
    whole, data = operator_bytes(demo), split()
    lines = [*data.hospital_a, *data.hospital_b, *data.clinic, data.header]
    lines += data.header.split(",")
    program = (demo.folder / "lab" / "program" / "train.py").read_text()
    lines += [line.strip() for line in program.splitlines() if len(line.strip()) > 12]
    (model,) = (demo.folder / "clinic").glob("model-*/model.npz")

    assert [line for line in lines if len(line) > 8 and line.encode() in whole] == []
    assert model.read_bytes()[:64] not in whole


def test_no_file_name_of_the_owners_is_on_the_operators_disk(demo: FinishedDemo) -> None:
    """Names inside the volumes are encrypted as well."""
    whole = operator_bytes(demo)

    for name in (
        b"records.csv",
        b"train.py",
        b"model.npz",
        b"hospital-a",
        b"hospital-b",
        b"clinic",
    ):
        assert name not in whole


def test_no_key_is_on_the_operators_disk(demo: FinishedDemo) -> None:
    """No key of anybody is there, neither raw nor in base64 nor in hex."""
    whole, keys = operator_bytes(demo), []
    for path in demo.folder.rglob("*.secret.json"):
        document = json.loads(path.read_text())
        named = ("sign", "seal", "key", "seal_secret", "attestation", "pck", "root")
        keys += [base64.b64decode(document[name]) for name in named if name in document]

    assert len(keys) >= 8 + 4 + 4
    for key in keys:
        for spelling in (key, base64.b64encode(key), key.hex().encode()):
            assert spelling not in whole


def test_private_files_are_for_their_owner_alone(demo: FinishedDemo) -> None:
    """Keys can be read by nobody else on the machine."""
    modes = {path.name: path.stat().st_mode & 0o077 for path in demo.folder.rglob("*.secret.json")}

    assert {0} == set(modes.values())


def test_every_command_shown_is_one_that_a_reader_could_type(demo: FinishedDemo) -> None:
    """Each `accord` command names an existing command and only relative paths of the demo."""
    shown = [line for line in demo.shown.splitlines() if line.startswith("$ accord ")]

    assert len(shown) > 30
    assert not [line for line in shown if str(demo.folder.parent) in line]


@pytest.fixture
def second(demo: FinishedDemo, tmp_path: Path) -> Path:
    """A copy of the finished demo in another place, the simulated machines with it."""
    folder = Path(shutil.copytree(demo.folder, tmp_path / "second"))
    for path in (folder / "simulated-hardware").glob("*/platform.secret.json"):
        path.write_text(path.read_text().replace(str(demo.folder), str(folder)))
    return folder


def test_a_second_run_goes_on_where_the_first_one_ended(demo: FinishedDemo, second: Path) -> None:
    """The same folder again: same board, a new run, no vote is asked for again."""
    again = accord("demo", "hospitals", "--out", second, "--json")

    assert again.exit_code == 0, again.stderr[-2000:]
    assert demo.board == again.document["board"]
    assert demo.result["run"] != again.document["run"]
    assert again.document["missing_vote"] is None
    assert demo.result["joint"] == again.document["joint"]


def test_a_demo_killed_at_random_moments_goes_on(tmp_path: Path) -> None:
    """Its whole process group is killed three times; the next run comes to the end."""
    chance = random.Random(os.getpid())  # noqa: S311 - moments, not secrets
    folder = tmp_path / "killed"
    command = [*ACCORD, "demo", "hospitals", "--out", str(folder), "--json"]
    moments = [chance.uniform(0.5, 8) for _ in range(3)]
    for moment in moments:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as started:
            time.sleep(moment)
            os.killpg(started.pid, signal.SIGKILL)
    finished = accord(*command[len(ACCORD) :])

    assert finished.exit_code == 0, (moments, finished.stderr[-2000:])
    assert {"refused"} == {item["outcome"] for item in finished.document["attacks"]}
    verified = accord(
        "bundle", "verify", folder / "bundle", "--genesis", finished.document["board"]
    )
    assert verified.exit_code == 0


def test_a_folder_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    """A file where the folder should be is a usage error."""
    (tmp_path / "file").write_text("")
    refused = accord("demo", "hospitals", "--out", tmp_path / "file", "--json")

    assert (refused.exit_code, refused.document["code"]) == (2, "accord-CLI-001")
