# SPDX-License-Identifier: Apache-2.0
"""Attest-then-release with simulated hardware: the good path, and every condition of it."""

import secrets
from contextlib import AbstractContextManager, nullcontext
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
)
from tests.support.gate import decide

from accord.board import AssetRecord, Choice
from accord.encoding import Fields, canonical_json, format_time
from accord.errors import (
    AppraisalError,
    AssetChangedError,
    ConsentWithdrawnError,
    EntryOrderError,
    GenesisError,
    MalformedError,
    NonceError,
    NoPolicyError,
    PolicyPendingError,
    ReleaseInvalidError,
    TermsError,
    UnknownAssetError,
    UnknownServiceError,
    UnsupportedFormatError,
    UsesExhaustedError,
)
from accord.evidence import Binding, Evidence, Purpose
from accord.policy import Assurance, Network, Policy
from accord.release import (
    NONCE_BYTES,
    AssetUse,
    Challenges,
    Decision,
    Grant,
    GrantedInput,
    Lease,
    Machine,
    Refusal,
    Release,
    ReleaseRequest,
    Renewal,
    RunOutcome,
    RunOutput,
    RunRecord,
    RunStatement,
    SecretUse,
    ServiceStart,
    _challenges,
    asset_key_context,
    enacted_service,
    grant_context,
    log_origin,
    output_key_context,
    owners_consent,
    parse_run_id,
    service_binding,
)
from accord.release._challenges import LIFETIME


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


class Gate:
    """A board with a policy in force, and the gate in front of its secrets."""

    def __init__(self, hardware: Hardware, document: Any = None, **changes: Any) -> None:
        self.hardware = hardware
        self.world = World.enacted(document, anchors=[hardware.vendor.root_digest], **changes)
        self.challenges = Challenges(secrets.token_bytes)

    def nonce(self) -> bytes:
        return self.challenges.issue(self.world.board, Purpose.RELEASE, now=self.world.time)[0]

    def decide(self, request: ReleaseRequest, **options: Any) -> Decision:
        return decide(
            self.world.machine,
            request,
            challenges=self.challenges,
            now=self.world.time,
            entropy=secrets.token_bytes,
            **{"service_assurance": Assurance.ENCLAVE, **options},
        )

    def ask(self, **changes: Any) -> Decision:
        return self.decide(self.hardware.request(self.world, self.nonce(), **changes))

    def commit(self, decision: Decision) -> None:
        self.world.say("release", decision.release.to_json(), self.world.service.signer)


@pytest.fixture
def gate(hardware: Hardware) -> Gate:
    return Gate(hardware)


# --- the gate --------------------------------------------------------------------------------


def test_attested_shield_is_released_what_was_voted_on(gate: Gate) -> None:
    """The decision names policy, service, keys, evidence, level and uses; nothing has left."""
    decision = gate.ask()
    release, policy = decision.release, gate.world.machine.board.policy("train")

    assert policy is not None
    assert decision.policy == policy
    assert decision.service == policy.services["train"]
    assert release.policy_digest == policy.digest
    assert release.keyset == Person.of("shield").keyset()
    assert release.assurance is Assurance.SIMULATED
    assert release.result["accord.claims"]["root_kind"] == "test"
    assert [(use.asset, use.number) for use in release.uses] == [
        ("ann/records", 1),
        ("lab/code", 1),
    ]
    assert gate.world.machine.uses == {}
    gate.commit(decision)
    assert set(gate.world.machine.uses.values()) == {1}
    assert gate.world.machine.runs[release.run].release == replace(release, result=None)
    assert replay(gate.world.log) == gate.world.machine


def test_every_step_can_be_timed(gate: Gate) -> None:
    """The gate has no clock: a caller who has one is told of each step."""
    seen = []

    def stage(name: str) -> AbstractContextManager[None]:
        seen.append(name)
        return nullcontext()

    gate.decide(gate.hardware.request(gate.world, gate.nonce()), stage=stage)

    assert seen == ["appraise", "consent"]


