# SPDX-License-Identifier: Apache-2.0
"""Making a bundle: a member collects, from the trust service, all that proves one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from accord.bundle import (
    CHECKPOINT,
    BundleFiles,
    derived_files,
    entry_name,
    named_evidence,
    object_name,
)
from accord.client import MemberHome, TrustSession
from accord.errors import NoSuchRunError
from accord.jobs._cosigned import read_proved


def create_bundle(
    home: MemberHome,
    session: TrustSession,
    *,
    run: str,
    path: Path,
    progress: Callable[[int], None] = lambda _done: None,
) -> BundleFiles:
    """Writes the bundle of ``run`` to ``path``; it holds no secret and no ciphertext.

    The log is replayed on the way, its evidence is not verified: `verify_bundle` does that. On a
    board with witnesses it is the log that a quorum has seen, in which the run may be missing yet.

    Raises ``NoSuchRunError``, ``BundleExistsError``, and what `read_proved` raises.
    """
    replayed, note = read_proved(home, session)
    ledger, machine = replayed.ledger, replayed.machine
    record = machine.runs.get(run)
    if record is None:
        raise NoSuchRunError(run=run)
    files = {entry_name(i): data for i, data in enumerate(ledger.entries())}
    for done, digest in enumerate(named_evidence(ledger.entries()), start=1):
        files[object_name(digest)] = session.read_object(digest, home.identity.signer)
        progress(done)
    files[CHECKPOINT] = note
    files |= derived_files(ledger, machine, note, record)
    bundle = BundleFiles(session.board, run, files)
    bundle.write(path)
    return bundle
