# SPDX-License-Identifier: Apache-2.0
"""A sealer that is killed, at every kind of moment, harms no version that was there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from accord.volumes import (
    LocalStore,
    VolumeId,
    VolumeKey,
    VolumeVersion,
    open_volume,
    seal_volume,
    verify_volume,
)

KEY = VolumeKey(b"k" * 32)
VOLUME = VolumeId("vol-" + "3" * 32)

CHILD = """
import os, signal, sys
from pathlib import Path
from accord.volumes import LocalStore, VolumeId, VolumeKey, open_volume, seal_volume

store, source = LocalStore(Path(sys.argv[1])), Path(sys.argv[2])
tag, part, left = sys.argv[3], sys.argv[4], int(sys.argv[5])
key, volume_id = VolumeKey(b"k" * 32), VolumeId("vol-" + "3" * 32)
parent = open_volume(store, key=key, volume_id=volume_id, tag=tag).version
counting = part == "objects"

def counted(function):
    def step(*args, **kwargs):
        global left
        left -= counting
        if counting and not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return step

def write_head(data, write=store.write_head):
    global counting
    counting = part == "head"
    write(data)
    counting = False

os.fsync, Path.replace, os.close = counted(os.fsync), counted(Path.replace), counted(os.close)
store.write_head = write_head
print("ready", flush=True)
while True:
    seal_volume(source, store, key=key, volume_id=volume_id, parent=parent,
                chunk_size=4096, segment_bytes=1 << 17)
    if part != "ever":
        break
"""


@pytest.fixture
def first(tmp_path: Path) -> VolumeVersion:
    (tmp_path / "source").mkdir()
    for number in range(4):
        (tmp_path / "source" / str(number)).write_bytes(bytes((number,)) * 100_000)
    return seal(tmp_path, None)


def seal(tmp_path: Path, parent: VolumeVersion | None) -> VolumeVersion:
    return seal_volume(
        tmp_path / "source",
        LocalStore(tmp_path / "store"),
        key=KEY,
        volume_id=VOLUME,
        parent=parent,
    )


def start(tmp_path: Path, parent: VolumeVersion, part: str, steps: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "store"), str(tmp_path / "source")]
    return subprocess.Popen([*command, parent.tag, part, str(steps)], stdout=subprocess.PIPE)


def check_survives(tmp_path: Path, first: VolumeVersion) -> None:
    """The version before opens in full, and a new one can be sealed on top of it."""
    store = LocalStore(tmp_path / "store")
    assert verify_volume(store, key=KEY, volume_id=VOLUME, tag=first.tag) == first
    second = seal(tmp_path, first)
    assert verify_volume(store, key=KEY, volume_id=VOLUME, tag=second.tag) == second
    volume = open_volume(store, key=KEY, volume_id=VOLUME, tag=second.tag)
    assert volume.read("3") == b"\3" * 100_000


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("part", "steps"),
    [("objects", steps) for steps in (1, 2, 3, 4, 17, 30)]
    + [("head", step) for step in (1, 2, 3, 4)],
)
def test_sealer_killed_between_system_calls(
    tmp_path: Path, first: VolumeVersion, part: str, steps: int
) -> None:
    """SIGKILL just before a sync, a rename or a close: of the objects, or of the head."""
    with start(tmp_path, first, part, steps) as child:
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    check_survives(tmp_path, first)


@pytest.mark.e2e
def test_sealer_killed_at_random_moments(tmp_path: Path, first: VolumeVersion) -> None:
    """SIGKILL whenever, three times over, in the same store."""
    delays = random.Random(7)  # noqa: S311 - a reproducible choice of moments
    for _ in range(3):
        with start(tmp_path, first, "ever", 0) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(delays.uniform(0, 0.1))
            child.kill()
        assert child.returncode == -signal.SIGKILL
    check_survives(tmp_path, first)
