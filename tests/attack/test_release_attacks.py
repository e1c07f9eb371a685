# SPDX-License-Identifier: Apache-2.0
"""Whoever holds the host, the network or a genuine TEE against the release gate and the log.

The attacker has real (simulated) hardware of the right vendor and can run anything on it; what he
wants is a key that an owner did not mean him to have, or a log that says otherwise.
"""

import secrets
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.board import (
    NOW,
    OTHER_MRTD,
    Hardware,
    Person,
    World,
    digest,
    policy_json,
    replay,
    seed,
    service_json,
    terms,
    variant_json,
)
from tests.support.gate import decide

from accord.board import AssetKind, ExecutionStop
from accord.encoding import Digest, EnvelopeSignature, format_time
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    AppraisalError,
    AssetChangedError,
    BindingMismatchError,
    ConsentWithdrawnError,
    DebugRefusedError,
    DuplicateStatementError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    ExecutionStoppedError,
    LeaseEndedError,
    LogKeyError,
    MalformedError,
    NonceError,
    NoPolicyError,
    PolicyContentError,
    PolicyExpiredError,
    ReaderChangedError,
    ReleaseInvalidError,
    SealedMessageError,
    SignatureInvalidError,
    TermsError,
    UnknownRunError,
    UnknownServiceError,
    UnsupportedFormatError,
    UsesExhaustedError,
    WrongBoardError,
)
from accord.evidence import Binding, Evidence, Purpose, Role
from accord.identity import open_sealed, seal
from accord.policy import Assurance, Channel, Policy
from accord.release import (
    GRANT_PURPOSE,
    AssetUse,
    Challenges,
    Decision,
    LeaseRequest,
    Release,
    ReleaseRequest,
    Renewal,
    RunOutcome,
    SecretUse,
    grant_context,
    lease_binding,
    renew,
    service_binding,
    shield_binding,
    used_assets,
)


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


class Gate:
    """A board with two services in force, and the gate in front of its secrets."""

    def __init__(self, hardware: Hardware, *, lease_s: int | None = None, **variant: Any) -> None:
        lease = {} if lease_s is None else {"lease_s": lease_s}
        service = service_json(attestation=[variant_json(**variant)], **lease)
        document = policy_json(services={"train": service, "test": service})
        self.hardware = hardware
        self.world = World.enacted(document, anchors=[hardware.vendor.root_digest])
        self.challenges = Challenges(secrets.token_bytes)

    @classmethod
    def over(cls, hardware: Hardware, world: World) -> "Gate":
        """The gate of a board that is there already."""
        gate = cls(hardware)
        gate.world = world
        return gate

    def nonce(self, purpose: Purpose = Purpose.RELEASE, board: Digest | None = None) -> bytes:
        return self.challenges.issue(board or self.world.board, purpose, now=self.world.time)[0]

    def decide(self, request: ReleaseRequest) -> Decision:
        return decide(
            self.world.machine,
            request,
            challenges=self.challenges,
            now=self.world.time,
            service_assurance=Assurance.ENCLAVE,
            entropy=secrets.token_bytes,
        )

    def request(self, nonce: bytes | None = None, **changes: Any) -> ReleaseRequest:
        return self.hardware.request(self.world, nonce or self.nonce(), **changes)

    def release(self, **changes: Any) -> Release:
        release = replace(self.decide(self.request()).release, **changes)
        self.world.say("release", release.to_json(), self.world.service.signer)
        return release

    def lease_request(self, run: Release, *, by: str = "shield") -> LeaseRequest:
        nonce = self.nonce(Purpose.LEASE)
        evidence = self.hardware.attest(lease_binding(run.board, run.run, run.keyset, nonce))
        signer = Person.of(by).signer
        return LeaseRequest.make(
            board=run.board, run=run.run, nonce=nonce, evidence=evidence, signer=signer
        )

    def renew(self, request: LeaseRequest) -> Renewal:
        renewal, _ = renew(
            self.world.machine,
            request,
            challenges=self.challenges,
            service_assurance=Assurance.ENCLAVE,
            now=self.world.time,
            exporter=None,
        )
        return renewal

    def renewal(self, run: Release, *, by: str = "shield") -> Renewal:
        return self.renew(self.lease_request(run, by=by))

    def stop(self, scope: str) -> None:
        world = self.world
        statement = ExecutionStop(world.board, "bob", scope, "it leaks", world.time)
        world.say("execution-stop", statement.to_json(), "bob")

    def refuses(self, error: type[AccordError], request: ReleaseRequest, match: str = "") -> None:
        with self.world.refuses(error, match or None):
            self.decide(request)


