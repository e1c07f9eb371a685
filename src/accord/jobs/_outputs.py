# SPDX-License-Identifier: Apache-2.0
"""Fetching an output: only a reader's key opens it, and only in the version that was logged."""

from __future__ import annotations

import shutil
from pathlib import Path

from accord.client import MemberHome
from accord.errors import NoSuchRunError, OutputUnavailableError
from accord.identity import open_sealed
from accord.release import OUTPUT_KEY_PURPOSE, Machine, RunOutput, output_key_context
from accord.volumes import LocalStore, VolumeKey, VolumeVersion, open_volume, parse_volume_id


def fetch_output(
    home: MemberHome, machine: Machine, *, run: str, output: str, storage: Path, to: Path
) -> VolumeVersion:
    """Decrypts ``output`` of ``run`` into the new folder ``to``: all of it, or nothing.

    Raises ``NoSuchRunError``, ``OutputUnavailableError`` or VOL errors.
    """
    record = machine.runs.get(run)
    if record is None:
        raise NoSuchRunError(run=run)
    if record.statement is None:
        raise OutputUnavailableError(output=output, run=run, detail="the run has not ended")
    found = next((item for item in record.statement.outputs if item.name == output), None)
    if found is None:
        raise OutputUnavailableError(output=output, run=run, detail="the run has no such output")
    sealed = dict(found.sealed_keys).get(home.name)
    if sealed is None:
        raise OutputUnavailableError(output=output, run=run, detail=f"it is not for {home.name}")
    raw = open_sealed(
        sealed,
        home.identity.seal_private_key,
        purpose=OUTPUT_KEY_PURPOSE,
        context=output_key_context(machine.board.board, run, output, home.name),
    )
    return _open(found, VolumeKey(raw), storage, to)


def _open(output: RunOutput, key: VolumeKey, storage: Path, to: Path) -> VolumeVersion:
    volume_id = parse_volume_id(output.volume_id, what="volume_id")
    volume = open_volume(
        LocalStore(storage / volume_id), key=key, volume_id=volume_id, tag=output.tag
    )
    part = to.with_name(f".{to.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    volume.extract(part)
    part.rename(to)
    return volume.version