def test_exactly_max_uses_releases_succeed(hardware: Hardware) -> None:
    """Three mean three; the fourth names the owner."""
    gate = Gate(hardware)
    gate.world.offer("ann/records", terms=terms(max_uses=3), tag=digest("ann/records"))
    for number in (1, 2, 3):
        decision = gate.ask()
        assert decision.release.uses[0].number == number
        gate.commit(decision)

    with gate.world.refuses(UsesExhaustedError, "released 3 times, as often as ann allowed"):
        gate.ask()


def test_refused_request_counts_no_use(gate: Gate) -> None:
    """Only what is written to the log is counted."""
    with gate.world.refuses(AppraisalError):
        gate.ask(attest=lambda b: gate.hardware.attest(b, mrtd=OTHER_MRTD))
    gate.ask()

    assert gate.ask().release.uses[0].number == 1


def test_new_offer_starts_counting_again(hardware: Hardware) -> None:
    """Uses are counted per offer: the owner decides anew."""
    gate = Gate(hardware)
    gate.world.offer("ann/records", terms=terms(max_uses=1), tag=digest("ann/records"))
    gate.commit(gate.ask())
    gate.world.offer("ann/records", terms=terms(max_uses=2), tag=digest("ann/records"))

    assert gate.ask().release.uses[0].number == 1


def test_pending_policy_says_who_is_missing(hardware: Hardware) -> None:
    """Whom to ask, not just no."""
    gate = Gate(hardware)
    proposal = gate.world.propose(policy_json(name="second"))
    gate.world.vote("ann", proposal)

    with gate.world.refuses(PolicyPendingError, "still needs lab, clinic"):
        gate.ask(policy="second")
    for member in ("lab", "clinic"):
        gate.world.vote(member, proposal)
    with gate.world.refuses(PolicyPendingError, "still needs to be enacted"):
        gate.ask(policy="second")


def test_genuine_hardware_alone_does_not_learn_who_is_missing(hardware: Hardware) -> None:
    """Anybody can buy a machine; only what the proposed policy names learns whom to ask."""
    gate = Gate(hardware)
    gate.world.propose(policy_json(name="second"))

    with gate.world.refuses(NoPolicyError, "policy second was never enacted"):
        gate.ask(policy="second", attest=lambda b: gate.hardware.attest(b, mrtd=OTHER_MRTD))


def test_genuine_hardware_alone_cannot_list_the_services_of_a_board(hardware: Hardware) -> None:
    """Unknown policy, unknown service, expired policy: one answer for whom no policy names."""
    gate = Gate(hardware)
    gate.world.enact_policy(policy_json(name="old", not_after=format_time(NOW)))

    def other(binding: Binding) -> Evidence:
        return hardware.attest(binding, mrtd=OTHER_MRTD)

    for policy, service in (("nothing", "train"), ("train", "nothing"), ("old", "train")):
        with gate.world.refuses(NoPolicyError, f"policy {policy} was never enacted"):
            gate.ask(policy=policy, service=service, attest=other)
    with gate.world.refuses(UnknownServiceError):
        gate.ask(service="nothing")


def test_unknown_policy_and_service_are_named(gate: Gate) -> None:
    """Also where a proposal of that name is closed or of another policy."""
    rejected = gate.world.propose(policy_json(name="second"))
    gate.world.vote("ann", rejected, Choice.REJECT)

    with gate.world.refuses(NoPolicyError, "second"):
        gate.ask(policy="second")
    with gate.world.refuses(NoPolicyError, "third"):
        gate.ask(policy="third")
    with gate.world.refuses(UnknownServiceError, "train has no service test"):
        gate.ask(service="test")


# --- consent ---------------------------------------------------------------------------------