@pytest.fixture
def gate(hardware: Hardware) -> Gate:
    return Gate(hardware)


# --- nonces ----------------------------------------------------------------------------------


def test_replayed_request_is_refused(gate: Gate) -> None:
    """Whoever recorded a good request cannot send it again."""
    request = gate.request()
    gate.decide(request)

    gate.refuses(NonceError, request, "used before")


def test_refused_request_cannot_be_tried_again(gate: Gate) -> None:
    """A nonce is used up by the first attempt, also by a bad one."""
    nonce = gate.nonce()
    gate.refuses(BindingMismatchError, replace(gate.request(nonce), keyset=Person.of("x").keyset()))

    gate.refuses(NonceError, gate.request(nonce), "used before")


@pytest.mark.parametrize("nonce", [bytes(32), seed("made up")])
def test_nonce_of_the_attackers_choice_is_refused(gate: Gate, nonce: bytes) -> None:
    """Evidence recorded earlier, for a nonce the attacker chose, proves nothing about now."""
    gate.refuses(NonceError, gate.request(nonce), "never issued here")


def test_nonce_of_another_board_or_purpose_is_refused(gate: Gate) -> None:
    """One service hosts many boards; their nonces do not mix."""
    gate.refuses(NonceError, gate.request(gate.nonce(board=digest("b"))), "another board")
    gate.refuses(NonceError, gate.request(gate.nonce(Purpose.CHANNEL)), "another board or purpose")


def test_hoarded_nonce_dies(gate: Gate) -> None:
    """Evidence cannot be prepared and kept for later."""
    request = gate.request()
    gate.world.time = NOW + timedelta(minutes=2)

    gate.refuses(NonceError, request, "expired")


# --- evidence of something else --------------------------------------------------------------


def test_key_substitution_is_refused(gate: Gate) -> None:
    """The man in the middle keeps the evidence and puts in his own keys (each of them)."""
    request = gate.request()
    honest, mallory = request.keyset, Person.of("mallory").keyset()
    for keyset in (
        mallory,
        replace(honest, seal_key=mallory.seal_key),
        replace(honest, verify_key=mallory.verify_key),
        replace(honest, tls_spki_sha256=bytes(32)),
    ):
        again = replace(gate.request(), keyset=keyset)
        gate.refuses(BindingMismatchError, again, "replayed|report data")


def test_evidence_for_another_service_or_policy_is_refused(gate: Gate) -> None:
    """A shield that asked for one service is not released another's secrets."""
    gate.refuses(BindingMismatchError, replace(gate.request(), service="test"))
    gate.refuses(BindingMismatchError, replace(gate.request(), policy="other"))


def test_evidence_for_another_board_is_refused(gate: Gate) -> None:
    """The same shield, attesting to a board of the attacker's."""
    other = World.enacted(name="other", anchors=[gate.hardware.vendor.root_digest])
    nonce = gate.nonce()
    foreign = gate.hardware.request(other, nonce)

    gate.refuses(WrongBoardError, foreign, other.board)
    gate.refuses(BindingMismatchError, replace(foreign, board=gate.world.board))


def test_evidence_for_another_nonce_is_refused(gate: Gate) -> None:
    """Old evidence under a fresh nonce: replay."""
    old = gate.request()

    gate.refuses(BindingMismatchError, replace(old, nonce=gate.nonce()))


