# SPDX-License-Identifier: Apache-2.0
"""Attacks on what a run is worth and on what a run statement may say, as a hostile review found.

The attacker owns the trust service's host, or a shield, or nothing at all and merely asks.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.support import live
from tests.support.board import (
    MRTD,
    Hardware,
    World,
    digest,
    policy_json,
    service_json,
    terms,
    variant_json,
)
from tests.support.gate import decide
from tests.support.wire import InProcess

from accord.board import Ballot, Choice
from accord.bundle import (
    CHECKPOINT,
    BundleFiles,
    BundleReport,
    derived_files,
    entry_name,
    object_name,
    verify_bundle,
)
from accord.encoding import Digest, Envelope
from accord.errors import (
    BundleContentError,
    DuplicateStatementError,
    SignatureInvalidError,
    TermsError,
    UnknownRunError,
)
from accord.evidence import PRIVATE_CLAIMS, Evidence, Purpose, _roots
from accord.identity import sign_statement
from accord.ledger import Ledger, sign_checkpoint
from accord.policy import Assurance
from accord.release import (
    Challenges,
    Decision,
    Release,
    RunOutcome,
    RunOutput,
    ServiceStart,
    log_origin,
    service_binding,
)
from accord.testing import TDX_REGISTERS


@dataclass(frozen=True)
class Machines:
    """A machine of a vendor under a test root, and one that passes for real hardware."""

    simulated: Hardware
    real: Hardware


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """The second vendor's root is taken for Intel's as long as these tests run."""
    made = Machines(
        Hardware.make(tmp_path_factory.mktemp("simulated")),
        Hardware.make(tmp_path_factory.mktemp("real")),
    )
    roots = MappingProxyType({made.real.vendor.root_digest: "stands for a vendor of hardware"})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_roots, "PRODUCTION_ROOTS", roots)
        yield made


@dataclass
class Scene:
    """A board with real evidence: who hosts its trust service, and who runs its shields."""

    machines: Machines
    service: Hardware
    shield: Hardware
    minimum: Assurance = Assurance.SIMULATED
    objects: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        anchors = [
            item.vendor.root_digest for item in (self.machines.simulated, self.machines.real)
        ]
        self.world = World.founded(
            anchors=anchors,
            service=[variant_json(simulated=True), variant_json(simulated=False)],
        )
        self.start(self.service)
        for name in ("ann/records", "bob/records", "lab/code"):
            self.world.offer(name, terms=terms(min_assurance=self.minimum))
        simulated = self.shield is not self.machines.real
        service = service_json(attestation=[variant_json(simulated=simulated)])
        self.world.enact_policy(policy_json(services={"train": service}))
        self.challenges = Challenges(secrets.token_bytes)

    def start(self, host: Hardware) -> None:
        world, nonce = self.world, secrets.token_bytes(32)
        binding = service_binding(world.board, world.keyset, nonce, Purpose.LOG)
        evidence = self.keep(host.attest(binding))
        start = ServiceStart(world.board, nonce, world.keyset, evidence.digest)
        world.say("service-start", start.to_json(), world.service.signer)

    def keep(self, evidence: Evidence) -> Evidence:
        self.objects[object_name(evidence.digest)] = evidence.to_bytes()
        return evidence

    def decide(self, worth: Assurance) -> Decision:
        nonce, _ = self.challenges.issue(self.world.board, Purpose.RELEASE, now=self.world.time)
        request = self.shield.request(self.world, nonce)
        self.keep(request.evidence)
        return decide(
            self.world.machine,
            request,
            challenges=self.challenges,
            service_assurance=worth,
            now=self.world.time,
            entropy=secrets.token_bytes,
        )

    def release(self, worth: Assurance = Assurance.CVM, **changes: Any) -> Release:
        """What the gate decides, recorded as ``changes`` have it."""
        release = replace(self.decide(worth).release, **changes)
        self.world.say("release", release.to_json(), self.world.service.signer)
        return release

    def bundle(self, release: Release, path: Path) -> Path:
        """The proof of a run, as the trust service's key signs it."""
        files = {entry_name(entry.index): entry.to_bytes() for entry in self.world.log}
        ledger = Ledger.from_entries(files.values())
        files[CHECKPOINT] = sign_checkpoint(
            ledger.checkpoint(log_origin(self.world.board)),
            name=log_origin(self.world.board),
            signer=self.world.service.signer,
        )
        note, record = files[CHECKPOINT], self.world.machine.runs[release.run]
        files |= derived_files(ledger, self.world.machine, note, record)
        BundleFiles(self.world.board, release.run, {**files, **self.objects}).write(path)
        return path

    def report(self, release: Release, path: Path) -> BundleReport:
        return verify_bundle(self.bundle(release, path), genesis=self.world.board)

    def refuses(self, release: Release, path: Path, match: str) -> None:
        with pytest.raises(BundleContentError, match=match):
            self.report(release, path)


