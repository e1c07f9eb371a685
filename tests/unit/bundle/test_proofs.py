# SPDX-License-Identifier: Apache-2.0
"""Bundles over logs with renewals, automated votes, proven channels and accepted services."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.board import (
    MEMBERS,
    MRTD,
    OTHER_MRTD,
    Hardware,
    Person,
    World,
    digest,
    member_json,
    policy_json,
    seed,
    service_json,
    terms,
    variant_json,
)
from tests.support.gate import decide

from accord.board import Ballot, Choice, Enactment, InstanceToken, ReplaceService
from accord.bundle import (
    CHECKPOINT,
    DERIVED,
    BundleFiles,
    BundleReport,
    derived_files,
    entry_name,
    named_evidence,
    object_name,
    verify_bundle,
)
from accord.encoding import Digest, Fields, base64_encode
from accord.errors import (
    BundleContentError,
    BundleFileError,
    BundleWitnessError,
    EnactmentInvalidError,
    EvidenceMissingError,
    MalformedError,
)
from accord.evidence import Binding, Evidence, Purpose, _roots
from accord.ledger import Ledger, add_signatures, cosign, sign_checkpoint
from accord.policy import Assurance, AttestationVariant, Network
from accord.release import (
    Challenges,
    Importer,
    Release,
    Renewal,
    SecretExport,
    ServiceStart,
    ballot_binding,
    log_origin,
    service_binding,
)

EXPORTER = seed("this connection")
BOT_MRTD = b"\x07" * 48


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


class Scene:
    """A board whose every claim of an environment has evidence behind it."""

    def __init__(self, hardware: Hardware, service: Any = None, /, **changes: Any) -> None:
        self.hardware = hardware
        self.objects: dict[str, bytes] = {}
        self.world = World.founded(anchors=[hardware.vendor.root_digest], **changes)
        self.challenges = Challenges(secrets.token_bytes)
        self.start()
        for name in ("ann/records", "bob/records", "lab/code"):
            self.world.offer(name, terms=terms())
        self.policy = policy_json(services={"train": service or service_json()})

    def keep(self, evidence: Evidence) -> Evidence:
        self.objects[object_name(evidence.digest)] = evidence.to_bytes()
        return evidence

    def attest(self, binding: Binding, **changes: Any) -> Digest:
        return self.keep(self.hardware.attest(binding, **changes)).digest

    def start(self, **changes: Any) -> None:
        world, nonce = self.world, secrets.token_bytes(32)
        binding = service_binding(world.board, world.keyset, nonce, Purpose.LOG)
        start = ServiceStart(world.board, nonce, world.keyset, self.attest(binding, **changes))
        world.say("service-start", start.to_json(), world.service.signer)

    def enact(self) -> None:
        self.world.enact_policy(self.policy)

    def release(self, worth: Assurance = Assurance.SIMULATED, **extras: Any) -> Release:
        nonce, _ = self.challenges.issue(self.world.board, Purpose.RELEASE, now=self.world.time)
        request = self.hardware.request(self.world, nonce, **extras)
        self.keep(request.evidence)
        release = decide(
            self.world.machine,
            request,
            challenges=self.challenges,
            service_assurance=worth,
            now=self.world.time,
            entropy=secrets.token_bytes,
            exporter=extras.get("exporter"),
        ).release
        self.world.say("release", release.to_json(), self.world.service.signer)
        return release

    def renew(
        self, release: Release, *, assurance: Assurance = Assurance.SIMULATED, **changes: Any
    ) -> Renewal:
        until = self.world.time + timedelta(seconds=60)
        renewal = Renewal(
            self.world.board,
            release.run,
            secrets.token_bytes(32),
            digest(""),
            assurance,
            until,
        )
        evidence = self.attest(renewal.binding(release.keyset), **changes)
        renewal = replace(renewal, evidence=evidence)
        self.world.say("renewal", renewal.to_json(), self.world.service.signer)
        return renewal

    def bundle(self, release: Release, path: Path) -> Path:
        files = {entry_name(entry.index): entry.to_bytes() for entry in self.world.log}
        ledger = Ledger.from_entries(files.values())
        named = {object_name(item) for item in named_evidence(ledger.entries())}
        assert named == self.objects.keys()
        note = sign_checkpoint(
            ledger.checkpoint(log_origin(self.world.board)),
            name=log_origin(self.world.board),
            signer=self.world.service.signer,
        )
        files[CHECKPOINT] = note
        record = self.world.machine.runs.get(release.run)
        if record is not None:
            files |= derived_files(ledger, self.world.machine, note, record)
        BundleFiles(self.world.board, release.run, {**files, **self.objects}).write(path)
        return path

    def report(self, release: Release, path: Path) -> BundleReport:
        return verify_bundle(self.bundle(release, path), genesis=self.world.board)

    def refused(self, release: Release, path: Path, match: str) -> None:
        with pytest.raises(BundleContentError, match=match):
            self.report(release, path)


def facts(report: BundleReport) -> Mapping[str, str]:
    return dict(fact.split(maxsplit=1) for fact in report.facts)


# --- channels and second factors -------------------------------------------------------------


@pytest.mark.parametrize("exporter", [None, EXPORTER])
def test_channel_and_factors_are_reported(
    hardware: Hardware, tmp_path: Path, exporter: bytes | None
) -> None:
    """An auditor sees how the secrets were asked for, and what was needed beside evidence."""
    scene = Scene(hardware, service_json(singleton=True))
    scene.enact()
    token, world = secrets.token_bytes(32), scene.world
    issued = InstanceToken(
        world.board,
        "ann",
        "train",
        "train",
        hashlib.sha256(token).digest(),
        world.time + timedelta(hours=1),
    )
    world.say("instance-token", issued.to_json(), "ann")
    release = scene.release(token=token, exporter=exporter)
    world.finish(release)
    report = scene.report(release, tmp_path / "bundle")
    shown: Any = report.to_json()

    level = "L1" if exporter is None else "L2"
    assert (shown["channel"], shown["second_factors"]) == (level, ["instance token"])
    assert facts(report)["channel"].startswith(level)
    assert facts(report)["factors"] == "instance token"


def test_release_over_another_connection_than_its_evidence_is_refused(
    hardware: Hardware, tmp_path: Path
) -> None:
    """A trust service that claims level 2 for evidence of level 1 is found out."""
    scene = Scene(hardware)
    scene.enact()
    world = scene.world
    honest = scene.release()
    nonce = secrets.token_bytes(32)
    forged = replace(
        honest,
        run="run-" + "1" * 32,
        nonce=nonce,
        uses=tuple(replace(use, number=2) for use in honest.uses),
    )
    evidence = scene.attest(forged.binding)
    forged = replace(forged, evidence=evidence, exporter=EXPORTER)
    world.say("release", forged.to_json(), world.service.signer)
    world.finish(honest)

    scene.refused(honest, tmp_path / "bundle", "ATT")


def test_secrets_and_an_open_network_are_reported(hardware: Hardware, tmp_path: Path) -> None:
    """What was handed out, on whose word, and that the program could send anything away."""
    scene = Scene(hardware)
    for name in ("ann/records", "lab/code"):
        scene.world.offer(name, terms=terms(network=Network.OPEN))
    service = service_json(environment={"P": "{{ accord.password }}"}, network="open")
    scene.policy = policy_json(secrets={"password": {"kind": "ascii"}}, services={"train": service})
    scene.enact()
    release = scene.release()
    scene.world.finish(release)
    report = scene.report(release, tmp_path / "bundle")
    shown: Any = report.to_json()

    assert facts(report)["secrets"] == "password of policy:train"
    assert shown["secrets"][0]["name"] == "password"
    assert any("let the program use the network" in point for point in report.not_proven)


# --- renewals --------------------------------------------------------------------------------


def test_evidence_of_renewals_is_verified(hardware: Hardware, tmp_path: Path) -> None:
    """Good ones are accepted; each is needed."""
    scene = Scene(hardware, service_json(lease_s=60))
    scene.enact()
    release = scene.release()
    renewal = scene.renew(release)
    scene.world.finish(release)
    assert scene.report(release, tmp_path / "good").entries == len(scene.world.log)
    path = scene.bundle(release, tmp_path / "bad")
    made = BundleFiles.read(path)
    files = {k: v for k, v in made.files.items() if k != object_name(renewal.evidence)}
    replace(made, files=files).write(path)

    with pytest.raises(BundleContentError, match="is missing"):
        verify_bundle(path)


def test_renewal_for_another_environment_is_refused(hardware: Hardware, tmp_path: Path) -> None:
    """A trust service that let a changed program go on is found out."""
    scene = Scene(hardware, service_json(lease_s=60))
    scene.enact()
    release = scene.release()
    scene.renew(release, mrtd=OTHER_MRTD)
    scene.world.finish(release)

    scene.refused(release, tmp_path / "bundle", "mrtd")


def test_renewal_that_claims_another_assurance_is_refused(
    hardware: Hardware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terms were held against what the log says, so it must be what the evidence is worth."""
    roots = MappingProxyType({hardware.vendor.root_digest: "stands for a vendor of hardware"})
    monkeypatch.setattr(_roots, "PRODUCTION_ROOTS", roots)
    real = [variant_json(simulated=False)]
    scene = Scene(hardware, service_json(lease_s=60, attestation=real), service=real)
    scene.enact()
    honest, other = scene.release(Assurance.CVM), scene.release(Assurance.CVM)
    scene.renew(honest, assurance=Assurance.CVM)
    scene.world.finish(honest)
    assert scene.report(honest, tmp_path / "honest").statement.assurance is Assurance.CVM

    scene.renew(other, assurance=Assurance.SIMULATED)
    scene.world.finish(other)
    scene.refused(other, tmp_path / "bundle", "a renewal of .* claims assurance simulated")


