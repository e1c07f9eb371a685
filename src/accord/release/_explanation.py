# SPDX-License-Identifier: Apache-2.0
"""What `accord why` tells: who gets something, who allowed it, and who could change that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accord.board import Choice, StopRecord
from accord.encoding import Digest, JSONValue, format_time
from accord.policy import AttestationVariant, Rule


@dataclass(frozen=True, slots=True)
class Enacted:
    """The proposal that brought one version of a policy into force, and its votes."""

    policy: str
    version: Digest
    proposal: Digest
    entry: int
    """Index of the proposal's entry in the log."""

    votes: tuple[tuple[str, Choice, int], ...]
    """Member, choice, and the index of the ballot's entry."""

    def to_json(self) -> JSONValue:
        return {
            "policy": self.policy,
            "version": self.version,
            "proposal": self.proposal,
            "entry": self.entry,
            "votes": [
                {"member": member, "choice": choice.value, "entry": entry}
                for member, choice, entry in self.votes
            ],
        }


@dataclass(frozen=True, slots=True)
class Allowance:
    """An owner's terms on an asset that a release uses, and how often they still hold."""

    asset: str
    entry: int
    """Index of the offer's entry in the log."""

    uses_left: int
    not_after: datetime
    withdrawn: bool

    def to_json(self) -> JSONValue:
        return {
            "asset": self.asset,
            "entry": self.entry,
            "uses_left": self.uses_left,
            "not_after": format_time(self.not_after),
            "withdrawn": self.withdrawn,
        }


@dataclass(frozen=True, slots=True)
class Recipient:
    """One service that gets it: in which form, where it must run, and on whose word."""

    policy: str
    service: str
    version: Digest
    given_as: tuple[str, ...]
    """Paths, arguments and variables."""

    chain: tuple[str, ...]
    """From whoever has it to the service, a step each."""

    attestation: tuple[AttestationVariant, ...]
    factors: tuple[str, ...]
    """What a start needs beside evidence."""

    network_open: bool
    readers: tuple[tuple[str, tuple[str, ...]], ...]
    """Per output, the members who can read what is computed."""

    allowances: tuple[Allowance, ...]
    enacted: tuple[Enacted, ...]
    changed_by: tuple[tuple[str, Rule], ...]
    """Where a rule stands, and the rule that whoever changes this must satisfy."""

    refusal: str | None
    """Why nothing would be released now, on the best hardware; ``None``: it would."""

    def to_json(self) -> JSONValue:
        return {
            "policy": self.policy,
            "service": self.service,
            "version": self.version,
            "given_as": list(self.given_as),
            "chain": list(self.chain),
            "attestation": [variant.to_json() for variant in self.attestation],
            "factors": list(self.factors),
            "network_open": self.network_open,
            "readers": {output: list(members) for output, members in self.readers},
            "allowances": [item.to_json() for item in self.allowances],
            "enacted": [item.to_json() for item in self.enacted],
            "changed_by": [
                {"source": source, "rule": rule.to_json()} for source, rule in self.changed_by
            ],
            "refusal": self.refusal,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that the log says about who gets one secret or asset."""

    subject: str
    origin: str
    """Where the value comes from."""

    recipients: tuple[Recipient, ...]
    elsewhere: tuple[str, ...]
    """What leaves this board: exports to other trust services, public parts."""

    derived: tuple[str, ...]
    """Assets on offer that were computed from it."""

    stops: tuple[StopRecord, ...]

    def to_json(self) -> JSONValue:
        return {
            "schema": "accord.explanation.v1",
            "subject": self.subject,
            "origin": self.origin,
            "recipients": [item.to_json() for item in self.recipients],
            "elsewhere": list(self.elsewhere),
            "derived": list(self.derived),
            "stops": [
                {"entry": record.index, "stop": record.stop.to_json()} for record in self.stops
            ],
        }