@pytest.fixture
def mixed(machines: Machines) -> Scene:
    """A shield on hardware, its keys from a trust service that anybody could have simulated."""
    return Scene(machines, service=machines.simulated, shield=machines.real)


# --- what a run is worth ----------------------------------------------------------------------


def test_hardware_under_a_simulated_service_is_worth_a_simulation(mixed: Scene) -> None:
    """The shield is on hardware, but whoever runs the trust service has read the keys."""
    assert mixed.decide(Assurance.SIMULATED).release.assurance is Assurance.SIMULATED
    assert mixed.decide(Assurance.CVM).release.assurance is Assurance.CVM


def test_hardware_under_an_honest_service_is_worth_no_more_than_itself(
    machines: Machines,
) -> None:
    """The other way round: a simulated shield gains nothing from a service on hardware."""
    scene = Scene(machines, service=machines.real, shield=machines.simulated)

    assert scene.decide(Assurance.CVM).release.assurance is Assurance.SIMULATED


def test_owner_who_asks_for_hardware_refuses_a_simulated_service(machines: Machines) -> None:
    """Terms with ``min_assurance: cvm`` mean the whole way of the key, not its last step."""
    scene = Scene(machines, service=machines.simulated, shield=machines.real, minimum=Assurance.CVM)

    with scene.world.refuses(TermsError):
        scene.decide(Assurance.SIMULATED)
    assert scene.decide(Assurance.CVM).release.assurance is Assurance.CVM


@pytest.mark.parametrize("worth", [Assurance.SIMULATED, Assurance.CVM])
def test_hardware_all_the_way_is_reported_as_hardware(
    machines: Machines, tmp_path: Path, worth: Assurance
) -> None:
    """Only where service and shield are on hardware does a bundle say so."""
    scene = Scene(machines, service=machines.real, shield=machines.real)
    release = scene.release(worth)
    scene.world.finish(release)
    if worth is Assurance.SIMULATED:
        # Less than the evidence proves is no honest record either.
        scene.refuses(release, tmp_path / "bundle", "claims assurance simulated")
        return
    report = scene.report(release, tmp_path / "bundle")

    assert (
        report.to_json()
        | {
            "assurance": "cvm",
            "service_assurance": "cvm",
            "shield_assurance": "cvm",
        }
        == report.to_json()
    )
    assert "SIMULATED" not in " ".join(report.not_proven)


def test_bundle_of_a_simulated_service_says_simulated(mixed: Scene, tmp_path: Path) -> None:
    """The weaker of the two is what the run is worth, and it is said whose fault it is."""
    release = mixed.release(Assurance.SIMULATED)
    mixed.world.finish(release)
    report = mixed.report(release, tmp_path / "bundle")
    shown: Any = report.to_json()

    assert (
        shown["assurance"],
        shown["service_assurance"],
        shown["shield_assurance"],
    ) == ("simulated", "simulated", "cvm")
    assert "that hardware protected the trust service: its assurance is SIMULATED" in (
        report.not_proven
    )
    assert "that hardware protected the shield: its assurance is SIMULATED" not in (
        report.not_proven
    )
    facts = dict(fact.split(maxsplit=1) for fact in report.facts)
    assert "test root" in facts["service"]
    assert "production root" in facts["shield"]


def test_release_that_claims_the_better_of_two_is_refused(mixed: Scene, tmp_path: Path) -> None:
    """A trust service that records what the shield alone is worth is found out offline."""
    release = mixed.release(Assurance.CVM)
    mixed.world.finish(release)

    mixed.refuses(release, tmp_path / "bundle", "claims assurance cvm")