def test_withdrawn_consent_is_respected(gate: Gate) -> None:
    """From the entry on."""
    gate.world.withdraw("ann/records")

    with gate.world.refuses(ConsentWithdrawnError, "ann has withdrawn ann/records"):
        gate.ask()


def test_changed_asset_is_refused(gate: Gate) -> None:
    """What runs is what was voted on, not what its owner offers since."""
    gate.world.offer("lab/code", tag=digest("new code"))

    with gate.world.refuses(AssetChangedError, f"pins {digest('lab/code')}"):
        gate.ask()


TERMS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"policies": ("test",)}, "policy must be test, found train"),
    ({"policies": ()}, "policy must be nothing, found train"),
    ({"purposes": ("care",)}, "purpose must be care, found screening"),
    ({"purposes": ()}, "purpose must be nothing"),
    ({"readers": ("bob", "ann")}, "readers must be bob or ann, found clinic"),
    ({"readers": ()}, "readers must be nothing, found clinic"),
    ({"min_assurance": Assurance.CVM}, "assurance must be at least cvm, found simulated"),
    ({"min_assurance": Assurance.TPM}, "assurance must be at least tpm, found simulated"),
    ({"not_after": NOW}, "time must be before 2026-01-15T12:00:00Z, found 2026-01-15T12:00:00Z"),
)


@pytest.mark.parametrize(("violated", "match"), TERMS, ids=range(len(TERMS)))
def test_each_term_of_each_owner_is_kept(
    hardware: Hardware, violated: dict[str, Any], match: str
) -> None:
    """One field at a time, each owner's alone, and in the log as at the gate."""
    for asset in ("ann/records", "lab/code"):
        gate = Gate(hardware)
        gate.world.offer(asset, terms=terms(**violated))

        with gate.world.refuses(TermsError, f"terms of {asset} do not allow this: {match}"):
            gate.ask()
        with gate.world.refuses(TermsError, match):
            gate.world.release()


def test_terms_that_allow_no_use_release_nothing(hardware: Hardware) -> None:
    """Zero is zero."""
    gate = Gate(hardware)
    gate.world.offer("ann/records", terms=terms(max_uses=0))

    with gate.world.refuses(UsesExhaustedError, "released 0 times"):
        gate.ask()


def test_last_second_is_the_one_before() -> None:
    """Terms end at the moment they name."""
    world = World.enacted()
    world.offer("ann/records", terms=terms(not_after=NOW + timedelta(seconds=1)))
    world.release()
    world.time = NOW + timedelta(seconds=1)

    with world.refuses(TermsError, "time must be before"):
        world.release()


def test_network_must_be_what_the_owner_said() -> None:
    """Compared, not assumed: there is one value today, and more will come."""
    assert terms().network is Network.NONE


def test_asset_that_vanished_is_refused() -> None:
    """The decision does not rely on the board never forgetting."""
    world = World.enacted()
    board = world.machine.board
    policy, service = enacted_service(board, "train", "train", NOW)
    removed: AssetRecord = board.assets.pop("lab/code")

    with pytest.raises(UnknownAssetError, match="lab/code"):
        owners_consent(board, {}, policy=policy, service=service, assurance=Assurance.CVM, now=NOW)
    assert removed.offer.name == "lab/code"


# --- nonces ----------------------------------------------------------------------------------


@pytest.fixture
def challenges() -> Challenges:
    return Challenges(secrets.token_bytes)


BOARD = digest("board")


def test_nonce_serves_once(challenges: Challenges) -> None:
    """And lives two minutes."""
    nonce, end = challenges.issue(BOARD, Purpose.RELEASE, now=NOW)
    challenges.consume(nonce, BOARD, Purpose.RELEASE, now=end - timedelta(seconds=1))

    assert len(nonce) == NONCE_BYTES
    assert end == NOW + LIFETIME
    with pytest.raises(NonceError, match="never issued here, or was used before"):
        challenges.consume(nonce, BOARD, Purpose.RELEASE, now=NOW)


