# SPDX-License-Identifier: Apache-2.0
"""Four attacks, tried for real: each must be refused, or the demo fails."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accord.demo._layout import MEMBERS, Layout, register_command, seal_command
from accord.demo._stage import Stage
from accord.errors import StepFailedError

MIN_VALUE = 6
"""Shortest value searched for, in characters: shorter ones occur in any ciphertext by chance."""


def try_all(stage: Stage) -> list[dict[str, str]]:
    """Tries the four attacks and undoes each. Raises ``StepFailedError`` if one succeeds."""
    return [
        _changed_code(stage),
        _withdrawn_consent(stage),
        _older_version(stage),
        _operator_reads(stage),
    ]


def _refused(stage: Stage, name: str, document: dict[str, Any]) -> dict[str, str]:
    stage.show(f"    refused: {document['message']}")
    return {
        "name": name,
        "outcome": "refused",
        "code": document["code"],
        "reason": document["message"],
    }


def _changed_code(stage: Stage) -> dict[str, str]:
    stage.heading("attack: the lab changes its program after the vote")
    lab, together = stage.layout.home("lab"), stage.commands.together
    changed = lab / "program-changed"
    changed.mkdir(exist_ok=True)
    text = (lab / "program" / "train.py").read_text()
    (changed / "train.py").write_text(text + "\n# and here the patients leave with the model\n")
    together([seal_command("lab", "train-changed", "program-changed")])
    together([f"{register_command('lab', 'train')} --volume train-changed"])
    return _refused(stage, "changed-training-code", stage.launch(expect=4))


def _withdrawn_consent(stage: Stage) -> dict[str, str]:
    stage.heading("attack: the job is started although hospital B withdrew its consent")
    # Meanwhile the lab offers again what was voted on: this refusal is for another reason.
    restore = register_command("lab", "train")
    stage.commands.together([restore, "accord asset withdraw records --home hospital-b"])
    refused = _refused(stage, "withdrawn-consent", stage.launch(expect=4))
    stage.commands.together([register_command("hospital-b", "records")])
    return refused


def _older_version(stage: Stage) -> dict[str, str]:
    stage.heading("attack: the operator puts an older version of hospital A's volume in its place")
    head, kept = _head(stage.layout), stage.layout.old_head
    stage.show(f"$ cp {_short(stage, kept)} {_short(stage, head)}")
    shutil.copyfile(head, _current(stage.layout))
    shutil.copyfile(kept, head)
    refused = _refused(stage, "older-volume", stage.launch(expect=7))
    undo_rollback(stage.layout)
    return refused


def _short(stage: Stage, path: Path) -> str:
    return str(path.relative_to(stage.layout.root))


def _head(layout: Layout) -> Path:
    ring = layout.home("hospital-a") / "volumes" / "records.secret.json"
    return layout.storage / str(json.loads(ring.read_text())["volume_id"]) / "head"


def _current(layout: Layout) -> Path:
    return layout.old_head.with_name("current-head")


def keep_old_version(layout: Layout) -> None:
    """The operator keeps what it will try to pass off as current."""
    layout.old_head.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_head(layout), layout.old_head)


def undo_rollback(layout: Layout) -> None:
    """Puts the current head back, also after a run that was killed during the attack."""
    if _current(layout).exists():
        shutil.copyfile(_current(layout), _head(layout))
        _current(layout).unlink()


def _operator_reads(stage: Stage) -> dict[str, str]:
    stage.heading("attack: the operator reads everything on its disk")
    secrets = frozenset(_secrets(stage))
    found, size = _search(secrets, stage.layout.operator)
    if found:
        raise StepFailedError(
            command="search operator/", exit_code=f"{len(found)} values found", expected="none"
        )
    # A search that finds nothing proves something only if it would have found it.
    control = frozenset().union(*(_search(secrets, stage.layout.home(m))[0] for m in MEMBERS))
    if not control:
        raise StepFailedError(command="search the owners", exit_code="nothing", expected="found")
    reason = (
        f"none of {len(secrets)} values of records, keys, program and model occurs in {size} bytes"
        f" of operator/; the same search of their owners' folders finds {len(control)}"
    )
    stage.show(f"    {reason}")
    return {
        "name": "operator-reads-disk",
        "outcome": "refused",
        "code": "ciphertext-only",
        "reason": reason,
    }


def _search(secrets: frozenset[bytes], folder: Path) -> tuple[frozenset[bytes], int]:
    """The secrets that occur in any file below ``folder``, and how many bytes were searched."""
    found, size = set(), 0
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            size += len(data)
            # Every window of the file once, so that thousands of secrets cost one pass.
            windows = {data[i : i + MIN_VALUE] for i in range(len(data) - MIN_VALUE + 1)}
            found |= {s for s in secrets if s[:MIN_VALUE] in windows and s in data}
    return frozenset(found), size


def _secrets(stage: Stage) -> Iterator[bytes]:
    """Every line and long value of every record, every key, the program, the model."""
    data, layout = stage.data, stage.layout
    for row in (*data.hospital_a, *data.hospital_b, *data.clinic):
        yield row.encode()
        yield from (value.encode() for value in row.split(",") if len(value) >= MIN_VALUE)
    for line in (layout.home("lab") / "program" / "train.py").read_text().splitlines():
        if len(line.strip()) > 2 * MIN_VALUE:
            yield line.strip().encode()
    for name in MEMBERS:
        for path in layout.home(name).rglob("*.secret.json"):
            yield from _keys(json.loads(path.read_text()))
    for path in layout.home("clinic").glob("model-*/model.npz"):
        yield from _weights(path)


def _keys(document: dict[str, str]) -> Iterator[bytes]:
    for name in ("sign", "seal", "key"):
        if name in document:
            raw = base64.b64decode(document[name])
            yield from (raw, document[name].encode(), raw.hex().encode())


def _weights(path: Path) -> Iterator[bytes]:
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            array = np.atleast_1d(arrays[name])
            if array.dtype.kind == "f":
                yield array.tobytes()
                yield from (value.tobytes() for value in array.ravel() if value not in (0.0, 1.0))