@pytest.mark.parametrize("purpose", [Purpose.CHANNEL, Purpose.LOG])
@pytest.mark.parametrize("role", list(Role))
def test_evidence_for_another_purpose_or_role_is_refused(
    gate: Gate, purpose: Purpose, role: Role
) -> None:
    """Domains are separate even where everything else agrees."""

    def relabelled(binding: Binding) -> Evidence:
        return gate.hardware.attest(replace(binding, purpose=purpose, role=role))

    gate.refuses(BindingMismatchError, gate.request(attest=relabelled))


def test_reflected_evidence_of_the_service_is_refused(gate: Gate) -> None:
    """The trust service's own evidence, sent back to it as if it were a shield's."""
    nonce = gate.nonce()
    keyset = gate.world.service.keyset()
    for purpose in (Purpose.CHANNEL, Purpose.LOG, Purpose.RELEASE):
        nonce = gate.nonce()
        evidence = gate.hardware.attest(service_binding(gate.world.board, keyset, nonce, purpose))
        reflected = ReleaseRequest(gate.world.board, "train", "train", keyset, nonce, evidence)
        gate.refuses(BindingMismatchError, reflected)


def test_relayed_attestation_gives_the_relay_nothing(gate: Gate) -> None:
    """A relay may pass a genuine request on; the grant is sealed to the shield's own key."""
    request = gate.request()
    release = gate.decide(request).release
    context = grant_context(release.board, release.nonce, release.keyset)
    grant = seal(b"keys", release.keyset.seal_key, purpose=GRANT_PURPOSE, context=context)

    with pytest.raises(SealedMessageError):
        open_sealed(
            grant,
            Person.of("mallory").seal_private_key,
            purpose=GRANT_PURPOSE,
            context=context,
        )
    key = Person.of("shield").seal_private_key
    assert open_sealed(grant, key, purpose=GRANT_PURPOSE, context=context) == b"keys"


def test_grant_of_one_request_does_not_open_as_another(gate: Gate) -> None:
    """A recorded grant cannot be played to a restarted shield with the same key."""
    one, two = gate.decide(gate.request()).release, gate.decide(gate.request()).release
    contexts = [grant_context(r.board, r.nonce, r.keyset) for r in (one, two)]
    grant = seal(b"keys", one.keyset.seal_key, purpose=GRANT_PURPOSE, context=contexts[0])

    with pytest.raises(SealedMessageError):
        open_sealed(
            grant,
            Person.of("shield").seal_private_key,
            purpose=GRANT_PURPOSE,
            context=contexts[1],
        )


# --- environments ----------------------------------------------------------------------------


def test_other_code_is_refused(gate: Gate) -> None:
    """Genuine hardware that runs something else; the refusal says what it found."""
    request = gate.request(attest=lambda b: gate.hardware.attest(b, mrtd=OTHER_MRTD))

    gate.refuses(AppraisalError, request, f"mrtd is {OTHER_MRTD.hex()}")


def test_debug_environment_is_refused(gate: Gate) -> None:
    """The right code under a debugger."""
    request = gate.request(attest=lambda b: gate.hardware.attest(b, debug=True))

    gate.refuses(DebugRefusedError, request)


def test_simulation_is_no_hardware(hardware: Hardware) -> None:
    """A policy that does not say simulated refuses it, whatever the board pins."""
    gate = Gate(hardware, simulated=False)

    gate.refuses(AppraisalError, gate.request(), "root_kind is test, expected production")


