# SPDX-License-Identifier: Apache-2.0
"""Which secrets of a policy went to other policies, here or on another trust service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accord.bundle._log import VerifiedLog
from accord.encoding import Digest, JSONValue
from accord.policy import Assurance

_OWN = "policy:"
"""How a release names a secret that it got from another policy of its board."""


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A secret that left by one entry; what became of it there is *not* known."""

    secret: str
    """As the other trust service asked for it, or as the policy of this board calls it."""

    entry: int
    board: Digest
    policy: str
    policy_digest: Digest
    service: Digest | None
    """Key of the other trust service, as its evidence proves; ``None``: it is on this board."""

    assurance: Assurance
    """Of that trust service, or of the run on this board."""

    def to_json(self) -> JSONValue:
        return {
            "secret": self.secret,
            "entry": self.entry,
            "board": self.board,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "service": self.service,
            "assurance": self.assurance.value,
        }

    @property
    def words(self) -> str:
        place = "this board" if self.service is None else f"board {self.board} at {self.service}"
        return f"{self.secret} to {self.policy} of {place} (entry {self.entry})"


def shared_secrets(log: VerifiedLog, policy: str) -> Iterator[SharedSecret]:
    """All that the log shows of the secrets of ``policy``, in the order of its entries."""
    found = [*_exported(log, policy), *_imported_here(log, policy)]
    yield from sorted(found, key=lambda item: (item.entry, item.secret))


def _exported(log: VerifiedLog, policy: str) -> Iterator[SharedSecret]:
    for proof, claims in log.exports:
        export = proof.export
        if export is not None and export.policy == policy:
            to, key = export.importer, export.log_key.key_id
            yield SharedSecret(
                *(export.secret, proof.entry, to.board, to.policy, to.policy_digest, key),
                claims.assurance,
            )


def _imported_here(log: VerifiedLog, policy: str) -> Iterator[SharedSecret]:
    for record in log.machine.runs.values():
        release = record.release
        for use in release.secrets:
            if use.source == f"{_OWN}{policy}" and release.policy != policy:
                yield SharedSecret(
                    *(use.name, record.index, log.machine.board.board, release.policy),
                    *(release.policy_digest, None, release.assurance),
                )
