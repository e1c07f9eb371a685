# SPDX-License-Identifier: Apache-2.0
"""Checking a run offline: no network, no service, no key but the genesis digest.

Written to be read by an auditor. Every step is numbered as in docs/spec/bundle.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from accord.bundle._derived import DERIVED, derived_files
from accord.bundle._exports import shared_secrets
from accord.bundle._files import CHECKPOINT, BundleFiles, entry_name
from accord.bundle._log import VerifiedLog, verify_log
from accord.bundle._report import (
    BundleReport,
    facts,
    not_proven,
    second_factors,
    service_of,
)
from accord.encoding import Digest
from accord.errors import (
    AccordError,
    BundleContentError,
    BundleError,
    BundleFileError,
)


def verify_bundle(path: Path, *, genesis: Digest | None = None) -> BundleReport:
    """Verifies the bundle at ``path`` against the board's genesis digest alone.

    Without ``genesis`` everything is checked against the genesis in the bundle itself, and
    the report says that whose board it is remains open. The ciphertext of inputs and outputs
    is *not* part of a bundle; their tags are.

    Raises ``BundleFileError``, ``BundleGenesisError``, ``BundleWitnessError`` or
    ``BundleContentError``.
    """
    bundle, log = verify_bundle_log(path, genesis=genesis)
    record = log.machine.runs[bundle.run]
    if record.statement is None:
        raise BundleContentError(detail=f"run {bundle.run} has not ended")
    environments = log.runs[bundle.run]
    report = BundleReport(
        board=bundle.board,
        genesis_pinned=genesis is not None,
        entries=log.size,
        record=record,
        statement=record.statement,
        claims=environments.shield,
        service_claims=environments.host,
        second_factors=second_factors(service_of(log.machine, record.release)),
        cosigned=tuple(sorted(log.cosigned)),
        shared=tuple(shared_secrets(log, record.release.policy)),
    )
    return replace(report, facts=facts(report, log), not_proven=not_proven(report, log))


def verify_bundle_log(
    path: Path, *, genesis: Digest | None = None
) -> tuple[BundleFiles, VerifiedLog]:
    """The bundle at ``path`` and its log: all of `verify_bundle` but whether the run has ended.

    Raises ``BundleFileError``, ``BundleGenesisError``, ``BundleWitnessError`` or
    ``BundleContentError``.
    """
    # (1) The folder holds exactly what its manifest lists, byte for byte.
    bundle = BundleFiles.read(path)
    try:
        return bundle, _verify(bundle, genesis)
    except BundleError:
        raise
    except AccordError as exc:
        raise BundleContentError(detail=f"{exc} ({exc.code})") from exc


def _verify(bundle: BundleFiles, genesis: Digest | None) -> VerifiedLog:
    # (2) The entries are a whole log, in order, with nothing beside them.
    # (3) (4) (5) It is lawful, it is under the checkpoint, and its evidence holds.
    log = verify_log(
        _entries(bundle),
        note=bundle.files.get(CHECKPOINT, b""),
        objects={n: data for n, data in bundle.files.items() if n.startswith("objects/")},
        genesis=genesis,
    )
    # (6) The manifest names this board, and a run of it.
    board = log.machine.board.board
    if bundle.board != board:
        raise BundleFileError(name="manifest.json", detail=f"names board {bundle.board}")
    record = log.machine.runs.get(bundle.run)
    if record is None:
        raise BundleFileError(name="manifest.json", detail=f"the log has no run {bundle.run}")
    # (7) What is there for the tools of others says the same, byte for byte.
    derived = derived_files(log.replayed.ledger, log.machine, bundle.files[CHECKPOINT], record)
    for name in DERIVED:
        if bundle.files.get(name) != derived.get(name):
            raise BundleFileError(name=name, detail="it is not what follows from the log")
    return log


def _entries(bundle: BundleFiles) -> list[bytes]:
    entries = sorted(name for name in bundle.files if name.startswith("entries/"))
    if entries != [entry_name(index) for index in range(len(entries))] or not entries:
        raise BundleContentError(detail="entries are missing")
    return [bundle.files[name] for name in entries]