def test_root_of_the_attacker_is_refused(
    gate: Gate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A complete, consistent simulation under another root."""
    mallory = Hardware.make(tmp_path_factory.mktemp("mallory"))

    gate.refuses(AnchorUnknownError, gate.request(attest=mallory.attest))


def test_old_collateral_is_refused(gate: Gate) -> None:
    """The operator withholds a revocation by serving last year's lists."""
    gate.world.time = NOW + timedelta(days=60)

    gate.refuses(EvidenceExpiredError, gate.request())


def test_every_part_of_a_quote_counts(gate: Gate) -> None:
    """A flipped bit anywhere in what is signed is refused."""
    for at, error in (
        (0, EvidenceMalformedError),  # version
        (48 + 136, EvidenceSignatureError),  # MRTD
        (48 + 520, EvidenceSignatureError),  # report data
        (640, EvidenceSignatureError),  # the signature itself
        (710, EvidenceSignatureError),  # the attestation key
    ):
        request = gate.request()
        blob = bytearray(request.evidence.blob)
        blob[at] ^= 1
        evidence = replace(request.evidence, blob=bytes(blob))
        gate.refuses(error, replace(request, evidence=evidence))


# --- consent ---------------------------------------------------------------------------------


def test_stranger_learns_nothing_about_the_board(gate: Gate) -> None:
    """Whether a policy exists is told to attested environments alone."""
    for policy in ("train", "nothing"):
        request = gate.request(policy=policy)
        forged = replace(request, keyset=Person.of("mallory").keyset())
        gate.refuses(BindingMismatchError, forged)
    gate.refuses(NoPolicyError, gate.request(policy="nothing"))
    gate.refuses(UnknownServiceError, gate.request(service="nothing"))


def test_retired_version_does_not_ride_along(world: World) -> None:
    """Two inputs of one asset, one of them long replaced, for one use and one consent."""
    inputs = [
        {"asset": "ann/records", "tag": digest(f"ann/records{old}"), "at": f"/in/records{old}"}
        for old in (" of last year", "")
    ]
    with pytest.raises(PolicyContentError, match="an asset appears twice"):
        Policy.from_json(policy_json(services={"train": service_json(inputs=inputs)}))

    policy = Policy.from_json(policy_json())
    service = policy.services["train"]
    two = replace(service, inputs=(replace(service.inputs[0], tag=digest("old")), *service.inputs))
    with pytest.raises(PolicyContentError, match="two versions of ann/records"):
        used_assets(policy, two)


def test_name_of_a_reader_is_not_consent_to_new_keys(gate: Gate) -> None:
    """The board lets the clinic change its keys; what owners meant were the keys they knew."""
    world = gate.world
    run, prepared = gate.release(), gate.decide(gate.request()).release
    board = world.machine.board
    taken = replace(
        board.members["clinic"],
        identity=replace(
            board.members["clinic"].identity, seal_key=Person.of("mallory").public.seal_key
        ),
    )
    members = {**board.members, "clinic": taken}
    board.charter = replace(board.charter, members=MappingProxyType(members))

    gate.refuses(ReaderChangedError, gate.request(), "clinic, who may read what comes of ann")
    with world.refuses(ReaderChangedError):
        world.say("release", prepared.to_json(), world.service.signer)
    for name in ("ann/records", "lab/code"):
        world.offer(name)
    world.say("release", gate.decide(gate.request()).release.to_json(), world.service.signer)
    assert run.run in world.machine.runs


def test_code_of_one_device_starts_one_run(hardware: Hardware) -> None:
    """One deposited second factor under two names, in two policies: each code counts once."""
    world = World.ready(anchors=[hardware.vendor.root_digest])
    both = terms(policies=("train", "other"))
    world.offer(
        "ann/factor", kind=AssetKind.SECRET, volume_id=None, key_commitment=None, terms=both
    )
    for asset in ("ann/records", "lab/code"):
        world.offer(asset, terms=both)
    for name in ("train", "other"):
        secret = {f"factor-{name}": {"kind": "asset", "asset": "ann/factor"}}
        service = service_json(totp=f"factor-{name}")
        world.enact_policy(policy_json(name=name, secrets=secret, services={"train": service}))

    def release(policy: str, step: int) -> None:
        board, counted = world.machine.board, world.machine.uses
        offers = {
            name: board.assets[name].offered_by
            for name in ("ann/records", "lab/code", "ann/factor")
        }
        uses = tuple(
            AssetUse(name, offer, counted.get(offer, 0) + 1) for name, offer in offers.items()
        )
        version = board.policies[policy][-1].digest
        world.release(policy=policy, policy_digest=version, uses=uses, totp_step=step)

    release("train", 7)
    with world.refuses(ReleaseInvalidError):
        release("other", 7)
    release("other", 8)
    assert world.machine.totp_steps == {"asset:ann/factor": 8}


@pytest.mark.parametrize("end", ["stopped", "expired"])
def test_end_of_the_exporting_policy_ends_its_imports(hardware: Hardware, end: str) -> None:
    """Whoever imports a leaking or outlived secret on the same board is not better off."""
    world = World.ready(anchors=[hardware.vendor.root_digest])
    expires = format_time(NOW + timedelta(days=1))
    vault = policy_json(
        name="vault",
        secrets={"token": {"kind": "ascii"}},
        exports=[{"secret": "token", "to": "train"}],
        not_after=expires,
    )
    imported = {"token": {"kind": "import", "policy": "vault", "secret": "token"}}
    service = service_json(environment={"TOKEN": "{{ accord.token }}"}, lease_s=60)
    world.enact_policy(vault)
    world.enact_policy(policy_json(secrets=imported, services={"train": service}))
    gate = Gate.over(hardware, world)
    if end == "expired":
        world.time = NOW + timedelta(days=1, seconds=-1)
    run = gate.release()
    request, renewal = gate.request(), gate.renewal(run)
    if end == "expired":
        world.time += timedelta(seconds=1)
        error: type[AccordError] = PolicyExpiredError
    else:
        gate.stop("policy:vault")
        error = ExecutionStoppedError

    gate.refuses(error, request, "vault")
    with world.refuses(error):
        gate.renewal(run)
    with world.refuses(error):
        world.say("renewal", renewal.to_json(), world.service.signer)


# --- runs that go on, and end -----------------------------------------------------------------


@pytest.fixture
def leased(hardware: Hardware) -> Gate:
    """A service whose runs need a lease."""
    return Gate(hardware, lease_s=60)


def test_results_do_not_come_after_the_lease(leased: Gate) -> None:
    """A shield that was refused a renewal runs on and hands its results in: they are refused."""
    run = leased.release()
    leased.world.time += timedelta(seconds=60)

    with leased.world.refuses(LeaseEndedError, run.run):
        leased.world.finish(run)
    leased.world.finish(run, outputs=(), outcome=RunOutcome.FAILED)


@pytest.mark.parametrize("scope", ["board", "policy:train", "asset:ann/records", "run"])
def test_results_do_not_come_after_a_stop(gate: Gate, scope: str) -> None:
    """The kill switch holds at the end of a run as well: nobody gets its results."""
    run = gate.release()
    gate.stop(f"run:{run.run}" if scope == "run" else scope)

    with gate.world.refuses(ExecutionStoppedError, "bob has stopped"):
        gate.world.finish(run)
    gate.world.finish(run, outputs=(), outcome=RunOutcome.FAILED)
    assert replay(gate.world.log) == gate.world.machine


@pytest.mark.parametrize("who", ["service", "ann", "another shield"])
def test_nobody_but_the_shield_of_a_run_renews_its_lease(leased: Gate, who: str) -> None:
    """Evidence of the run's environment, for its keys, in the hands of somebody else."""
    run = leased.release()

    with leased.world.refuses(UnknownRunError, run.run):
        leased.renewal(run, by=who)


def test_part_of_a_lease_request_is_not_exchanged(leased: Gate) -> None:
    """Whoever passes it on sends it as it was signed."""
    run = leased.release()
    for change in (
        {"channel": Channel.L2},
        {"evidence": leased.request().evidence},
        {"signature": bytes(64)},
    ):
        with leased.world.refuses(UnknownRunError):
            leased.renew(replace(leased.lease_request(run), **change))


def test_lease_is_not_renewed_by_weaker_evidence(leased: Gate) -> None:
    """A run that began on hardware its owners trust does not go on where they do not."""
    world = leased.world
    run = leased.release(assurance=Assurance.CVM)
    for name in ("ann/records", "lab/code"):
        # As if they had been so from the start; evidence of the tests is worth "simulated".
        record = world.machine.board.assets[name]
        record.offer = replace(record.offer, terms=terms(min_assurance=Assurance.CVM))

    with world.refuses(TermsError, "assurance must be at least cvm, found simulated"):
        leased.renewal(run)
    renewal = Renewal(
        world.board,
        run.run,
        seed("renewal"),
        digest("e"),
        Assurance.SIMULATED,
        world.time + timedelta(seconds=60),
    )
    with world.refuses(TermsError):
        world.say("renewal", renewal.to_json(), world.service.signer)
    better = replace(renewal, assurance=Assurance.ENCLAVE)
    with world.refuses(ReleaseInvalidError):
        world.say("renewal", better.to_json(), world.service.signer)
    same = replace(renewal, assurance=Assurance.CVM)
    world.say("renewal", same.to_json(), world.service.signer)


# --- what results were computed from ----------------------------------------------------------


def test_lineage_is_not_laundered_by_another_run(world: World) -> None:
    """A run of other owners' data that names the same result adds them; it takes nobody away."""
    first = world.release()
    world.finish(first)
    (output,) = world.run_of(first).outputs
    world.offer("bob/records", terms=terms(policies=("mine",)))
    alone = [{"asset": "bob/records", "tag": digest("bob/records"), "at": "/in/records"}]
    world.enact_policy(policy_json(name="mine", services={"train": service_json(inputs=alone)}))
    board = world.machine.board
    second = world.release(
        policy="mine",
        policy_digest=board.policies["mine"][-1].digest,
        uses=(AssetUse("bob/records", board.assets["bob/records"].offered_by, 1),),
    )
    world.finish(second)

    assert board.lineage[output.tag] == {"ann", "bob", "lab"}


def test_owner_of_a_secret_is_in_the_lineage_of_what_it_opened() -> None:
    """A deposited secret may be what makes a result worth having."""
    world = World.ready()
    world.offer("bob/key", kind=AssetKind.SECRET, volume_id=None, key_commitment=None)
    service = service_json(environment={"KEY": "{{ accord.key }}"})
    secret = {"key": {"kind": "asset", "asset": "bob/key"}}
    world.enact_policy(policy_json(secrets=secret, services={"train": service}))
    assets = world.machine.board.assets
    names = ("ann/records", "lab/code", "bob/key")
    offer = assets["bob/key"].offered_by
    run = world.release(
        uses=tuple(AssetUse(name, assets[name].offered_by, 1) for name in names),
        secrets=(SecretUse("key", "asset:bob/key", offer),),
    )
    world.finish(run)

    (output,) = world.run_of(run).outputs
    assert world.machine.board.lineage[output.tag] == {"ann", "bob", "lab"}


# --- consent that ends ------------------------------------------------------------------------


def test_withdrawal_wins_against_a_prepared_request(gate: Gate) -> None:
    """Nonce and evidence collected before, sent after: too late."""
    request = gate.request()
    gate.world.withdraw("ann/records")

    gate.refuses(ConsentWithdrawnError, request)


def test_decision_made_before_a_withdrawal_is_not_recorded(gate: Gate) -> None:
    """The gate and the log apply the same rule: a race is lost at the log."""
    release = gate.decide(gate.request()).release
    gate.world.withdraw("ann/records")

    with gate.world.refuses(ConsentWithdrawnError):
        gate.world.say("release", release.to_json(), gate.world.service.signer)


def test_two_requests_cannot_share_the_last_use(gate: Gate) -> None:
    """Both pass the gate; the second is refused where uses are counted."""
    gate.world.offer("ann/records", terms=terms(max_uses=1))
    first, second = (gate.decide(gate.request()).release for _ in range(2))
    gate.world.say("release", first.to_json(), gate.world.service.signer)

    with gate.world.refuses(UsesExhaustedError):
        gate.world.say("release", second.to_json(), gate.world.service.signer)


def test_owner_cannot_exchange_data_under_a_vote(gate: Gate) -> None:
    """What was voted on is a tag; new bytes need a new vote."""
    gate.world.offer("ann/records", tag=digest("poison"))

    gate.refuses(AssetChangedError, gate.request())


# --- a dishonest trust service, seen by an auditor -------------------------------------------


@pytest.fixture
def world() -> World:
    return World.enacted()


def changed_use(world: World, number: int) -> tuple[AssetUse, ...]:
    first, *rest = world.release_of().uses
    return (replace(first, number=number), *rest)


def test_release_with_a_wrong_count_is_refused(world: World) -> None:
    """Counting a use twice, or not at all, shows."""
    world.release()
    for number in (1, 3):
        with world.refuses(ReleaseInvalidError, "entry 12 records a release"):
            world.release(uses=changed_use(world, number))
    for uses in ((), world.release_of().uses[:1], world.release_of().uses[::-1]):
        with world.refuses(ReleaseInvalidError):
            world.release(uses=uses)


def test_release_under_a_policy_nobody_enacted_is_refused(world: World) -> None:
    """By name, or by digest."""
    with world.refuses(NoPolicyError):
        world.release(policy="other")
    with world.refuses(ReleaseInvalidError):
        world.release(policy_digest=digest("other"))
    with world.refuses(UnknownServiceError):
        world.release(service="other")


def test_release_of_one_run_or_nonce_twice_is_refused(world: World) -> None:
    """Each release is one run, for one nonce."""
    first = world.release()
    with world.refuses(ReleaseInvalidError):
        world.release(run=first.run)
    with world.refuses(ReleaseInvalidError):
        world.release(nonce=first.nonce)
    world.release()


def test_release_that_claims_less_than_the_terms_is_refused(world: World) -> None:
    """The level recorded must satisfy every owner."""
    world.offer("ann/records", terms=terms(min_assurance=Assurance.CVM))
    with world.refuses(TermsError, "assurance must be at least cvm"):
        world.release()
    world.release(assurance=Assurance.CVM)


@pytest.mark.parametrize("who", ["ann", "mallory", "shield"])
def test_release_forged_by_another_key_is_refused(world: World, who: str) -> None:
    """Only the attested service records releases."""
    with world.refuses(SignatureInvalidError):
        world.release(by=who)


def test_release_before_the_service_started_is_refused() -> None:
    """Nobody's statement."""
    ready = World.enacted()
    founded = World.founded()
    with founded.refuses(LogKeyError):
        founded.say("release", ready.release_of().to_json(), "service")


def test_release_recorded_for_another_board_is_refused(world: World) -> None:
    """The same service on two boards."""
    with world.refuses(WrongBoardError):
        world.release(board=digest("other"))


def test_withdrawn_asset_is_not_released_in_the_log_either(world: World) -> None:
    """The service cannot record what the gate would refuse."""
    world.withdraw("lab/code")
    with world.refuses(ConsentWithdrawnError):
        world.release()


# --- run statements --------------------------------------------------------------------------


@pytest.fixture
def release(world: World) -> Release:
    return world.release()


@pytest.mark.parametrize("who", ["service", "ann", "mallory"])
def test_run_statement_by_another_key_is_refused(world: World, release: Release, who: str) -> None:
    """Only the shield that was released the keys can say what it did."""
    with world.refuses(SignatureInvalidError):
        world.finish(release, by=who)


def test_run_statement_is_accepted_once(world: World, release: Release) -> None:
    """A second ending, or the same again, is refused."""
    world.finish(release)
    with world.refuses(UnknownRunError):
        world.finish(release, outputs=(), outcome=RunOutcome.FAILED)
    with world.refuses(DuplicateStatementError):
        world.finish(release)


def test_run_nobody_released_is_refused(world: World) -> None:
    """A run statement without a release is a story."""
    with world.refuses(UnknownRunError):
        world.finish(world.release_of())


def test_run_statement_must_agree_with_its_release(world: World, release: Release) -> None:
    """Other inputs, another policy, service or level: refused."""
    inputs = world.run_of(release).inputs
    for change in (
        {"inputs": (*inputs[:1], ("lab/code", digest("other code")))},
        {"inputs": inputs[::-1]},
        {"inputs": inputs[:1]},
        {"inputs": ()},
        {"policy_digest": digest("other")},
        {"service": "other"},
        {"assurance": Assurance.ENCLAVE},
    ):
        with world.refuses(UnknownRunError):
            world.finish(release, **change)
    with world.refuses(WrongBoardError):
        world.finish(release, board=digest("other"))


def test_output_for_other_readers_is_refused(world: World, release: Release) -> None:
    """The shield may seal outputs to exactly those the policy names."""
    (output,) = world.run_of(release).outputs
    for sealed in (
        (),
        (("lab", b"sealed"),),
        (("clinic", b"sealed"), ("lab", b"sealed")),
        (("ann", b"sealed"), ("clinic", b"sealed")),
    ):
        with world.refuses(UnknownRunError):
            world.finish(release, outputs=(replace(output, sealed_keys=sealed),))


def test_output_that_the_policy_does_not_name_is_refused(world: World, release: Release) -> None:
    """Neither another one, nor the same twice."""
    (output,) = world.run_of(release).outputs
    for outputs in ((replace(output, name="leak"),), (output, output)):
        with world.refuses(UnknownRunError):
            world.finish(release, outputs=outputs)


def test_run_statement_with_another_subject_is_refused(world: World, release: Release) -> None:
    """What in-toto tools read must be what we read."""
    body = world.run_of(release).to_json()
    body["subject"] = []

    with world.refuses(MalformedError, "does not name the outputs"):
        world.say("run", body, "shield")


def test_run_under_our_own_media_type_is_refused(world: World, release: Release) -> None:
    """There is one type for run statements."""
    envelope = world.sign("run", world.run_of(release).to_json(), "shield")
    relabelled = replace(envelope, payload_type="application/vnd.accord.run.v1+json")

    with world.refuses(UnsupportedFormatError):
        world.record(relabelled)


def test_shield_of_another_run_cannot_end_this_one(world: World, release: Release) -> None:
    """Two attested shields of one policy do not speak for each other."""
    other = world.release(keyset=Person.of("second shield").keyset())

    with world.refuses(SignatureInvalidError):
        world.finish(release, by="second shield")
    world.finish(other, by="second shield")


def test_signature_of_a_run_cannot_be_added_to(world: World, release: Release) -> None:
    """A second signature by the service does not make it better."""
    envelope = world.sign("run", world.run_of(release).to_json(), "shield", "service")

    with world.refuses(SignatureInvalidError):
        world.record(envelope)
    again = (*envelope.signatures[:1], EnvelopeSignature(digest("k"), bytes(64)))
    with world.refuses(SignatureInvalidError):
        world.record(replace(envelope, signatures=again))


def test_claims_of_a_log_are_checked_on_replay(world: World, release: Release) -> None:
    """An auditor who replays the log comes to the same state, or to a refusal."""
    world.finish(release)
    assert replay(world.log) == world.machine
    for drop in range(1, len(world.log) - 1):
        shortened = [*world.log[:drop], *world.log[drop + 1 :]]
        payload = world.log[drop].envelope.payload
        if b'"bob"' in payload or b'"bob/records"' in payload:
            continue  # Bob's vote and asset are needed for nothing.
        with pytest.raises(AccordError):
            replay(shortened)


def test_shield_binding_is_what_the_release_says(hardware: Hardware) -> None:
    """An auditor can compute, from the log alone, what the evidence must carry."""
    gate = Gate(hardware)
    release = gate.decide(gate.request()).release

    assert release.binding == shield_binding(
        gate.world.board, "train", "train", release.keyset, release.nonce
    )
