# SPDX-License-Identifier: Apache-2.0
"""What a program wrote leaves encrypted, for the named readers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from accord.identity import SealKey, seal
from accord.policy import Output
from accord.release import OUTPUT_KEY_PURPOSE, Grant, RunOutput, output_key_context
from accord.shield._outputs import collect_outputs
from accord.volumes import LocalStore, VolumeKey, new_volume_id, seal_volume

MAX_OUTPUT_FILES = 10_000
MAX_OUTPUT_BYTES = 16 << 30
"""Most that one output may hold, whatever the policy says: it is copied in private memory."""


def make_outputs(grant: Grant, memory: Path) -> dict[str, Path]:
    """An empty folder for each output, by the path at which the program sees it."""
    places = {}
    for number, output in enumerate(grant.service.outputs):
        places[output.at] = memory / f"out-{number}"
        places[output.at].mkdir(mode=0o700)
    return places


def seal_outputs(grant: Grant, places: Mapping[str, Path], storage: Path) -> tuple[RunOutput, ...]:
    """Every output as a new volume in ``storage``; all of them are looked at before any is.

    Raises ``OutputRefusedError`` and VOL errors.
    """
    outputs = grant.service.outputs
    for output in outputs:
        limit = MAX_OUTPUT_BYTES
        if output.max_bytes is not None:
            limit = min(limit, output.max_bytes)
        collect_outputs(places[output.at], max_files=MAX_OUTPUT_FILES, max_bytes=limit)
    keys = {identity.name: identity.seal_key for identity in grant.readers}
    return tuple(_seal(grant, output, places[output.at], keys, storage) for output in outputs)


def _seal(
    grant: Grant, output: Output, place: Path, keys: Mapping[str, SealKey], storage: Path
) -> RunOutput:
    key, volume_id = VolumeKey.generate(), new_volume_id()
    version = seal_volume(
        place, LocalStore(storage / volume_id), key=key, volume_id=volume_id, parent=None
    )
    sealed_keys = tuple(
        (
            reader,
            seal(
                key.raw,
                keys[reader],
                purpose=OUTPUT_KEY_PURPOSE,
                context=output_key_context(grant.board, grant.run, output.name, reader),
            ),
        )
        for reader in sorted(output.readers)
    )
    return RunOutput(output.name, volume_id, version.tag, version.key_commitment, sealed_keys)