def test_later_start_on_hardware_does_not_raise_an_earlier_run(
    machines: Machines, tmp_path: Path
) -> None:
    """A run is worth what the service was that released its keys, not what it became."""
    scene = Scene(machines, service=machines.simulated, shield=machines.real)
    early = scene.release(Assurance.SIMULATED)
    scene.world.finish(early)
    scene.start(machines.real)
    late = scene.release(Assurance.CVM)
    scene.world.finish(late)
    found = [scene.report(run, tmp_path / run.run).service_claims for run in (early, late)]

    assert [item.assurance for item in found] == [Assurance.SIMULATED, Assurance.CVM]
    scene.start(machines.simulated)
    forged = scene.release(Assurance.CVM)
    scene.refuses(early, tmp_path / "forged", f"{forged.run} claims assurance cvm")


# --- the recorded attestation result ----------------------------------------------------------


def _with_claims(result: Any, **changes: Any) -> Any:
    return {**result, PRIVATE_CLAIMS: {**result[PRIVATE_CLAIMS], **changes}}


RESULTS: Mapping[str, Any] = MappingProxyType(
    {
        "other measurements": lambda result: _with_claims(result, measurements={"mrtd": "00" * 48}),
        "other root": lambda result: _with_claims(result, root=digest("Intel")),
        "hardware": lambda result: _with_claims(result, root_kind="production", assurance="cvm"),
        "other platform": lambda result: _with_claims(result, instance_id="00" * 16),
        "better TCB": lambda result: _with_claims(
            result, tcb={**result[PRIVATE_CLAIMS]["tcb"], "evaluation_number": 999}
        ),
        "debug": lambda result: _with_claims(result, debug=True),
        "a claim more": lambda result: _with_claims(result, audited=True),
        "no claims": lambda result: {
            name: value for name, value in result.items() if name != PRIVATE_CLAIMS
        },
        "claims of another kind": lambda result: {**result, PRIVATE_CLAIMS: []},
        "nothing": lambda _result: {},
    }
)


@pytest.mark.parametrize("name", RESULTS)
def test_recorded_result_that_the_evidence_does_not_give_is_refused(
    machines: Machines, tmp_path: Path, name: str
) -> None:
    """The log may not tell another story of the shield than its evidence does."""
    scene = Scene(machines, service=machines.simulated, shield=machines.simulated)
    decided = scene.decide(Assurance.SIMULATED).release
    release = replace(decided, result=RESULTS[name](decided.result))
    scene.world.say("release", release.to_json(), scene.world.service.signer)
    scene.world.finish(release)

    scene.refuses(release, tmp_path / "bundle", f"{release.run} records another attestation")


def test_recorded_result_that_the_evidence_gives_is_accepted(
    machines: Machines, tmp_path: Path
) -> None:
    """The same log with the result as the gate found it verifies."""
    scene = Scene(machines, service=machines.simulated, shield=machines.simulated)
    release = scene.release()
    scene.world.finish(release)

    assert scene.report(release, tmp_path / "bundle").statement.outcome is RunOutcome.SUCCEEDED


# --- what a run statement may say -------------------------------------------------------------

TWO_OUTPUTS = [
    {"name": "model", "at": "/out/model", "readers": ["clinic"]},
    {"name": "report", "at": "/out/report", "readers": ["ann", "clinic"]},
]


@pytest.fixture
def world() -> World:
    """A policy with two outputs, of which one is for two readers."""
    world = World.ready()
    for name in ("ann/records", "lab/code"):
        world.offer(name, terms=terms(readers=("ann", "clinic")))
    world.enact_policy(policy_json(services={"train": service_json(outputs=TWO_OUTPUTS)}))
    return world


def _without_readers(output: RunOutput) -> RunOutput:
    return replace(output, sealed_keys=())


