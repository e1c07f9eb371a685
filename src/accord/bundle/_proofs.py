# SPDX-License-Identifier: Apache-2.0
"""Which evidence a log rests on: for each entry that names some, what it must say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from accord.board import Ballot, WitnessPolicy
from accord.encoding import Digest, Fields, parse_canonical_json
from accord.evidence import Binding
from accord.identity import Statement, statement_kind
from accord.ledger import Entry, Ledger
from accord.policy import AttestationVariant
from accord.release import (
    Handover,
    Machine,
    Recovery,
    Release,
    Renewal,
    ResourceRelease,
    SecretExport,
    ballot_binding,
)

_NAMING = frozenset(
    {
        *("service-start", "recovery", "handover", "ballot"),
        *("release", "renewal", "resource-release", "export"),
    }
)
_BY_SERVICE = frozenset({"release", "renewal", "resource-release", "export"})
"""What a trust service decides that the members may have replaced since it started."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Evidence that an entry names, and what it must be to justify the entry."""

    entry: int
    time: datetime
    evidence: Digest
    binding: Binding | None
    """``None`` for a guest, which is bound to ``runtime_data`` alone."""

    variants: tuple[AttestationVariant, ...]
    """Of the charter, or the policy, that was in force at the entry."""

    release: Release | None = None
    """For a release, what it claims of the evidence; for a renewal, of what run."""

    renewal: Renewal | None = None
    resource: ResourceRelease | None = None
    """For the release of one secret to a guest, what it claims."""

    export: SecretExport | None = None
    """For a secret that another trust service imported, to whom it went."""

    is_start: bool = False
    host: tuple[AttestationVariant, ...] = ()
    """Of a release or renewal: of the charter then in force, which its trust service satisfied."""

    @property
    def runtime_data(self) -> Digest:
        """Raises ``RuntimeError`` where there is none."""
        if self.resource is None:
            message = "only a guest's evidence is bound to runtime data"
            raise RuntimeError(message)
        return self.resource.runtime_data


@dataclass(frozen=True, slots=True)
class Replayed:
    """A log, the state it leads to, and the evidence that it rests on, which is not verified."""

    ledger: Ledger
    machine: Machine
    proofs: tuple[Proof, ...]
    witnesses_replaced: int | None
    """The latest entry after which the board had other witnesses."""


def replay(entries: Iterable[bytes]) -> Replayed:
    """Replays a log from its first entry on; evidence is *not* verified.

    Raises what `Machine.replay` raises.
    """
    watcher = _Watcher()
    ledger, machine = Machine.replay(entries, each=watcher.look)
    return Replayed(
        ledger,
        machine,
        tuple(watcher.proofs),
        watcher.witnesses_replaced,
    )


class _Watcher:
    """Notes, while a log is replayed, what the state at its end no longer tells."""

    def __init__(self) -> None:
        self.proofs: list[Proof] = []
        self.witnesses_replaced: int | None = None
        self._witnesses: WitnessPolicy | None = None
        self._started = False

    def look(self, machine: Machine, entry: Entry, statement: Statement) -> None:
        """After every entry but the genesis."""
        before = self._witnesses if self._started else machine.board.genesis.witnesses
        self._started = True
        self._witnesses = machine.board.charter.witnesses
        if before != self._witnesses:
            self.witnesses_replaced = entry.index
        proof = entry_proof(machine, entry, statement)
        if proof is not None:
            self.proofs.append(proof)


def entry_proof(machine: Machine, entry: Entry, statement: Statement) -> Proof | None:
    """What the entry that ``machine`` has just applied rests on, if on any evidence."""
    proof = _proof(statement, machine, entry)
    if proof is not None and statement.kind in _BY_SERVICE:
        return replace(proof, host=machine.board.charter.service)
    return proof


def named_evidence(entries: Iterable[bytes]) -> list[Digest]:
    """The evidence that entries of a replayed log name, in order, each once."""
    found: dict[Digest, None] = {}
    for data in entries:
        envelope = Entry.from_bytes(data).envelope
        if statement_kind(envelope) in _NAMING:
            fields = Fields(parse_canonical_json(envelope.payload, what="entry"), "entry")
            digest = fields.optional("evidence", fields.digest)
            if digest is not None:
                found[digest] = None
            runtime_data = fields.optional("runtime_data", fields.digest)
            if runtime_data is not None:
                found[runtime_data] = None
    return list(found)


def _proof(  # noqa: PLR0911 - one case for each kind of statement
    statement: Statement, machine: Machine, entry: Entry
) -> Proof | None:
    """What the entry that was just applied rests on."""
    at = entry.index, entry.time
    match statement.kind:
        case "service-start":
            start, _ = machine.started[-1]
            service = machine.board.charter.service
            return Proof(*at, start.evidence, start.binding, service, is_start=True)
        case "release":
            release = Release.from_fields(statement.fields())
            variants = machine.policy_of(release).services[release.service].attestation
            return Proof(*at, release.evidence, release.binding, variants, release)
        case "renewal":
            renewal = Renewal.from_fields(statement.fields())
            released = machine.runs[renewal.run].release
            variants = machine.policy_of(released).services[released.service].attestation
            binding = renewal.binding(released.keyset)
            return Proof(*at, renewal.evidence, binding, variants, released, renewal)
        case "resource-release":
            resource = ResourceRelease.from_fields(statement.fields())
            versions = machine.board.policies[resource.policy]
            policy = next(item for item in versions if item.digest == resource.policy_digest)
            variants = policy.services[resource.service].attestation
            return Proof(*at, resource.evidence, None, variants, resource=resource)
        case "export":
            export = SecretExport.from_fields(statement.fields())
            service = machine.board.charter.service
            return Proof(*at, export.evidence, export.binding, service, export=export)
        case "recovery":
            recovery = Recovery.from_fields(statement.fields())
            service = machine.board.charter.service
            return Proof(*at, recovery.evidence, recovery.binding, service)
        case "handover":
            handover = Handover.from_fields(statement.fields())
            service = machine.board.charter.service
            return Proof(*at, handover.evidence, handover.binding, service)
        case "ballot":
            return _ballot_proof(Ballot.from_fields(statement.fields()), machine, entry)
    return None


def _ballot_proof(ballot: Ballot, machine: Machine, entry: Entry) -> Proof | None:
    member = machine.board.members[ballot.member]
    if ballot.evidence is None or ballot.challenge is None:
        return None  # The machine takes such a ballot of a person alone.
    binding = ballot_binding(
        ballot.board,
        ballot.proposal,
        choice=ballot.choice.value,
        sequence=ballot.sequence,
        key=member.identity.verify_key,
        nonce=ballot.challenge,
    )
    return Proof(entry.index, entry.time, ballot.evidence, binding, member.attestation)
