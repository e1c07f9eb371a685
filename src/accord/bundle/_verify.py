# SPDX-License-Identifier: Apache-2.0
"""Checking a run offline: no network, no service, no key but the genesis digest.

Written to be read by an auditor. Every step is numbered as in docs/spec/bundle.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from accord.board import Freshness, Genesis
from accord.bundle._files import CHECKPOINT, BundleFiles, entry_name, object_name
from accord.encoding import Digest, JSONValue, format_time, sha256
from accord.errors import AccordError, BundleContentError, BundleFileError, BundleGenesisError
from accord.evidence import Binding, Claims, Evidence, appraise, verify
from accord.ledger import Ledger, verify_checkpoint
from accord.policy import AttestationVariant
from accord.release import LOG_NAME, Machine, RunRecord, RunStatement, log_origin


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What a bundle proves, and what it does not."""

    board: Digest
    genesis_pinned: bool
    """Whether the caller held the genesis digest, or merely read it off the bundle."""

    entries: int
    record: RunRecord
    statement: RunStatement
    claims: Claims
    """Of the shield that ran the program."""

    service_claims: Claims
    facts: tuple[str, ...]
    not_proven: tuple[str, ...]

    def to_json(self) -> JSONValue:
        return {
            "schema": "accord.bundle-report.v1",
            "verified": True,
            "board": self.board,
            "genesis_pinned": self.genesis_pinned,
            "entries": self.entries,
            "run": self.statement.run,
            "policy": self.record.release.policy,
            "policy_digest": self.statement.policy_digest,
            "assurance": self.statement.assurance.value,
            "inputs": [{"asset": asset, "tag": tag} for asset, tag in self.statement.inputs],
            "outputs": [
                {
                    "name": output.name,
                    "tag": output.tag,
                    "readers": [reader for reader, _ in output.sealed_keys],
                }
                for output in self.statement.outputs
            ],
            "facts": list(self.facts),
            "not_proven": list(self.not_proven),
        }


def verify_bundle(path: Path, *, genesis: Digest | None = None) -> BundleReport:
    """Verifies the bundle at ``path`` against the board's genesis digest alone.

    Without ``genesis`` everything is checked against the genesis in the bundle itself, and
    the report says that whose board it is remains open. The ciphertext of inputs and outputs
    is *not* part of a bundle; their tags are.

    Raises ``BundleFileError``, ``BundleGenesisError`` or ``BundleContentError``.
    """
    # (1) The folder holds exactly what its manifest lists, byte for byte.
    bundle = BundleFiles.read(path)
    try:
        return _verify(bundle, genesis)
    except (BundleFileError, BundleGenesisError, BundleContentError):
        raise
    except AccordError as exc:
        raise BundleContentError(detail=f"{exc} ({exc.code})") from exc


def _verify(bundle: BundleFiles, genesis: Digest | None) -> BundleReport:
    # (2) The entries are a whole log, in order, with nothing beside them.
    # (3) Entry 0 is the genesis of the board that the caller means, signed by every founder;
    #     replaying the rest re-checks every signature, vote, term and use.
    ledger, machine = Machine.replay(_entries(bundle))
    found = machine.board.board
    if genesis is not None and found != genesis:
        raise BundleGenesisError(found=found, expected=genesis)
    if bundle.board != found:
        raise BundleFileError(name="manifest.json", detail=f"names board {bundle.board}")
    # (4) The checkpoint is over exactly this log, by the key that the service attested.
    if machine.log_key is None:
        raise BundleContentError(detail="no trust service ever started on this board")
    checkpoint = verify_checkpoint(
        bundle.files.get(CHECKPOINT, b""),
        origin=log_origin(found),
        name=LOG_NAME,
        key=machine.log_key,
    )
    ledger.verify_complete(checkpoint)
    # (5) Evidence of every service start and of every release, as of the time it was used.
    evidence = _Evidence(bundle, machine.board.genesis)
    service_claims, claims = _appraise_all(ledger, machine, evidence)
    evidence.refuse_unused()
    # (6) The run is there, and ended.
    record = machine.runs.get(bundle.run)
    if record is None:
        raise BundleFileError(name="manifest.json", detail=f"the log has no run {bundle.run}")
    if record.statement is None:
        raise BundleContentError(detail=f"run {bundle.run} has not ended")
    return BundleReport(
        board=found,
        genesis_pinned=genesis is not None,
        entries=ledger.size,
        record=record,
        statement=record.statement,
        claims=claims[bundle.run],
        service_claims=service_claims,
        facts=_facts(machine, ledger.size, record, record.statement, claims[bundle.run]),
        not_proven=_not_proven(
            machine.board.genesis, claims[bundle.run], pinned=genesis is not None
        ),
    )