def test_renewal_with_evidence_for_another_run_is_refused(
    hardware: Hardware, tmp_path: Path
) -> None:
    """The binding names the run."""
    scene = Scene(hardware, service_json(lease_s=60))
    scene.enact()
    first, second = scene.release(), scene.release()
    until = scene.world.time + timedelta(seconds=60)
    renewal = Renewal(
        scene.world.board,
        first.run,
        secrets.token_bytes(32),
        digest(""),
        Assurance.SIMULATED,
        until,
    )
    evidence = scene.attest(replace(renewal, run=second.run).binding(second.keyset))
    renewal = replace(renewal, evidence=evidence)
    scene.world.say("renewal", renewal.to_json(), scene.world.service.signer)
    scene.world.finish(first)

    scene.refused(first, tmp_path / "bundle", "ATT")


# --- which trust service is accepted ---------------------------------------------------------

RULES: Any = {
    "policy.enact": {"all": ["affected_owners", "role:result-user"]},
    "service.replace": "member:lab",
}


def accept(scene: Scene, mrtd: bytes) -> None:
    variant = AttestationVariant.from_fields(Fields(variant_json(mrtd=mrtd), "service"))
    proposal = scene.world.propose(actions=(ReplaceService((variant,)),))
    scene.world.vote("lab", proposal)
    scene.world.enact(proposal)