@pytest.mark.parametrize(
    ("board", "purpose", "later", "match"),
    [
        (digest("other"), Purpose.RELEASE, timedelta(0), "another board or purpose"),
        (BOARD, Purpose.CHANNEL, timedelta(0), "another board or purpose"),
        (BOARD, Purpose.RELEASE, LIFETIME, "expired"),
    ],
)
def test_misused_nonce_is_used_up(
    challenges: Challenges, board: Any, purpose: Purpose, later: timedelta, match: str
) -> None:
    """A wrong guess at what it was for costs the nonce."""
    nonce, _ = challenges.issue(BOARD, Purpose.RELEASE, now=NOW)

    with pytest.raises(NonceError, match=match):
        challenges.consume(nonce, board, purpose, now=NOW + later)
    with pytest.raises(NonceError, match="used before"):
        challenges.consume(nonce, BOARD, Purpose.RELEASE, now=NOW)


def test_foreign_nonce_is_refused(challenges: Challenges) -> None:
    """Made up, or issued by another instance."""
    other, _ = Challenges(secrets.token_bytes).issue(BOARD, Purpose.RELEASE, now=NOW)

    for nonce in (other, bytes(32), b""):
        with pytest.raises(NonceError, match="never issued here"):
            challenges.consume(nonce, BOARD, Purpose.RELEASE, now=NOW)


