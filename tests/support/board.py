# SPDX-License-Identifier: Apache-2.0
"""A board in memory: founders, their keys, a trust service's log key and the state machine.

Every key follows from a label, so that the same calls give the same bytes.
"""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.board import (
    AssetKind,
    AssetOffer,
    AssetWithdrawal,
    Ballot,
    Choice,
    Enactment,
    EnactPolicy,
    Genesis,
    Proposal,
    Terms,
)
from accord.encoding import Digest, Envelope, format_time, sha256
from accord.errors import AccordError
from accord.evidence import Binding, Evidence
from accord.identity import (
    Keyset,
    KeySigner,
    PublicIdentity,
    SealKey,
    Signer,
    Statement,
    sign_statement,
)
from accord.ledger import Entry
from accord.policy import (
    AUTHORITY,
    PUBLIC_KINDS,
    Assurance,
    Channel,
    Family,
    Network,
    Policy,
)
from accord.release import (
    AssetUse,
    Machine,
    Release,
    ReleaseRequest,
    RunOutcome,
    RunOutput,
    RunStatement,
    ServiceStart,
)
from accord.testing import TDX_REGISTERS, SimulatedPlatform, SimulatedVendor

JSON = dict[str, Any]

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=30)

MEMBERS = MappingProxyType(
    {"ann": "data-owner", "bob": "data-owner", "lab": "code-owner", "clinic": "result-user"}
)
CONSTITUTION: Mapping[str, Any] = MappingProxyType(
    {
        "policy.enact": {
            "approve": {"all": ["affected_owners", "role:result-user"]},
            "veto": [],
            "notice_s": 0,
        }
    }
)
MRTD = bytes(range(48))
OTHER_MRTD = bytes(48)


