# SPDX-License-Identifier: Apache-2.0
"""Reading a log as far as it can be proved: all of it, or what a quorum of witnesses has seen."""

from __future__ import annotations

from itertools import islice

from accord.bundle import Replayed, replay, verify_note
from accord.client import MemberHome, TrustSession
from accord.errors import NotCosignedError
from accord.ledger import Checkpoint


def read_proved(home: MemberHome, session: TrustSession) -> tuple[Replayed, bytes]:
    """The log under the newest checkpoint that proves it to others, and that checkpoint.

    On a board with witnesses it ends where a quorum last saw it: what came later is cut off.
    Evidence in the log is *not* verified.

    Raises ``NotCosignedError`` where no quorum has seen anything yet, ``BundleWitnessError``,
    and what reading the log raises.
    """
    # Fetched first: the log that follows covers it.
    cosigned = session.cosigned_note()
    ledger, machine, note = home.read(session)
    size, witnesses = ledger.size, machine.board.charter.witnesses
    if witnesses is not None:
        if cosigned is None:
            raise NotCosignedError(index=size - 1, reached=0, quorum=witnesses.quorum)
        note = cosigned
        text = note.partition(b"\n\n")[0].decode(errors="replace")
        size = Checkpoint.from_text(f"{text}\n").size
    replayed = replay(islice(ledger.entries(), size))
    verify_note(replayed, note)
    return replayed, note