OUTPUTS: Mapping[str, Any] = MappingProxyType(
    {
        "none": lambda _outputs: (),
        "first alone": lambda outputs: outputs[:1],
        "second alone": lambda outputs: outputs[1:],
        "first twice": lambda outputs: (outputs[0], outputs[0]),
        "one more": lambda outputs: (*outputs, replace(outputs[0], name="extra")),
        "another name": lambda outputs: (outputs[0], replace(outputs[1], name="extra")),
        "other order": lambda outputs: outputs[::-1],
        "no reader": lambda outputs: (outputs[0], _without_readers(outputs[1])),
        "a reader less": lambda outputs: (
            outputs[0],
            replace(outputs[1], sealed_keys=outputs[1].sealed_keys[:1]),
        ),
        "a reader more": lambda outputs: (
            replace(outputs[0], sealed_keys=outputs[1].sealed_keys),
            outputs[1],
        ),
        "another reader": lambda outputs: (
            replace(outputs[0], sealed_keys=(("bob", b"sealed"),)),
            outputs[1],
        ),
    }
)


@pytest.mark.parametrize("name", OUTPUTS)
def test_run_that_succeeded_has_every_output_for_exactly_its_readers(
    world: World, name: str
) -> None:
    """A shield cannot leave a reader out, or an output, and call that a success."""
    release = world.release()
    outputs = OUTPUTS[name](world.run_of(release).outputs)

    with world.refuses(UnknownRunError):
        world.finish(release, outputs=outputs)
    world.finish(release)


@pytest.mark.parametrize("count", [1, 2])
def test_run_that_failed_has_no_output(world: World, count: int) -> None:
    """What a failed program wrote is kept from everybody: it may be anything."""
    release = world.release()
    outputs = world.run_of(release).outputs[:count]

    with world.refuses(UnknownRunError):
        world.finish(release, outcome=RunOutcome.FAILED, outputs=outputs)
    world.finish(release, outcome=RunOutcome.FAILED, outputs=())


def test_run_that_failed_cannot_succeed_later(world: World) -> None:
    """The first end of a run is its only one."""
    release = world.release()
    world.finish(release, outcome=RunOutcome.FAILED, outputs=())

    with world.refuses(UnknownRunError):
        world.finish(release)


def test_bundle_of_a_failed_run_says_that_it_failed(machines: Machines, tmp_path: Path) -> None:
    """A valid proof of a run that came to nothing must not read like a result."""
    scene = Scene(machines, service=machines.simulated, shield=machines.simulated)
    release = scene.release()
    scene.world.finish(release, outcome=RunOutcome.FAILED, outputs=())
    report = scene.report(release, tmp_path / "bundle")
    shown: Any = report.to_json()
    facts = dict(fact.split(maxsplit=1) for fact in report.facts)

    assert (shown["outcome"], shown["outputs"]) == ("failed", [])
    assert facts["run"].startswith("failed;")
    assert facts["outputs"] == "none"
    assert "that the run did its work: it FAILED and has no outputs" in report.not_proven
    assert "succeeded" not in json.dumps(shown)


def test_bundle_of_a_good_run_says_that_it_succeeded(machines: Machines, tmp_path: Path) -> None:
    """The two ends of a run are told apart in facts and JSON."""
    scene = Scene(machines, service=machines.simulated, shield=machines.simulated)
    release = scene.release()
    scene.world.finish(release)
    shown: Any = scene.report(release, tmp_path / "bundle").to_json()

    assert shown["outcome"] == "succeeded"
    assert "failed" not in json.dumps(shown).lower()


# --- asking without a key ---------------------------------------------------------------------


def unsigned(envelope: Envelope) -> Envelope:
    """The same words under the same key's name, by somebody who does not have the key."""
    zero = tuple(replace(item, signature=bytes(64)) for item in envelope.signatures)
    return replace(envelope, signatures=zero)


def _history() -> World:
    world = World.enacted()
    world.finish(world.release())
    return world


RECORDED = ("asset", "proposal", "ballot", "enactment", "release", "run", "service-start")


@pytest.mark.parametrize("kind", RECORDED)
def test_recorded_statement_is_not_confirmed_to_who_cannot_sign_it(kind: str) -> None:
    """Who guesses a vote and sends it unsigned must not learn whether it was cast."""
    world = _history()
    label = "in-toto" if kind == "run" else f"accord.{kind}.v1"
    (index, *_) = [e.index for e in world.log[1:] if label in e.envelope.payload_type]
    envelope = world.log[index].envelope

    with world.refuses(SignatureInvalidError):
        world.record(unsigned(envelope))
    with world.refuses(DuplicateStatementError):
        world.record(envelope)