def _entries(bundle: BundleFiles) -> list[bytes]:
    entries = sorted(name for name in bundle.files if name.startswith("entries/"))
    if entries != [entry_name(index) for index in range(len(entries))] or not entries:
        raise BundleContentError(detail="entries are missing")
    return [bundle.files[name] for name in entries]


class _Evidence:
    """The evidence in the bundle, and which of it was asked for."""

    def __init__(self, bundle: BundleFiles, genesis: Genesis) -> None:
        self._bundle, self._genesis = bundle, genesis
        self._unused = {name for name in bundle.files if name.startswith("objects/")}

    def check(
        self,
        digest: Digest,
        binding: Binding,
        variants: tuple[AttestationVariant, ...],
        at: datetime,
    ) -> Claims:
        """The claims of evidence that satisfied ``variants`` at the time ``at``."""
        name = object_name(digest)
        if name not in self._bundle.files:
            raise BundleContentError(detail=f"evidence {digest} is missing")
        # Quotes are malleable: other bytes may verify as well, and are not what was logged.
        if sha256(self._bundle.files[name]) != digest:
            raise BundleFileError(name=name, detail="its bytes are not those that the log names")
        self._unused.discard(name)
        evidence = Evidence.from_bytes(self._bundle.files[name])
        claims = verify(evidence, anchors=self._genesis.anchors, now=at, binding=binding)
        appraise(claims, variants, now=at)
        return claims

    def refuse_unused(self) -> None:
        for name in sorted(self._unused):
            raise BundleFileError(name=name, detail="no entry refers to it")


def _appraise_all(
    ledger: Ledger, machine: Machine, evidence: _Evidence
) -> tuple[Claims, dict[str, Claims]]:
    genesis = machine.board.genesis
    service_claims = None
    for start, index in machine.started:
        service_claims = evidence.check(
            start.evidence, start.binding, genesis.service, ledger.entry(index).time
        )
    if service_claims is None:
        raise BundleContentError(detail="no trust service ever started on this board")
    claims = {}
    for run, record in machine.runs.items():
        release = record.release
        service = machine.policy_of(release).services[release.service]
        claims[run] = evidence.check(
            release.evidence,
            release.binding,
            service.attestation,
            ledger.entry(record.index).time,
        )
        if claims[run].assurance is not release.assurance:
            raise BundleContentError(detail=f"{run} claims assurance {release.assurance}")
    return service_claims, claims


def _facts(
    machine: Machine, size: int, record: RunRecord, statement: RunStatement, claims: Claims
) -> tuple[str, ...]:
    genesis, release = machine.board.genesis, record.release
    founders = ", ".join(sorted(genesis.members))
    enacted = next(
        item
        for item in machine.board.proposals.values()
        if item.proposal.policy.digest == release.policy_digest and item.enacted
    )
    voters = ", ".join(sorted(enacted.approvals))
    outputs = ", ".join(
        f"{output.name} for {' and '.join(reader for reader, _ in output.sealed_keys)}"
        for output in statement.outputs
    )
    return (
        f"board      {genesis.name}, founded and signed by {founders}",
        f"log        {size} entries, complete under one signed checkpoint, every one replayed",
        f"consent    policy {release.policy} approved by {voters}; every owner's terms held",
        f"service    the trust service ran code the founders named ({claims.family.value})",
        f"hardware   {claims.family.value}, TCB {claims.tcb.status}, root {claims.root_kind.value}",
        f"code       shield {claims.measurements['mrtd'].hex()[:16]}… is in the enacted policy",
        f"binding    evidence names nonce and keys of {statement.run}",
        f"run        {len(statement.inputs)} inputs in the versions voted on; outputs: {outputs}",
        f"time       {format_time(statement.started)} to {format_time(statement.finished)}",
    )


def _not_proven(genesis: Genesis, claims: Claims, *, pinned: bool) -> tuple[str, ...]:
    open_points = []
    if not pinned:
        open_points.append(
            f"whose board this is: compare {genesis.digest} with the digest you hold (--genesis)"
        )
    if claims.root_kind.value == "test":
        open_points.append("that any hardware protected the run: its assurance is SIMULATED")
    if genesis.freshness is Freshness.SOLO:
        open_points.append("that this log is the only one: there were no witnesses (solo)")
    open_points.append("the times: they are the trust service's clock")
    open_points.append("what the outputs contain, and what they reveal about the inputs")
    return tuple(open_points)