def test_start_is_judged_by_the_charter_of_its_time(hardware: Hardware, tmp_path: Path) -> None:
    """The next version of the service is accepted after the board said so; the old one before."""
    scene = Scene(hardware, constitution=RULES)
    scene.enact()
    accept(scene, OTHER_MRTD)
    scene.start(mrtd=OTHER_MRTD)
    release = scene.release()
    scene.world.finish(release)
    report = scene.report(release, tmp_path / "bundle")

    assert report.service_claims.measurements["mrtd"] == OTHER_MRTD
    assert report.claims.measurements["mrtd"] == MRTD


@pytest.mark.parametrize("early", [True, False])
def test_service_that_the_board_did_not_accept_then_is_refused(
    hardware: Hardware, tmp_path: Path, *, early: bool
) -> None:
    """Neither the new version before the vote, nor the old one after it."""
    scene = Scene(hardware, constitution=RULES)
    scene.enact()
    if early:
        scene.start(mrtd=OTHER_MRTD)
    accept(scene, OTHER_MRTD)
    scene.start(mrtd=OTHER_MRTD if early else MRTD)
    release = scene.release()
    scene.world.finish(release)

    scene.refused(release, tmp_path / "bundle", "mrtd")


# --- automated members -----------------------------------------------------------------------


def machine_ballot(
    scene: Scene, proposal: Digest, *, mrtd: bytes = BOT_MRTD, **changes: Any
) -> None:
    """The vote of a checker that runs inside a TEE."""
    world, nonce = scene.world, secrets.token_bytes(32)
    voted: dict[str, Any] = {"choice": "approve", "sequence": 1, **changes}
    binding = ballot_binding(
        world.board, proposal, key=Person.of("bot").signer.verify_key, nonce=nonce, **voted
    )
    evidence = scene.attest(binding, mrtd=mrtd)
    ballot = Ballot(world.board, proposal, "bot", Choice.APPROVE, 1, evidence, nonce)
    world.say("ballot", ballot.to_json(), "bot")


