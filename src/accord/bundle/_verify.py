# SPDX-License-Identifier: Apache-2.0
"""Checking a run offline: no network, no service, no key but the genesis digest.

Written to be read by an auditor. Every step is numbered as in docs/spec/bundle.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from accord.board import Freshness, Genesis
from accord.bundle._files import CHECKPOINT, BundleFiles, entry_name, object_name
from accord.bundle._proofs import Proof, Replayed, replay
from accord.encoding import Digest, JSONValue, format_time, sha256
from accord.errors import (
    AccordError,
    AppraisalError,
    BundleContentError,
    BundleFileError,
    BundleGenesisError,
)
from accord.evidence import (
    PRIVATE_CLAIMS,
    Claims,
    Evidence,
    RootKind,
    appraise,
    verify,
)
from accord.ledger import verify_checkpoint
from accord.policy import Channel, Network, Service
from accord.release import (
    LOG_NAME,
    Machine,
    Release,
    Renewal,
    RunOutcome,
    RunRecord,
    RunStatement,
    log_origin,
)


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
    """Of the trust service that released its keys."""

    second_factors: tuple[str, ...]
    """What the start needed beside evidence; each was used up by it."""

    facts: tuple[str, ...] = ()
    not_proven: tuple[str, ...] = ()

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
            "outcome": self.statement.outcome.value,
            "assurance": self.statement.assurance.value,
            "service_assurance": self.service_claims.assurance.value,
            "shield_assurance": self.claims.assurance.value,
            "channel": self.record.release.channel.value,
            "second_factors": list(self.second_factors),
            "secrets": [use.to_json() for use in self.record.release.secrets],
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
    replayed = replay(_entries(bundle))
    ledger, machine = replayed.ledger, replayed.machine
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
    # (5) Evidence of every service start, release, renewal and automated ballot, as of the time
    #     it was used, by the charter and the policy that were in force then.
    evidence = _Evidence(bundle, machine.board.genesis)
    claims = _appraise_all(replayed.proofs, evidence)
    evidence.refuse_unused()
    # (6) The run is there, and ended.
    record = machine.runs.get(bundle.run)
    if record is None:
        raise BundleFileError(name="manifest.json", detail=f"the log has no run {bundle.run}")
    if record.statement is None:
        raise BundleContentError(detail=f"run {bundle.run} has not ended")
    service_claims, shield_claims = claims[bundle.run]
    report = BundleReport(
        board=found,
        genesis_pinned=genesis is not None,
        entries=ledger.size,
        record=record,
        statement=record.statement,
        claims=shield_claims,
        service_claims=service_claims,
        second_factors=_second_factors(_service(machine, record.release)),
    )
    return replace(
        report,
        facts=_facts(report, machine),
        not_proven=_not_proven(report, replayed),
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

    def check(self, proof: Proof) -> Claims:
        """The claims of the evidence, which satisfied ``proof`` at the time of its entry."""
        name = object_name(proof.evidence)
        if name not in self._bundle.files:
            raise BundleContentError(detail=f"evidence {proof.evidence} is missing")
        # Quotes are malleable: other bytes may verify as well, and are not what was logged.
        if sha256(self._bundle.files[name]) != proof.evidence:
            raise BundleFileError(name=name, detail="its bytes are not those that the log names")
        self._unused.discard(name)
        evidence = Evidence.from_bytes(self._bundle.files[name])
        claims = verify(
            evidence, anchors=self._genesis.anchors, now=proof.time, binding=proof.binding
        )
        appraise(claims, proof.variants, now=proof.time)
        return claims

    def refuse_unused(self) -> None:
        for name in sorted(self._unused):
            raise BundleFileError(name=name, detail="no entry refers to it")


def _appraise_all(
    proofs: tuple[Proof, ...], evidence: _Evidence
) -> dict[str, tuple[Claims, Claims]]:
    """Of every run: the claims of the service that released its keys, and of its shield."""
    claims = {}
    host: Claims | None = None
    for proof in proofs:
        found = evidence.check(proof)
        if host is not None and proof.host:
            _check_host(proof, host)
        if proof.is_start:
            host = found
        elif proof.release is not None and proof.renewal is not None and host is not None:
            _check_renewal(proof.release, proof.renewal, host, found)
        elif proof.release is not None and host is not None:
            _check_release(proof, proof.release, host, found)
            claims[proof.release.run] = host, found
    return claims


def _check_host(proof: Proof, host: Claims) -> None:
    """That the members had not replaced the trust service that wrote the entry."""
    try:
        appraise(host, proof.host, now=proof.time)
    except AppraisalError as exc:
        detail = f"entry {proof.entry} is by a trust service that the board had replaced"
        raise BundleContentError(detail=detail) from exc


def _check_release(proof: Proof, release: Release, host: Claims, shield: Claims) -> None:
    """That the log says of the evidence what there is in it."""
    if release.assurance is not shield.assurance.weaker(host.assurance):
        raise BundleContentError(detail=f"{release.run} claims assurance {release.assurance}")
    recorded = appraise(shield, proof.variants, now=proof.time).to_json()[PRIVATE_CLAIMS]
    if not isinstance(release.result, dict) or release.result.get(PRIVATE_CLAIMS) != recorded:
        raise BundleContentError(detail=f"{release.run} records another attestation result")


def _check_renewal(release: Release, renewal: Renewal, host: Claims, shield: Claims) -> None:
    """That a run did not go on as more than what it then was worth."""
    worth = shield.assurance.weaker(host.assurance).weaker(release.assurance)
    if renewal.assurance is not worth:
        detail = f"a renewal of {renewal.run} claims assurance {renewal.assurance}"
        raise BundleContentError(detail=detail)


def _second_factors(service: Service) -> tuple[str, ...]:
    """What each start needs beside evidence, and uses up."""
    factors = []
    if service.singleton:
        factors.append("instance token")
    if service.totp is not None:
        factors.append("one-time password")
    return tuple(factors)


def _facts(report: BundleReport, machine: Machine) -> tuple[str, ...]:
    genesis, release, run = machine.board.genesis, report.record.release, report.statement
    enacted = machine.board.enacted_by(release.policy_digest)
    outputs = [
        f"{output.name} for {' and '.join(reader for reader, _ in output.sealed_keys)}"
        for output in run.outputs
    ]
    secrets = [f"{use.name} of {use.source}" for use in release.secrets]
    founders, voters = ", ".join(sorted(genesis.members)), ", ".join(sorted(enacted.approvals))
    size = report.entries
    code = next((f" ({v.hex()[:16]}…)" for v in report.claims.measurements.values()), "")
    return (
        f"board      {genesis.name}, founded and signed by {founders}",
        f"log        {size} entries, complete under one signed checkpoint, every one replayed",
        f"consent    policy {release.policy} approved by {voters}; every owner's terms held",
        f"service    {_environment(report.service_claims)}, running code the board accepts",
        f"shield     {_environment(report.claims)}, running code of the policy{code}",
        f"binding    evidence names nonce and keys of {run.run}",
        f"channel    {_CHANNELS[release.channel]}",
        f"factors    {', '.join(report.second_factors) or 'evidence alone'}",
        f"secrets    {', '.join(secrets) or 'none'}",
        f"run        {run.outcome}; {len(run.inputs)} inputs, each in the version voted on",
        f"outputs    {', '.join(outputs) or 'none'}",
        f"time       {format_time(run.started)} to {format_time(run.finished)}",
    )


_CHANNELS = {
    Channel.L1: "L1, keys were sealed to the attested key",
    Channel.L2: "L2, keys were sealed to the attested key, over a connection that evidence proves",
}


def _environment(claims: Claims) -> str:
    return f"{claims.family}, TCB {claims.tcb_status}, {claims.root_kind} root"


def _service(machine: Machine, release: Release) -> Service:
    return machine.policy_of(release).services[release.service]


def _not_proven(report: BundleReport, replayed: Replayed) -> tuple[str, ...]:
    genesis, release = replayed.machine.board.genesis, report.record.release
    service = _service(replayed.machine, release)
    open_points = []
    if not report.genesis_pinned:
        open_points.append(
            f"whose board this is: compare {genesis.digest} with the digest you hold (--genesis)"
        )
    for who, claims in (("trust service", report.service_claims), ("shield", report.claims)):
        if claims.root_kind is RootKind.TEST:
            open_points.append(f"that hardware protected the {who}: its assurance is SIMULATED")
    if genesis.freshness is Freshness.SOLO:
        open_points.append("that this log is the only one: there were no witnesses (solo)")
    if report.statement.outcome is not RunOutcome.SUCCEEDED:
        open_points.append("that the run did its work: it FAILED and has no outputs")
    if service.network is Network.OPEN:
        open_points.append("that nothing else left: the policy let the program use the network")
    if replayed.elsewhere:
        listed = ", ".join(map(str, replayed.elsewhere))
        open_points.append(
            f"who got the secrets that went elsewhere than to runs: entries {listed}"
        )
    open_points.append("the times: they are the trust service's clock")
    open_points.append("what the outputs contain, and what they reveal about the inputs")
    return tuple(open_points)
