# SPDX-License-Identifier: Apache-2.0
"""What a bundle proves, and what it does not, in words and as a document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accord.board import Freshness
from accord.bundle._exports import SharedSecret
from accord.bundle._log import VerifiedLog
from accord.encoding import Digest, Fields, JSONValue, format_time, parse_canonical_json
from accord.evidence import Claims, RootKind
from accord.policy import Channel, FreshnessMode, Network, Service
from accord.release import (
    Lineage,
    Machine,
    Release,
    RunOutcome,
    RunRecord,
    RunStatement,
    UseReservation,
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

    cosigned: tuple[str, ...]
    """The witnesses that cosigned the checkpoint."""

    shared: tuple[SharedSecret, ...] = ()
    """Secrets of the run's policy that went to other policies."""

    facts: tuple[str, ...] = ()
    not_proven: tuple[str, ...] = ()

    def to_json(self) -> JSONValue:
        return {
            "schema": "accord.bundle-report.v2",
            "verified": True,
            "board": self.board,
            "genesis_pinned": self.genesis_pinned,
            "entries": self.entries,
            "cosigned": list(self.cosigned),
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
            "shared": [item.to_json() for item in self.shared],
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


def second_factors(service: Service) -> tuple[str, ...]:
    """What each start needs beside evidence, and uses up."""
    factors = []
    if service.singleton:
        factors.append("instance token")
    if service.totp is not None:
        factors.append("one-time password")
    return tuple(factors)


def service_of(machine: Machine, release: Release) -> Service:
    return machine.policy_of(release).services[release.service]


def facts(report: BundleReport, log: VerifiedLog) -> tuple[str, ...]:
    """What was checked and holds."""
    machine, release, run = log.machine, report.record.release, report.statement
    genesis = machine.board.genesis
    enacted = machine.board.enacted_by(release.policy_digest)
    outputs = [
        f"{output.name} for {' and '.join(reader for reader, _ in output.sealed_keys)}"
        for output in run.outputs
    ]
    secrets = [f"{use.name} of {use.source}" for use in release.secrets]
    founders, voters = ", ".join(sorted(genesis.members)), ", ".join(sorted(enacted.approvals))
    code = next((f" ({v.hex()[:16]}…)" for v in report.claims.measurements.values()), "")
    runs = len(Lineage(machine).ancestry(run.run))
    return (
        f"board      {genesis.name}, founded and signed by {founders}",
        f"log        {log.size} entries, complete under one signed checkpoint, every one replayed",
        f"consent    policy {release.policy} approved by {voters}; every owner's terms held",
        f"witnesses  {_witnesses(log)}",
        f"service    {_environment(report.service_claims)}, running code the board accepts",
        f"shield     {_environment(report.claims)}, running code of the policy{code}",
        f"binding    evidence names nonce and keys of {run.run}",
        f"channel    {_CHANNELS[release.channel]}",
        f"factors    {', '.join(report.second_factors) or 'evidence alone'}",
        *_counted(log, release),
        f"secrets    {', '.join(secrets) or 'none'}",
        *[f"shared     {item.words}" for item in report.shared],
        *([] if report.shared else [f"shared     no secret of {release.policy}, by this log"]),
        f"run        {run.outcome}; {len(run.inputs)} inputs, each in the version voted on",
        f"lineage    {runs} {'run' if runs == 1 else 'runs'} of this board led to it",
        f"outputs    {', '.join(outputs) or 'none'}",
        f"time       {format_time(run.started)} to {format_time(run.finished)}",
    )


def _counted(log: VerifiedLog, release: Release) -> Iterator[str]:
    """Where the uses were counted before the release was asked for."""
    if release.reservation is not None:
        entry = log.replayed.ledger.entry(log.machine.board.recorded[release.reservation])
        fields = Fields(parse_canonical_json(entry.envelope.payload, what="entry"), "entry")
        reserved = UseReservation.from_fields(fields)
        yield (
            f"uses       counted ahead in entry {entry.index}: {reserved.count} releases "
            f"until {format_time(reserved.until)}"
        )


_CHANNELS = {
    Channel.L1: "L1, keys were sealed to the attested key",
    Channel.L2: "L2, keys were sealed to the attested key, over a connection that evidence proves",
}


def _environment(claims: Claims) -> str:
    return f"{claims.family}, TCB {claims.tcb_status}, {claims.root_kind} root"


def _witnesses(log: VerifiedLog) -> str:
    policy = log.machine.board.charter.witnesses
    if policy is None:
        return "none"
    names = ", ".join(sorted(log.cosigned))
    return (
        f"cosigned by {names}; {policy.quorum} of {len(policy.groups)} groups are needed, "
        f"{policy.faulty} may lie"
    )


def log_not_proven(log: VerifiedLog, *, pinned: bool) -> Iterator[str]:
    """What remains open of any log."""
    machine = log.machine
    if not pinned:
        yield (
            f"whose board this is: compare {machine.board.board} with the digest you hold "
            "(--genesis)"
        )
    if machine.board.charter.witnesses is None:
        yield "that this log is the only one: there were no witnesses (solo)"
    elif machine.board.genesis.freshness is Freshness.SOLO or log.replayed.witnesses_replaced:
        yield (
            f"that no branch lives on that other witnesses saw: since entry "
            f"{log.replayed.witnesses_replaced} the board has these"
        )
    if log.exports:
        listed = ", ".join(str(proof.entry) for proof, _ in log.exports)
        yield f"what other trust services do with the secrets that they imported: entries {listed}"


def not_proven(report: BundleReport, log: VerifiedLog) -> tuple[str, ...]:
    """What somebody who relies on the run still has to believe."""
    return (
        *log_not_proven(log, pinned=report.genesis_pinned),
        *_run_not_proven(report, log),
        "the times: they are the trust service's clock",
        "what the outputs contain, and what they reveal about the inputs",
    )


def _run_not_proven(report: BundleReport, log: VerifiedLog) -> Iterator[str]:
    release = report.record.release
    policy = log.machine.policy_of(release)
    service = service_of(log.machine, release)
    for who, claims in (("trust service", report.service_claims), ("shield", report.claims)):
        if claims.root_kind is RootKind.TEST:
            yield f"that hardware protected the {who}: its assurance is SIMULATED"
    for proof in log.replayed.proofs:
        renewal = proof.renewal
        if renewal and renewal.run == release.run and renewal.assurance is not release.assurance:
            worth = renewal.assurance.value.upper()
            yield f"that the run kept its assurance: entry {proof.entry} renewed it as {worth}"
    if service.totp is not None:
        yield "who knew the one-time password: that it fitted is the trust service's word"
    if report.statement.outcome is not RunOutcome.SUCCEEDED:
        yield "that the run did its work: it FAILED and has no outputs"
    if service.network is Network.OPEN:
        yield "that nothing else left: the policy let the program use the network"
    rule = policy.freshness
    if rule is not None and rule.mode is FreshnessMode.LEASE:
        yield (
            f"that every release of {policy.name} is in this log: of each start of the trust "
            f"service and each service {rule.max_uses} may be missing, none of them later than "
            f"{rule.ttl_s} s after its use was counted (lease)"
        )