@pytest.fixture
def automated(hardware: Hardware) -> Scene:
    """A board with a member that is a program."""
    bot = member_json("bot", "checker") | {"attestation": [variant_json(mrtd=BOT_MRTD)]}
    members = [member_json(name, role) for name, role in MEMBERS.items()]
    rules = {"policy.enact": {"all": ["affected_owners", "role:checker"]}}
    return Scene(hardware, members=[*members, bot], constitution=rules)


def enact_with_bot(scene: Scene, **changes: Any) -> Release:
    proposal = scene.world.propose(scene.policy)
    for name in ("ann", "lab"):
        scene.world.vote(name, proposal)
    machine_ballot(scene, proposal, **changes)
    scene.world.enact(proposal)
    release = scene.release()
    scene.world.finish(release)
    return release


def test_vote_of_a_program_is_verified_offline(automated: Scene, tmp_path: Path) -> None:
    """Its evidence is in the bundle, and names the vote."""
    release = enact_with_bot(automated)

    assert "bot" in facts(automated.report(release, tmp_path / "bundle"))["consent"]


@pytest.mark.parametrize(
    "change", [{"mrtd": OTHER_MRTD}, {"choice": "reject"}, {"sequence": 2}], ids=str
)
def test_vote_of_another_program_or_about_something_else_is_refused(
    automated: Scene, tmp_path: Path, change: dict[str, Any]
) -> None:
    """A trust service that counted it is found out."""
    release = enact_with_bot(automated, **change)

    automated.refused(release, tmp_path / "bundle", "mrtd|ATT")


def test_program_cannot_vote_like_a_person_nor_a_person_like_a_program(automated: Scene) -> None:
    """Evidence is demanded of the one and means nothing of the other."""
    world = automated.world
    proposal = world.propose(automated.policy)
    for evidence, challenge in ((None, None), (digest("evidence"), None), (None, seed("n"))):
        ballot = Ballot(world.board, proposal, "bot", Choice.APPROVE, 1, evidence, challenge)
        with world.refuses(EvidenceMissingError):
            world.say("ballot", ballot.to_json(), "bot")
    ballot = Ballot(world.board, proposal, "ann", Choice.APPROVE, 1, digest("evidence"), seed("n"))
    with world.refuses(MalformedError, "ann is not automated"):
        world.say("ballot", ballot.to_json(), "ann")


# --- public parts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("public", "match"),
    [
        ({"key": "PEM", "authority": "PEM"}, None),
        ({"key": "PEM"}, "exactly the public parts of train"),
        ({"authority": "PEM"}, "does not show"),
        ({}, "does not show"),
        ({"key": "PEM", "authority": "PEM", "word": "secret"}, "does not show"),
    ],
)
def test_enactment_shows_every_public_part(
    hardware: Hardware, tmp_path: Path, public: dict[str, str], match: str | None
) -> None:
    """A key that only some get to see could be another one for each of them."""
    scene = Scene(hardware)
    scene.policy |= {
        "secrets": {
            "key": {"kind": "key", "algorithm": "ed25519"},
            "word": {"kind": "ascii"},
        },
        "authority": True,
    }
    proposal = scene.world.propose(scene.policy)
    for name in MEMBERS:
        scene.world.vote(name, proposal)
    enactment = Enactment(scene.world.board, proposal, {"train": public} if public else {})
    if match is not None:
        with scene.world.refuses(EnactmentInvalidError, match):
            scene.world.say("enactment", enactment.to_json(), scene.world.service.signer)
        return
    scene.world.say("enactment", enactment.to_json(), scene.world.service.signer)
    release = scene.release()
    scene.world.finish(release)
    assert scene.report(release, tmp_path / "bundle").record.release.run == release.run


