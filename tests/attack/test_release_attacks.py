# SPDX-License-Identifier: Apache-2.0
"""Whoever holds the host, the network or a genuine TEE against the release gate and the log.

The attacker has real (simulated) hardware of the right vendor and can run anything on it; what he
wants is a key that an owner did not mean him to have, or a log that says otherwise.
"""

import secrets
from dataclasses import replace
from datetime import timedelta
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

from accord.encoding import Digest, EnvelopeSignature
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
    LogKeyError,
    MalformedError,
    NonceError,
    NoPolicyError,
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
from accord.policy import Assurance
from accord.release import (
    GRANT_PURPOSE,
    AssetUse,
    Challenges,
    Decision,
    Release,
    ReleaseRequest,
    RunOutcome,
    grant_context,
    service_binding,
    shield_binding,
)


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


class Gate:
    """A board with two services in force, and the gate in front of its secrets."""

    def __init__(self, hardware: Hardware, **variant: Any) -> None:
        service = service_json(attestation=[variant_json(**variant)])
        document = policy_json(services={"train": service, "test": service})
        self.hardware = hardware
        self.world = World.enacted(document, anchors=[hardware.vendor.root_digest])
        self.challenges = Challenges(secrets.token_bytes)

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
