# SPDX-License-Identifier: Apache-2.0
"""Makes the vectors beside this file; deterministic."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from accord.volumes import LocalStore, VolumeId, VolumeKey, open_volume, seal_volume

HERE = Path(__file__).parent
KEY = VolumeKey(bytes(range(32)))
VOLUME_ID = VolumeId("vol-000102030405060708090a0b0c0d0e0f")
FILES = {
    "README.txt": b"a volume for tests\n",
    "data/empty": b"",
    "data/numbers.bin": bytes(number % 256 for number in range(10_000)),
    "run.sh": b"#!/bin/sh\nexit 0\n",
    "\u00fcn\u00efcode \u6587": b"name\n",
}

FLAWS: list[dict[str, object]] = [
    {"name": "commit-flipped", "object": "commit", "flip": 40, "code": "accord-VOL-002"},
    {"name": "commit-dropped", "object": "commit", "drop": True, "code": "accord-VOL-001"},
    {"name": "index-magic", "object": "index", "flip": 0, "code": "accord-VOL-002"},
    {"name": "index-salt", "object": "index", "flip": 16, "code": "accord-VOL-002"},
    {"name": "index-chunk", "object": "index", "flip": 48, "code": "accord-VOL-002"},
    {"name": "index-truncated", "object": "index", "truncate": 1, "code": "accord-VOL-002"},
    {"name": "index-dropped", "object": "index", "drop": True, "code": "accord-VOL-001"},
    {"name": "data-kind", "object": "data", "flip": 9, "code": "accord-VOL-002"},
    {"name": "data-first-chunk", "object": "data", "flip": 48, "code": "accord-VOL-002"},
    {"name": "data-padding", "object": "data", "flip": 60000, "code": "accord-VOL-002"},
    {"name": "data-truncated", "object": "data", "truncate": 4112, "code": "accord-VOL-002"},
    {"name": "data-dropped", "object": "data", "drop": True, "code": "accord-VOL-001"},
    {"name": "head-flipped", "object": "head", "flip": 8, "code": "accord-VOL-002"},
    {"name": "head-dropped", "object": "head", "drop": True, "code": "accord-VOL-001"},
    {"name": "wrong-key", "key": "ff" * 32, "code": "accord-VOL-005"},
    {"name": "wrong-volume", "volume_id": "vol-" + "f" * 32, "code": "accord-VOL-006"},
]


def fixed_entropy() -> Callable[[int], bytes]:
    """The bytes of SHAKE-256 over a fixed text, in order. For vectors only."""
    position = 0

    def take(count: int) -> bytes:
        nonlocal position
        position += count
        return hashlib.shake_256(b"accord volume vectors").digest(position)[-count:]

    return take


def generate(target: Path) -> None:
    """Writes store/, volume.json and flaws.json below ``target``."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        for name, data in FILES.items():
            path = source / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
        store = LocalStore(target / "store")
        version = seal_volume(
            source,
            store,
            key=KEY,
            volume_id=VOLUME_ID,
            parent=None,
            chunk_size=4096,
            entropy=fixed_entropy(),
        )
    (target / "store" / "incoming").rmdir()
    volume = open_volume(store, key=KEY, volume_id=VOLUME_ID, tag=version.tag)
    document = {
        "volume_key": KEY.raw.hex(),
        "volume_id": VOLUME_ID,
        "tag": version.tag,
        "key_commitment": version.key_commitment,
        "files": [
            {
                "path": entry.path,
                "mode": f"{entry.mode:04o}",
                "sha256": hashlib.sha256(volume.read(entry.path)).hexdigest(),
            }
            for entry in volume.entries()
        ],
    }
    for name, value in (("volume.json", document), ("flaws.json", FLAWS)):
        text = json.dumps(value, indent=2, ensure_ascii=True)
        (target / name).write_text(text + "\n")


if __name__ == "__main__":
    shutil.rmtree(HERE / "store", ignore_errors=True)
    generate(HERE)