def exporting(hardware: Hardware, **attested: Any) -> tuple[Scene, SecretExport]:
    """A secret of the job's policy went to another trust service, and one more policy uses it."""
    scene = Scene(hardware)
    peer = Person.of("other service").keyset()
    named = {"board": digest("other board"), "log_key": base64_encode(peer.verify_key.raw)}
    scene.policy |= {
        "secrets": {"word": {"kind": "ascii"}},
        "exports": [
            {"secret": "word", "to": "far", "service": named},
            {"secret": "word", "to": "near"},
        ],
    }
    scene.enact()
    policy = scene.world.machine.board.policy("train")
    assert policy is not None
    export = SecretExport(
        board=scene.world.board,
        policy="train",
        policy_digest=policy.digest,
        secret="word",
        importer=Importer(digest("other board"), "far", digest("version")),
        keyset=peer,
        nonce=seed("nonce"),
        evidence=digest("evidence"),
    )
    export = replace(export, evidence=scene.attest(export.binding, **attested))
    scene.world.say("export", export.to_json(), scene.world.service.signer)
    return scene, export


def test_secrets_that_went_to_other_services_are_proven(hardware: Hardware, tmp_path: Path) -> None:
    """To which policy, of which board, at whose key; what becomes of it there is not proven."""
    scene, export = exporting(hardware)
    index = len(scene.world.log) - 1
    release = scene.release()
    scene.world.finish(release)
    report = scene.report(release, tmp_path / "bundle")

    [shared] = report.shared
    assert (shared.secret, shared.entry, shared.policy) == ("word", index, "far")
    assert (shared.board, shared.service) == (digest("other board"), export.log_key.key_id)
    assert f"shared     {shared.words}" in report.facts
    assert f"at {export.log_key.key_id} (entry {index})" in shared.words
    assert (
        f"what other trust services do with the secrets that they imported: entries {index}"
        in report.not_proven
    )
    document = report.to_json()
    assert isinstance(document, dict)
    assert document["shared"] == [shared.to_json()]


def test_a_policy_that_shares_nothing_is_said_to(hardware: Hardware, tmp_path: Path) -> None:
    """By this log: there is nothing to be listed."""
    scene = Scene(hardware)
    scene.enact()
    release = scene.release()
    scene.world.finish(release)
    report = scene.report(release, tmp_path / "bundle")
    assert report.shared == ()
    assert "shared     no secret of train, by this log" in report.facts


def test_an_export_to_code_that_the_board_does_not_trust_is_refused(
    hardware: Hardware, tmp_path: Path
) -> None:
    """The evidence is genuine and bound, and of another program."""
    scene, _ = exporting(hardware, mrtd=BOT_MRTD)
    release = scene.release()
    scene.world.finish(release)
    scene.refused(release, tmp_path / "bundle", "ATT")