@pytest.mark.parametrize("choice", list(Choice))
def test_guessed_vote_is_answered_alike_whether_it_was_cast(choice: Choice) -> None:
    """Approve, the vote that was cast, and reject, which was not, get one and the same answer."""
    world = World.ready()
    proposal = world.propose()
    world.vote("ann", proposal)
    guess = Ballot(world.board, proposal, "ann", choice, 1)
    envelope = unsigned(world.sign("ballot", guess.to_json(), "ann"))

    with world.refuses(SignatureInvalidError):
        world.record(envelope)


def test_service_does_not_acknowledge_unsigned_copies(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Over HTTP: a stranger's copy of a recorded proposal and ballot is answered like a fake."""
    service = InProcess(
        live.Hardware.create(tmp_path_factory.mktemp("host")),
        tmp_path,
        {"policy.enact": {"all": ["member:ann", "member:bob"]}},
    )
    ann = service.identity("ann")
    policy = policy_json(services={"train": service_json(inputs=[], outputs=[], command=["true"])})
    proposal = sign_statement(
        "proposal",
        {
            "schema": "accord.proposal.v1",
            "board": service.genesis.digest,
            "author": "ann",
            "title": "a job",
            "base": service.genesis.charter.digest,
            "actions": [{"action": "policy.enact", "policy": policy}],
            "expires": "2099-01-01T00:00:00Z",
        },
        [ann.signer],
    )
    recorded = [proposal, _ballot(service, proposal.statement_digest, Choice.APPROVE)]
    path = f"{service.path}/statements"
    for envelope in recorded:
        assert service.post(path, {"envelope": envelope.to_json()}).status_code == 200
    not_cast = _ballot(service, proposal.statement_digest, Choice.REJECT)
    answers = [
        service.post(path, {"envelope": unsigned(envelope).to_json()})
        for envelope in (*recorded, not_cast)
    ]

    assert [answer.json()["code"] for answer in answers] == [SignatureInvalidError.code] * 3
    assert answers[1].content == answers[2].content
    again = [service.post(path, {"envelope": item.to_json()}).json() for item in recorded]
    assert [set(item) for item in again] == [{"index"}] * 2


def _ballot(service: InProcess, proposal: Digest, choice: Choice) -> Envelope:
    body = Ballot(service.genesis.digest, proposal, "ann", choice, 1).to_json()
    return sign_statement("ballot", body, [service.identity("ann").signer])


# --- the simulated sealing key ----------------------------------------------------------------


@pytest.mark.parametrize("register", sorted(TDX_REGISTERS))
def test_seal_key_differs_where_any_register_does(machines: Machines, register: str) -> None:
    """Another role, library or configuration on the same machine opens no store of the service."""
    registers = dict.fromkeys(TDX_REGISTERS, bytes(48)) | {"mrtd": MRTD}
    platform = machines.simulated.platform
    changed = {**registers, register: b"\1" + registers[register][1:]}
    assert changed != registers

    keys = {platform.attester(item).seal_key("store") for item in (registers, changed)}
    assert len(keys) == 2
    assert platform.attester(dict(registers)).seal_key("store") in keys


def test_seal_key_differs_under_debug_and_by_what_is_sealed(machines: Machines) -> None:
    """A debugger's environment derives nothing of the real one's, nor one label another's."""
    registers = dict.fromkeys(TDX_REGISTERS, bytes(48)) | {"mrtd": MRTD}
    keys = {
        hardware.platform.attester(registers, debug=debug).seal_key(label)
        for hardware in (machines.simulated, machines.real)
        for debug in (False, True)
        for label in ("store", "other")
    }

    assert len(keys) == 8


def test_registers_that_changed_places_give_another_seal_key(machines: Machines) -> None:
    """The same bytes in two other registers are another environment."""
    registers = dict.fromkeys(TDX_REGISTERS, bytes(48))
    platform = machines.simulated.platform
    first, second = ({**registers, name: MRTD} for name in ("rtmr0", "rtmr1"))

    assert platform.attester(first).seal_key("store") != platform.attester(second).seal_key("store")