def test_outstanding_nonces_are_bounded_and_die(
    challenges: Challenges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of requests fills the table for two minutes, and no memory."""
    monkeypatch.setattr(_challenges, "MAX_OUTSTANDING", 20)
    for _ in range(20):
        challenges.issue(BOARD, Purpose.RELEASE, now=NOW)

    with pytest.raises(NonceError, match="too many"):
        challenges.issue(BOARD, Purpose.RELEASE, now=NOW)
    challenges.issue(BOARD, Purpose.RELEASE, now=NOW + LIFETIME)


# --- the machine -----------------------------------------------------------------------------


def test_run_is_recorded_once() -> None:
    """Release, then run statement; the log alone leads to the same state."""
    world = World.enacted()
    release = world.release()
    world.finish(release)
    record = world.machine.runs[release.run]

    assert record.statement == world.run_of(release)
    assert replay(world.log) == world.machine
    assert world.machine.policy_of(release).digest == release.policy_digest
    assert world.machine.keyset == world.keyset
    assert World.founded().machine.keyset is None


def test_log_is_replayed_from_its_bytes() -> None:
    """As service, client and auditor do it; an empty or reordered log is no board."""
    world = World.enacted()
    data = [entry.to_bytes() for entry in world.log]
    ledger, machine = Machine.replay(data)

    assert machine == world.machine
    assert ledger.checkpoint("origin").size == len(data)
    with pytest.raises(GenesisError, match="the log is empty"):
        Machine.replay([])
    with pytest.raises(EntryOrderError):
        Machine.replay([data[0], *data[2:]])
    with pytest.raises(EntryOrderError):
        Machine.replay(data[1:])


def test_run_may_end_after_its_policy_was_replaced() -> None:
    """It is judged by the version it ran under."""
    world = World.enacted()
    release = world.release()
    current = world.machine.board.policy("train")
    assert current is not None
    outputs = [{"name": "other", "at": "/out/other", "readers": ["clinic"]}]
    world.enact_policy(
        policy_json(predecessor=current.digest, services={"train": service_json(outputs=outputs)})
    )
    world.finish(release)

    assert world.machine.runs[release.run].statement is not None


def test_failed_run_hands_out_nothing() -> None:
    """A run may end without outputs, and says how."""
    world = World.enacted()
    release = world.release()
    world.finish(release, outputs=(), outcome=RunOutcome.FAILED)
    statement = world.machine.runs[release.run].statement

    assert statement is not None
    assert statement.outcome is RunOutcome.FAILED


def test_two_services_of_one_policy_are_told_apart() -> None:
    """A release is of one of them."""
    second = service_json(inputs=service_json()["inputs"][:1], outputs=[])
    world = World.enacted(policy_json(services={"train": service_json(), "test": second}))
    offer = world.machine.board.assets["ann/records"].offered_by
    release = world.release(service="test", uses=(AssetUse("ann/records", offer, 1),))
    world.finish(release)

    with world.refuses(ReleaseInvalidError):
        world.release(service="test")


# --- documents -------------------------------------------------------------------------------


def documents() -> dict[str, tuple[Any, Any]]:
    """Every document of the package, with its reader."""
    world = World.enacted()
    release = world.release()
    start = ServiceStart(world.board, seed("n"), world.keyset, digest("e"))
    policy = Policy.from_json(policy_json())
    grant = Grant(
        board=world.board,
        run=release.run,
        policy_digest=policy.digest,
        service_name="train",
        service=policy.services["train"],
        assurance=Assurance.SIMULATED,
        inputs=(GrantedInput("ann/records", "vol-1", digest("t"), seed("key")),),
        readers=(Person.of("clinic").public,),
        secrets={"password": b"value"},
        identity=(b"leaf", b"authority"),
        lease_until=NOW,
    )
    full = replace(
        release,
        secrets=(SecretUse("password", "policy:train", policy.digest),),
        exporter=seed("exporter"),
        token_sha256=seed("token"),
        tls_spki_sha256=seed("tls"),
        totp_step=5,
        lease_until=NOW,
    )
    renewal = Renewal(
        world.board, release.run, seed("n"), digest("e"), Assurance.CVM, NOW, seed("x")
    )
    refusal = Refusal(
        world.board, seed("n"), "accord-REL-007", "no", "ask", {"field": "network"}, NOW
    )
    return {
        "full release": (full, Release.from_fields),
        "secret": (full.secrets[0], SecretUse.from_fields),
        "renewal": (renewal, Renewal.from_fields),
        "lease": (Lease(world.board, release.run, seed("n"), NOW, (b"leaf",)), Lease.from_fields),
        "refusal": (refusal, Refusal.from_fields),
        "record": (
            RunRecord(full, 3, world.run_of(release), NOW),
            RunRecord.from_fields,
        ),
        "service-start": (start, ServiceStart.from_fields),
        "release": (release, Release.from_fields),
        "run": (world.run_of(release), RunStatement.from_fields),
        "grant": (grant, Grant.from_fields),
        "use": (release.uses[0], AssetUse.from_fields),
        "granted": (grant.inputs[0], GrantedInput.from_fields),
        "output": (world.run_of(release).outputs[0], RunOutput.from_fields),
    }


DOCUMENTS = documents()
OPTIONAL = {
    "exporter",
    "token_sha256",
    "tls_spki_sha256",
    "totp_step",
    "lease_until",
    "statement",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_round_trip(name: str) -> None:
    """Read as it was written."""
    document, read = DOCUMENTS[name]

    assert document == read(Fields(document.to_json(), name))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_is_read_strictly(name: str) -> None:
    """Without any one of its fields, or with one more, it is refused."""
    document, read = DOCUMENTS[name]
    body = document.to_json()
    for field in body:
        if field not in OPTIONAL:
            with pytest.raises((MalformedError, UnsupportedFormatError)):
                read(Fields({k: v for k, v in body.items() if k != field}, name))
        if field != "result":  # What the appraisal wrote is carried, not read.
            with pytest.raises((MalformedError, UnsupportedFormatError)):
                read(Fields({**body, field: 1.5}, name))
    with pytest.raises(MalformedError, match="unknown field extra"):
        read(Fields({**body, "extra": 1}, name))


def test_request_round_trip(hardware: Hardware) -> None:
    """As it crosses the wire; the binding covers everything in it."""
    world = World.enacted(anchors=[hardware.vendor.root_digest])
    request = hardware.request(world, seed("nonce"))
    body = request.to_json()

    assert request == ReleaseRequest.from_json(body)
    assert request.binding() == ReleaseRequest.from_json(body).binding()
    with pytest.raises(MalformedError):
        ReleaseRequest.from_json({**body, "extra": 1})
    with pytest.raises(UnsupportedFormatError):
        ReleaseRequest.from_json({**body, "schema": "accord.release-request.v2"})


def test_run_statement_is_an_in_toto_statement() -> None:
    """in-toto tools can read it: type, subject by digest, predicate type."""
    document, _ = DOCUMENTS["run"]
    body = document.to_json()

    assert body["_type"] == "https://in-toto.io/Statement/v1"
    assert body["predicateType"] == "urn:accord:predicate:run:v1"
    assert body["subject"] == [
        {"name": "model", "digest": {"sha256": digest("output model").removeprefix("sha256:")}}
    ]
    for subject in ([], [{**body["subject"][0], "name": "other"}], None):
        with pytest.raises(MalformedError, match="does not name the outputs"):
            RunStatement.from_fields(Fields({**body, "subject": subject}, "run"))


def test_binding_changes_with_everything_it_covers() -> None:
    """Board, policy, service, keys, nonce, purpose: no two share their report data."""
    world = World.enacted()
    release = world.release_of()
    start = ServiceStart(world.board, seed("n"), world.keyset, digest("e"))
    bindings = [
        release.binding,
        world.release_of(board=digest("other")).binding,
        world.release_of(policy="other").binding,
        world.release_of(service="other").binding,
        world.release_of(keyset=Person.of("other").keyset()).binding,
        world.release_of(nonce=bytes(32)).binding,
        start.binding,
        service_binding(world.board, world.keyset, start.boot_nonce, Purpose.CHANNEL),
        service_binding(world.board, world.service.keyset(), start.boot_nonce, Purpose.CHANNEL),
    ]

    assert len({binding.report_data() for binding in bindings}) == len(bindings)


def test_channel_evidence_names_the_tls_key() -> None:
    """To a client the TLS key is bound; to the log, and where there is none, the signing key."""
    world = World.founded()
    keyset, nonce = world.keyset, seed("n")

    assert service_binding(world.board, keyset, nonce, Purpose.CHANNEL).spki_sha256 == seed("tls")
    for other in (
        service_binding(world.board, keyset, nonce, Purpose.LOG),
        service_binding(world.board, world.service.keyset(), nonce, Purpose.CHANNEL),
    ):
        assert other.spki_sha256 == keyset.verify_spki_sha256


def test_granted_key_is_not_shown() -> None:
    """Printing a grant by mistake prints no key."""
    grant, _ = DOCUMENTS["grant"]

    assert repr(seed("key")) not in repr(grant)
    assert repr(b"value") not in repr(grant)


def test_contexts_of_sealed_messages_differ() -> None:
    """What is sealed for one use cannot be opened as another."""
    keyset = Person.of("shield").keyset()
    contexts = [
        grant_context(BOARD, seed("n"), keyset),
        grant_context(BOARD, seed("m"), keyset),
        grant_context(BOARD, seed("n"), Person.of("other").keyset()),
        asset_key_context(digest("offer")),
        output_key_context(BOARD, "run", "model", "clinic"),
        output_key_context(BOARD, "run", "model", "ann"),
    ]

    assert len({canonical_json(context) for context in contexts}) == len(contexts)
    assert log_origin(BOARD) == "accord/boards/" + BOARD.removeprefix("sha256:")


@pytest.mark.parametrize("value", ["run-", "run-" + "A" * 32, "run-" + "0" * 31, None, 5, "../x"])
def test_run_id_has_one_form(value: object) -> None:
    """It becomes a file name."""
    with pytest.raises(MalformedError, match="run-<32 hex digits>"):
        parse_run_id(value, what="run")
