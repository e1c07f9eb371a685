# SPDX-License-Identifier: Apache-2.0
"""Following a board's log as a member: every entry is replayed, its evidence verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from accord.board import Genesis
from accord.bundle import EvidenceCheck, object_name, replay
from accord.client._home import MemberHome
from accord.client._session import TrustSession
from accord.encoding import Digest
from accord.ledger import Entry, Ledger
from accord.release import Machine


def read_objects(
    session: TrustSession, home: MemberHome, digests: Iterable[Digest]
) -> dict[str, bytes]:
    """What a log names by digest, by its file name in a bundle. Raises what reading raises."""
    signer = home.identity.signer
    return {object_name(digest): session.read_object(digest, signer) for digest in digests}


@dataclass(frozen=True, slots=True)
class Seen:
    """What came since the last look, all of it verified."""

    size: int
    root: bytes
    entries: tuple[Entry, ...]
    evidence: int
    cosigned: tuple[str, ...] | None
    """By whom; ``None`` while no quorum has seen all of it, so that nothing may leave yet."""


@dataclass(slots=True)
class Auditor:
    """A member's watch over one log: what was verified once is not verified again."""

    home: MemberHome
    size: int = 0
    """How many entries hold, and so does their evidence."""

    _objects: dict[str, bytes] = field(default_factory=dict)
    _evidence: EvidenceCheck = field(init=False)

    def __post_init__(self) -> None:
        genesis: Genesis = self.home.genesis
        self._evidence = EvidenceCheck(genesis, self._objects)

    def look(self) -> Seen:
        """Reads the log, which must continue what this home has ever seen of it.

        Raises LED errors for a log that was rolled back or has another branch, BUN and ATT
        errors for one that does not hold, ``ServiceDismissedError`` or ``UnreachableError``.
        """
        with self.home.connect() as session:
            ledger, machine, _ = self.home.read(session)
            replayed = replay(ledger.entries())
            new = [proof for proof in replayed.proofs if proof.entry >= self.size]
            named = [proof.evidence for proof in new]
            named += [proof.runtime_data for proof in new if proof.resource is not None]
            self._objects.update(read_objects(session, self.home, named))
        for proof in new:
            self._evidence.check(proof)
        self._objects.clear()
        entries = tuple(ledger.entry(index) for index in range(self.size, ledger.size))
        self.size = ledger.size
        cosigned = self._cosigned(ledger, machine)
        return Seen(ledger.size, ledger.root(), entries, len(new), cosigned)

    def _cosigned(self, ledger: Ledger, machine: Machine) -> tuple[str, ...] | None:
        if machine.board.charter.witnesses is None:
            return ()
        found = self.home.cosigned(ledger, machine)
        return found.witnesses if found is not None and found.size == ledger.size else None