def test_an_export_with_evidence_of_other_keys_is_refused(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Whoever got the secret is who the entry names, or the log does not hold."""
    scene, export = exporting(hardware)
    keyset = replace(export.keyset, seal_key=Person.of("somebody").seal_key)
    forged = replace(export, keyset=keyset, nonce=seed("another"))
    scene.world.say("export", forged.to_json(), scene.world.service.signer)
    release = scene.release()
    scene.world.finish(release)
    scene.refused(release, tmp_path / "bundle", "ATT")


def test_secrets_that_another_policy_of_the_board_got_are_listed(
    hardware: Hardware, tmp_path: Path
) -> None:
    """With the run that got them."""
    scene, _ = exporting(hardware)
    scene.world.offer("ann/extra", terms=terms(policies=("near",)))
    extra = {"asset": "ann/extra", "tag": digest("ann/extra"), "at": "/in/extra"}
    near = policy_json(
        name="near",
        services={
            "train": service_json(inputs=[extra], environment={"WORD": "{{ accord.theirs }}"})
        },
        secrets={"theirs": {"kind": "import", "policy": "train", "secret": "word"}},
    )
    scene.world.enact_policy(near)
    scene.release(policy="near")
    release = scene.release()
    scene.world.finish(release)
    report = scene.report(release, tmp_path / "bundle")
    assert [(item.secret, item.policy, item.service is None) for item in report.shared] == [
        ("word", "far", False),
        ("theirs", "near", True),
    ]
    assert "theirs to near of this board" in report.shared[1].words


# --- the folder ------------------------------------------------------------------------------


def test_run_that_is_not_over_or_not_there_has_no_proof(hardware: Hardware, tmp_path: Path) -> None:
    """A bundle is of one finished run."""
    scene = Scene(hardware)
    scene.enact()
    release = scene.release()
    scene.refused(release, tmp_path / "bundle", "has not ended")
    scene.world.finish(release)
    other = replace(release, run="run-" + "2" * 32)

    with pytest.raises(BundleFileError, match="has no run"):
        scene.report(other, tmp_path / "other")


def test_service_that_never_started_proves_nothing(hardware: Hardware, tmp_path: Path) -> None:
    """A log without one is a list of wishes."""
    scene = Scene(hardware)
    scene.enact()
    release = scene.release()
    scene.world.finish(release)
    made = BundleFiles.read(scene.bundle(release, tmp_path / "bundle"))
    files = {entry_name(0): made.files[entry_name(0)], CHECKPOINT: made.files[CHECKPOINT]}
    replace(made, files=files).write(tmp_path / "cut")

    with pytest.raises(BundleContentError, match="no trust service ever started"):
        verify_bundle(tmp_path / "cut")
    replace(made, files={CHECKPOINT: made.files[CHECKPOINT]}).write(tmp_path / "empty")
    with pytest.raises(BundleContentError, match="entries are missing"):
        verify_bundle(tmp_path / "empty")


def test_cosignatures_of_nobody_are_refused_and_a_quorum_is_needed(
    hardware: Hardware, tmp_path: Path
) -> None:
    """Every line of the checkpoint is by the log or by a witness of the charter."""
    people = {name: Person.of(f"witness {name}") for name in ("w-a", "w-b", "w-c")}
    witnesses = {
        "witnesses": [
            {
                "name": name,
                "group": name,
                "key": base64_encode(person.signer.verify_key.raw),
                "url": "http://127.0.0.1:1",
            }
            for name, person in people.items()
        ],
        "quorum": 2,
        "faulty": 0,
    }
    scene = Scene(hardware, freshness="witnessed", witnesses=witnesses)
    scene.enact()
    release = scene.release()
    scene.world.finish(release)
    plain = BundleFiles.read(scene.bundle(release, tmp_path / "plain"))

    def report(*signers: tuple[str, Person]) -> BundleReport:
        note = plain.files[CHECKPOINT]
        lines = [cosign(note, name=n, signer=p.signer, time=1) for n, p in signers]
        note = add_signatures(note, lines)
        world = scene.world
        ledger = Ledger.from_entries(entry.to_bytes() for entry in world.log)
        record = world.machine.runs[release.run]
        derived = derived_files(ledger, world.machine, note, record)
        files = {**plain.files, **derived, CHECKPOINT: note}
        replace(plain, files=files).write(tmp_path / "bundle")
        return verify_bundle(tmp_path / "bundle", genesis=world.board)

    a, b, c = people.items()
    assert report(a, b).cosigned == ("w-a", "w-b")
    assert not any("solo" in point for point in report(a, b, c).not_proven)
    with pytest.raises(BundleWitnessError, match="w-a"):
        report(a)
    with pytest.raises(BundleContentError, match="LED"):
        report(a, b, ("w-d", Person.of("stranger")))
    with pytest.raises(BundleContentError):
        report(a, ("w-b", Person.of("stranger")))


def test_every_derived_file_must_follow_from_the_log(hardware: Hardware, tmp_path: Path) -> None:
    """Each is compared byte by byte, whatever the manifest says."""
    scene = Scene(hardware)
    scene.enact()
    release = scene.release()
    scene.world.finish(release)
    made = BundleFiles.read(scene.bundle(release, tmp_path / "bundle"))
    for name in DERIVED:
        for data in (None, made.files[name] + b" ", made.files[name][:-1]):
            files = {key: value for key, value in made.files.items() if key != name}
            forged = files if data is None else {**files, name: data}
            replace(made, files=forged).write(tmp_path / "forged")
            with pytest.raises(BundleFileError, match="follows from the log"):
                verify_bundle(tmp_path / "forged")