def _copy_proxy(proxy: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return MappingProxyType, (dict(proxy),)


copyreg.pickle(MappingProxyType, _copy_proxy)


def seed(label: str) -> bytes:
    """32 bytes that anybody can derive; keys made of them protect nothing."""
    return hashlib.sha256(f"accord tests, {label}".encode()).digest()


def digest(label: str) -> Digest:
    return sha256(label.encode())


@dataclass(frozen=True)
class Person:
    """Whoever holds a pair of private keys: a member, a service, a shield."""

    name: str
    signer: KeySigner
    seal_private_key: X25519PrivateKey

    @classmethod
    @cache
    def of(cls, name: str) -> Person:
        return cls(
            name,
            KeySigner(Ed25519PrivateKey.from_private_bytes(seed(f"sign {name}"))),
            X25519PrivateKey.from_private_bytes(seed(f"seal {name}")),
        )

    @property
    def seal_key(self) -> SealKey:
        return SealKey(self.seal_private_key.public_key().public_bytes_raw())

    @property
    def public(self) -> PublicIdentity:
        return PublicIdentity(self.name, self.signer.verify_key, self.seal_key)

    def keyset(self, tls: bytes | None = None) -> Keyset:
        return Keyset(self.signer.verify_key, self.seal_key, tls)


def variant_json(*, mrtd: bytes = MRTD, simulated: bool = True, **changes: Any) -> JSON:
    """One attestation variant with every field written out."""
    return {
        "family": "tdx",
        "simulated": simulated,
        "measurements": {"mrtd": [mrtd.hex()]},
        "tcb_statuses": ["UpToDate"],
        "min_tcb_evaluation_number": 0,
        **changes,
    }


def genesis_json(**changes: Any) -> JSON:
    """The genesis of ann, bob, lab and clinic; ``changes`` replace fields.

    Bare rules of a constitution are written out.
    """
    document = {
        "schema": "accord.genesis.v1",
        "name": "screening",
        "founded": format_time(NOW - timedelta(days=1)),
        "members": [member_json(name, role) for name, role in MEMBERS.items()],
        "constitution": dict(CONSTITUTION),
        "anchors": [digest("root certificate")],
        "service": [variant_json()],
        "freshness": "solo",
        **changes,
    }
    return {**document, "constitution": constitution_json(document["constitution"])}


def constitution_json(rules: Mapping[str, Any]) -> JSON:
    """A constitution with every field written out; a bare rule has no veto and no notice."""
    written = {}
    for action, rule in rules.items():
        whole = rule if isinstance(rule, dict) and "approve" in rule else {"approve": rule}
        written[action] = {"veto": [], "notice_s": 0, **whole}
    return written


def member_json(name: str, *roles: str, key: str | None = None, **changes: Any) -> JSON:
    """A member of a genesis; ``key`` takes the keys of somebody else."""
    holder = Person.of(key or name)
    identity = PublicIdentity(name, holder.signer.verify_key, holder.seal_key)
    return {
        "identity": identity.to_json(),
        "roles": sorted(roles),
        "weight": 1,
        "attestation": [],
        **changes,
    }


def sign_genesis(document: JSON, *signers: str) -> Envelope:
    """``document`` signed by its members, or by ``signers``."""
    names = signers or tuple(item["identity"]["name"] for item in document["members"])
    return sign_statement("genesis", document, [Person.of(name).signer for name in names])


def service_json(**changes: Any) -> JSON:
    """A training program that reads of ann and lab and writes for the clinic."""
    return {
        "attestation": [variant_json()],
        "command": ["/usr/bin/python3", "/in/code/train.py"],
        "environment": {"EPOCHS": "3"},
        "workdir": "/tmp",
        "network": "none",
        "timeout_s": 60,
        "inputs": [
            {"asset": "ann/records", "tag": digest("ann/records"), "at": "/in/records"},
            {"asset": "lab/code", "tag": digest("lab/code"), "at": "/in/code"},
        ],
        "outputs": [{"name": "model", "at": "/out/model", "readers": ["clinic"]}],
        **changes,
    }


def policy_json(**changes: Any) -> JSON:
    """A policy with that one service; ``predecessor`` only where it is given."""
    return {
        "schema": "accord.policy.v1",
        "name": "train",
        "purpose": "screening",
        "services": {"train": service_json()},
        **changes,
    }


def terms(**changes: Any) -> Terms:
    """Terms under which the policy above may run five times."""
    usual = Terms(
        policies=("train",),
        purposes=("screening",),
        readers=("clinic",),
        min_assurance=Assurance.SIMULATED,
        network=Network.NONE,
        max_uses=5,
        not_after=LATER,
    )
    return replace(usual, **changes)


def public_parts(policy: Policy) -> list[str]:
    """What an enactment must show of a policy."""
    names = [name for name, spec in policy.secrets.items() if spec.kind in PUBLIC_KINDS]
    return [*names, AUTHORITY] if policy.authority else names


@dataclass
class World:
    """A board, the log that led to it, and everybody's keys."""

    machine: Machine
    log: list[Entry]
    service: Person = field(default_factory=lambda: Person.of("service"))
    time: datetime = NOW
    runs: int = 0

    @classmethod
    def founded(cls, **changes: Any) -> World:
        # The signed form has every default written out.
        document = Genesis.from_json(genesis_json(**changes)).to_json()
        entry = Entry(0, NOW, sign_genesis(document))
        return cls(Machine.found(entry), [entry])

    @classmethod
    def ready(cls, **changes: Any) -> World:
        """Founded, started, with three assets on offer."""
        world = cls.founded(**changes)
        world.start()
        for name in ("ann/records", "bob/records", "lab/code"):
            world.offer(name)
        return world

    @classmethod
    def enacted(cls, document: JSON | None = None, **changes: Any) -> World:
        """Ready, with a policy in force."""
        world = cls.ready(**changes)
        world.enact_policy(document)
        return world

    @property
    def board(self) -> Digest:
        return self.machine.board.board

    @property
    def genesis(self) -> Genesis:
        return self.machine.board.genesis

    # --- saying things -------------------------------------------------------------------

    def sign(self, kind: str, body: Any, *signers: str | Signer) -> Envelope:
        keys = [Person.of(who).signer if isinstance(who, str) else who for who in signers]
        return sign_statement(kind, body, keys)

    def record(self, envelope: Envelope) -> Statement:
        """The statement as the next entry, if the machine takes it."""
        entry = Entry(len(self.log), self.time, envelope)
        statement = self.machine.apply(entry)
        self.log.append(entry)
        return statement

    def say(self, kind: str, body: Any, *signers: str | Signer) -> Statement:
        return self.record(self.sign(kind, body, *signers))

    @contextmanager
    def refuses(self, error: type[AccordError], match: str | None = None) -> Iterator[None]:
        """What is tried within raises exactly ``error`` and leaves no trace."""
        before = deepcopy(self.machine)
        with pytest.raises(error, match=match) as caught:
            yield
        assert error is caught.type
        assert before == self.machine

    # --- statements ----------------------------------------------------------------------

    def start(self, keyset: Keyset | None = None, nonce: str = "boot") -> Statement:
        start = ServiceStart(
            self.board, seed(nonce), keyset or self.keyset, digest("service evidence")
        )
        return self.say("service-start", start.to_json(), self.service.signer)

    @property
    def keyset(self) -> Keyset:
        return self.service.keyset(seed("tls"))

    def latest(self, asset: str) -> Digest | None:
        record = self.machine.board.assets.get(asset)
        return record.latest if record else None

    def offer_of(self, name: str, **changes: Any) -> AssetOffer:
        offer = AssetOffer(
            board=self.board,
            name=name,
            kind=AssetKind.VOLUME,
            tag=digest(name),
            terms=terms(),
            predecessor=self.latest(name),
            volume_id="vol-" + seed(name).hex()[:32],
            key_commitment=digest(f"key of {name}"),
        )
        return replace(offer, **changes)

    def offer(self, name: str, *, by: str | None = None, **changes: Any) -> Digest:
        offer = self.offer_of(name, **changes)
        return self.say("asset", offer.to_json(), by or offer.owner).digest

    def withdraw(self, name: str, *, by: str | None = None, **changes: Any) -> Digest:
        withdrawal = AssetWithdrawal(self.board, name, self.latest(name) or digest("nothing"))
        withdrawal = replace(withdrawal, **changes)
        return self.say("asset-withdrawal", withdrawal.to_json(), by or withdrawal.owner).digest

    def proposal_of(self, document: JSON | None = None, **changes: Any) -> Proposal:
        proposal = Proposal(
            board=self.board,
            author="lab",
            title="train a model",
            base=self.machine.board.charter.digest,
            actions=(EnactPolicy(Policy.from_json(document or policy_json())),),
            expires=LATER,
        )
        return replace(proposal, **changes)

    def propose(
        self, document: JSON | None = None, *, by: str | None = None, **changes: Any
    ) -> Digest:
        proposal = self.proposal_of(document, **changes)
        return self.say("proposal", proposal.to_json(), by or proposal.author).digest

    def vote(
        self,
        member: str,
        proposal: Digest,
        choice: Choice = Choice.APPROVE,
        *,
        sequence: int = 1,
        by: str | None = None,
        board: Digest | None = None,
    ) -> Digest:
        ballot = Ballot(board or self.board, proposal, member, choice, sequence)
        return self.say("ballot", ballot.to_json(), by or member).digest

    def enact(self, proposal: Digest, *, by: str | Signer | None = None) -> Digest:
        record = self.machine.board.proposals.get(proposal)
        public = {
            policy.name: dict.fromkeys(parts, "PEM")
            for policy in (record.proposal.policies if record else ())
            if (parts := public_parts(policy))
        }
        enactment = Enactment(self.board, proposal, public)
        return self.say("enactment", enactment.to_json(), by or self.service.signer).digest

    def enact_policy(self, document: JSON | None = None) -> Digest:
        """Proposes, has everybody vote, enacts."""
        proposal = self.propose(document)
        for member in MEMBERS:
            self.vote(member, proposal)
        self.enact(proposal)
        return proposal

    # --- releases ------------------------------------------------------------------------

    def release_of(self, **changes: Any) -> Release:
        """What the trust service would record as the next release, all in order."""
        policy = self.machine.board.policy("train") or Policy.from_json(policy_json())
        assets, counted = self.machine.board.assets, self.machine.uses
        uses = [
            AssetUse(item.asset, offer, counted.get(offer, 0) + 1)
            for item in policy.services["train"].inputs
            if (offer := assets[item.asset].offered_by)
        ]
        release = Release(
            board=self.board,
            run="run-" + seed(f"run {self.runs}").hex()[:32],
            policy=policy.name,
            policy_digest=policy.digest,
            service="train",
            keyset=Person.of("shield").keyset(),
            nonce=seed(f"nonce {self.runs}"),
            evidence=digest("evidence"),
            assurance=Assurance.SIMULATED,
            result={},
            uses=tuple(uses),
        )
        return replace(release, **changes)

    def release(self, *, by: str | Signer | None = None, **changes: Any) -> Release:
        release = self.release_of(**changes)
        self.say("release", release.to_json(), by or self.service.signer)
        self.runs += 1
        return release

    def run_of(self, release: Release, **changes: Any) -> RunStatement:
        service = self.machine.policy_of(release).services[release.service]
        outputs = tuple(
            RunOutput(
                name=output.name,
                volume_id="vol-" + seed(output.name).hex()[:32],
                tag=digest(f"output {output.name}"),
                key_commitment=digest(f"key of output {output.name}"),
                sealed_keys=tuple((reader, b"sealed") for reader in sorted(output.readers)),
            )
            for output in service.outputs
        )
        statement = RunStatement(
            board=self.board,
            run=release.run,
            policy_digest=release.policy_digest,
            service=release.service,
            assurance=release.assurance,
            inputs=tuple((item.asset, item.tag) for item in service.inputs),
            outputs=outputs,
            outcome=RunOutcome.SUCCEEDED,
            started=self.time,
            finished=self.time,
        )
        return replace(statement, **changes)

    def finish(self, release: Release, *, by: str = "shield", **changes: Any) -> Statement:
        return self.say("run", self.run_of(release, **changes).to_json(), by)


def replay(log: list[Entry]) -> Machine:
    """The state that a log leads to, from its bytes alone."""
    entries = [Entry.from_bytes(entry.to_bytes()) for entry in log]
    machine = Machine.found(entries[0])
    for entry in entries[1:]:
        machine.apply(entry)
    return machine


@dataclass(frozen=True)
class Hardware:
    """Simulated machines of one vendor, and whatever environment a test wants on them."""

    vendor: SimulatedVendor
    platform: SimulatedPlatform

    @classmethod
    def make(cls, folder: Path) -> Hardware:
        vendor = SimulatedVendor.create(folder / "vendor", now=NOW)
        return cls(
            vendor, SimulatedPlatform.create(folder / "platform", folder / "vendor", now=NOW)
        )

    def attest(self, binding: Binding, *, mrtd: bytes = MRTD, debug: bool = False) -> Evidence:
        registers = dict.fromkeys(TDX_REGISTERS, bytes(48)) | {"mrtd": mrtd}
        return self.platform.attester(registers, debug=debug).collect(binding.report_data())

    def request(
        self,
        world: World,
        nonce: bytes,
        *,
        shield: str = "shield",
        policy: str = "train",
        service: str = "train",
        attest: Callable[[Binding], Evidence] | None = None,
        exporter: bytes | None = None,
        **extras: Any,
    ) -> ReleaseRequest:
        """What an honest shield sends, unless ``attest`` makes other evidence.

        With ``exporter`` it proves the connection; ``extras`` are token, otp and tls_spki.
        """
        keyset = Person.of(shield).keyset()
        level = Channel.L1 if exporter is None else Channel.L2
        blank = Evidence(Family.TDX, b"")
        request = ReleaseRequest(
            world.board, policy, service, keyset, nonce, blank, channel=level, **extras
        )
        return replace(request, evidence=(attest or self.attest)(request.binding(exporter)))
