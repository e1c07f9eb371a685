# SPDX-License-Identifier: Apache-2.0
"""What the service makes when a policy is enacted, and what it hands to whom."""

from __future__ import annotations

import asyncio
import hmac
import logging
import struct
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.live import Hardware
from tests.support.served import Served

from accord.board import Choice, InstanceToken, ProposalStatus
from accord.encoding import Envelope, sha256
from accord.errors import (
    AccordError,
    AppraisalError,
    ChannelLevelError,
    DepositError,
    IdentityKeyError,
    InstanceTokenError,
    LeaseError,
    MalformedError,
    NoPolicyError,
    NotAttestedError,
    OneTimePasswordError,
    OneTimePasswordUsedError,
    PolicyPendingError,
    SecretValueError,
    UsesExhaustedError,
)
from accord.identity import seal, sign_statement
from accord.policy import Channel, SecretKind
from accord.release import ASSET_KEY_PURPOSE, Refusal, asset_key_context
from accord.secrets import SecretValue
from accord.service import _enactments

SECRETS: dict[str, Any] = {
    "password": {"kind": "ascii"},
    "seed": {"kind": "binary", "size": 20},
    "signer": {"kind": "key", "algorithm": "ed25519", "migrate": True},
    "ca": {"kind": "x509-ca", "common_name": "our authority"},
}
TEMPLATES = {"environment": {"PASSWORD": "{{ accord.password }}"}}


@pytest.fixture
def served(hardware: Hardware, tmp_path: Path) -> Served:
    return Served(hardware, tmp_path)


def value(served: Served, name: str, policy: Any) -> SecretValue:
    stored = served.store.secret(served.board, f"secret/{policy.digest}/{name}")
    assert stored is not None
    return SecretValue.from_bytes(stored)


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# --- enactment ------------------------------------------------------------------------------


def test_enactment_makes_secrets_and_shows_their_public_parts(served: Served) -> None:
    """Values go to the store alone; certificates and public keys are in the log for everybody."""
    policy = served.policy(secrets=SECRETS, authority=True)
    served.enact(policy)

    public = served.host.machine.board.public["job"]
    assert {"authority", "ca", "signer"} == set(public)
    assert "BEGIN CERTIFICATE" in public["ca"]
    assert "BEGIN PUBLIC KEY" in public["signer"]
    log = b"".join(asyncio.run(served.host.entries(0, served.host.head.size)))
    for name in SECRETS:
        assert value(served, name, policy).private not in log


def test_a_shield_gets_the_secrets_that_its_templates_name_and_no_others(served: Served) -> None:
    """A policy may have many secrets; a service gets those that it uses."""
    policy = served.policy(secrets=SECRETS, train=TEMPLATES)
    served.enact(policy)
    grant = served.release()

    assert {"password"} == set(grant.secrets)
    assert value(served, "password", policy) == SecretValue.from_bytes(grant.secrets["password"])


def test_the_next_version_keeps_what_migrates_and_makes_the_rest_anew(served: Served) -> None:
    """Same kind and size: kept. Certificates: issued anew. Each version's value stays its own."""
    first = served.policy(secrets=SECRETS)
    served.enact(first)
    rotated = {**SECRETS, "seed": {**SECRETS["seed"], "rotate": 1}}
    second = served.policy(secrets=rotated, predecessor=first.digest)
    served.enact(second)

    for name, kept in {"password": True, "seed": False, "signer": True, "ca": False}.items():
        assert kept is (value(served, name, first) == value(served, name, second))


def test_a_value_that_is_kept_but_gone_stops_the_enactment(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What should be kept is never made anew in silence: the proposal stays open, and votes."""
    first = served.policy(secrets=SECRETS)
    served.enact(first)
    monkeypatch.setattr(served.store, "secret", lambda _board, _name: None)
    second = served.policy(secrets=SECRETS, predecessor=first.digest)
    with caplog.at_level(logging.ERROR, logger="accord.service"):
        proposal = served.enact(second)

    assert first.digest == served.host.machine.board.policies["job"][-1].digest
    assert SecretValueError.code in caplog.text
    record = served.host.machine.board.proposals[proposal]
    assert {"ann", "bob"} == set(record.ballots)
    monkeypatch.undo()
    served.restart()
    assert second.digest == served.host.machine.board.policies["job"][-1].digest


def test_a_vote_that_turns_while_secrets_are_made_is_heard(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making an RSA key takes a while; a rejection that comes meanwhile counts."""
    envelope = served.proposal(served.policy(secrets=SECRETS))
    served.submit(envelope)
    making = _enactments._make

    def slow(*arguments: Any, **named: Any) -> Any:
        # What happens on the event loop while this thread works.
        served.host.stage(ballot(Choice.REJECT, 2))
        return making(*arguments, **named)

    def ballot(choice: Choice, sequence: int) -> Envelope:
        from accord.board import Ballot

        document = Ballot(served.board, envelope.statement_digest, "bob", choice, sequence)
        return sign_statement("ballot", document.to_json(), [served.identity("bob").signer])

    monkeypatch.setattr(_enactments, "_make", slow)
    served.vote(envelope.statement_digest, "ann")
    served.submit(ballot(Choice.APPROVE, 1))

    state = served.host.machine.board
    assert state.policy("job") is None
    assert ProposalStatus.REJECTED is state.proposals[envelope.statement_digest].status


def test_a_notice_ends_by_itself(hardware: Hardware, tmp_path: Path) -> None:
    """When the notice is over the policy comes into force, although nobody sends anything."""
    rule = {"approve": {"all": ["role:code-owner"]}, "notice_s": 60}
    served = Served(hardware, tmp_path, {"policy.enact": rule})
    proposal = served.enact(served.policy(secrets=SECRETS), by=("bob",))
    state = served.host.machine.board
    asyncio.run(served.service.tick())
    assert ProposalStatus.NOTICE is state.status(state.proposals[proposal], served.host.now())

    served.ahead += timedelta(seconds=61)

    async def run() -> None:
        async with served.service.running():
            while state.policy("job") is None:  # noqa: ASYNC110 - the service tells nobody
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert state.public["job"].keys() == {"ca", "signer"}


def test_a_notice_that_ended_while_the_service_was_down_has_its_effect_at_the_start(
    hardware: Hardware, tmp_path: Path
) -> None:
    """At its start the service enacts what became due, with its secrets."""
    rule = {"approve": {"all": ["role:code-owner"]}, "notice_s": 60}
    served = Served(hardware, tmp_path, {"policy.enact": rule})
    policy = served.policy(secrets=SECRETS, authority=True)
    served.enact(policy, by=("bob",))
    served.ahead += timedelta(seconds=61)
    served.restart()

    assert policy.digest == served.host.machine.board.policies["job"][-1].digest
    assert len(value(served, "seed", policy).private) == SECRETS["seed"]["size"]


# --- refusals -------------------------------------------------------------------------------


def test_a_stranger_hears_the_same_whatever_is_wrong(served: Served) -> None:
    """Bad nonce, foreign evidence, another board, no such policy: one answer, without details."""
    served.enact(served.policy())
    shield, other = served.shield(), served.shield()
    honest = served.request(shield)
    elsewhere = {"mrtd": bytes(48)}
    from dataclasses import replace

    wrong = [
        served.request(shield, nonce=bytes(32)),
        replace(served.request(other), evidence=honest.evidence),
        replace(served.request(shield), board=sha256(b"another")),
        replace(served.request(shield, policy="nothing"), evidence=honest.evidence),
        replace(served.request(served.shield(**elsewhere)), evidence=honest.evidence),
    ]
    heard = set()
    for request in wrong:
        with pytest.raises(NotAttestedError) as refused:
            served.ask(request)
        heard.add((str(refused.value), refused.value.refusal))

    assert {(str(NotAttestedError()), None)} == heard


@pytest.mark.parametrize("what", ["pending", "unknown", "code"])
def test_an_attested_requester_is_told_why_in_signed_words(served: Served, what: str) -> None:
    """The refusal names what would have to change, and the service stands for it."""
    served.submit(served.proposal(served.policy()))
    if what == "code":
        served.enact(served.policy(purpose="research"))
    expected: dict[str, type[AccordError]] = {
        "pending": PolicyPendingError,
        "unknown": NoPolicyError,
        "code": AppraisalError,
    }
    shield = served.shield(**({"mrtd": bytes(48)} if what == "code" else {}))
    request = served.request(shield, policy="nothing" if what == "unknown" else "job")
    with pytest.raises(expected[what]) as refused:
        served.ask(request)
    envelope = Envelope.from_bytes(refused.value.refusal or b"", what="refusal")
    refusal = Refusal.from_fields(served.said_by_service("refusal", envelope).fields())

    assert (refusal.code, refusal.nonce) == (expected[what].code, request.nonce)
    assert refusal.title == str(refused.value)[:4096]
    assert refusal.hint


def test_level_two_needs_a_connection_that_has_an_exporter(served: Served) -> None:
    """A request that claims to prove a connection is refused where there is none to prove."""
    served.enact(served.policy())
    from dataclasses import replace

    with pytest.raises(ChannelLevelError):
        served.ask(replace(served.request(served.shield()), channel=Channel.L2))


# --- deposits -------------------------------------------------------------------------------


def deposited(served: Served) -> None:
    asset = {"token": {"kind": "asset", "asset": "ann/token"}}
    templates = {"environment": {"TOKEN": "{{ accord.token }}"}}
    served.enact(served.policy(secrets=asset, train=templates))


def test_a_deposited_secret_reaches_the_shield_under_its_owners_terms(served: Served) -> None:
    """Its uses count like those of a volume, and a rotated value replaces it."""
    served.deposit("token", b"the first", max_uses=1)
    deposited(served)
    first = served.release().secrets["token"]
    with pytest.raises(UsesExhaustedError):
        served.release()
    served.deposit("token", b"the second", max_uses=1)
    second = served.release().secrets["token"]

    assert [SecretValue.from_bytes(item).private for item in (first, second)] == [
        b"the first",
        b"the second",
    ]


@pytest.mark.parametrize("flaw", ["another value", "nothing", "too large"])
def test_a_deposit_that_the_offer_does_not_commit_to_is_refused(served: Served, flaw: str) -> None:
    """The log says which value it is; anything else is refused before it is recorded."""
    sent = {
        "another value": bytes(32) + b"x",
        "nothing": bytes(32),
        "too large": bytes(32) + b"a" * (64 * 1024 + 1),
    }[flaw]
    tag = sha256(b"y" if flaw == "another value" else sent)
    envelope = served.offer("token", tag)
    sealed = seal(
        sent,
        served.service.keyset.seal_key,
        purpose=ASSET_KEY_PURPOSE,
        context=asset_key_context(envelope.statement_digest),
    )
    with pytest.raises(DepositError):
        served.submit(envelope, sealed_key=sealed)
    assert "ann/token" not in served.host.machine.board.assets


# --- second factors, identities, leases -----------------------------------------------------


def test_a_one_time_password_opens_once(served: Served) -> None:
    """The right code of this moment is accepted, and never again."""
    policy = served.policy(
        secrets={"otp": SECRETS["seed"] | {"kind": "binary"}}, train={"totp": "otp"}
    )
    served.enact(policy)
    code = totp(value(served, "otp", policy).private, served.host.now().timestamp())
    with pytest.raises(OneTimePasswordError):
        served.release(otp="000000" if code != "000000" else "111111")
    served.release(otp=code)
    with pytest.raises(OneTimePasswordUsedError):
        served.release(otp=code)


def test_a_deposited_value_can_be_the_secret_of_one_time_passwords(served: Served) -> None:
    """So that a person's own device shows the codes."""
    served.deposit("otp", b"a secret of twenty b")
    asset = {"otp": {"kind": "asset", "asset": "ann/otp"}}
    served.enact(served.policy(secrets=asset, train={"totp": "otp"}))

    served.release(otp=totp(b"a secret of twenty b", served.host.now().timestamp()))


def totp(secret: bytes, now: float) -> str:
    """RFC 6238, written out."""
    mac = hmac.digest(secret, struct.pack(">Q", int(now) // 30), "sha1")
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


def test_an_instance_token_starts_one_instance(served: Served) -> None:
    """A singleton needs a token that a member issued; it is used up."""
    served.deposit("token", b"x")
    asset = {"token": {"kind": "asset", "asset": "ann/token"}}
    served.enact(served.policy(secrets=asset, train={"singleton": True}))
    token = bytes(range(32))
    issued = InstanceToken(
        served.board,
        "ann",
        "job",
        "train",
        bytes.fromhex(sha256(token).removeprefix("sha256:")),
        served.now().replace(microsecond=0) + timedelta(hours=1),
    )
    served.submit(
        sign_statement("instance-token", issued.to_json(), [served.identity("ann").signer])
    )
    with pytest.raises(InstanceTokenError):
        served.release()
    served.release(token=token)
    with pytest.raises(InstanceTokenError):
        served.release(token=token)


def test_an_identity_is_certified_for_the_key_in_the_evidence(served: Served) -> None:
    """The chain ends in the policy's authority, and a renewal brings a fresh one for the key."""
    key, shield = ec.generate_private_key(ec.SECP256R1()), served.shield()
    train = {
        "identity": True,
        "lease_s": 600,
        "files": [{"at": "/run/ca.pem", "content": "{{ accord.authority:crt }}"}],
    }
    served.enact(served.policy(authority=True, train=train))
    grant = served.release(shield, tls_spki=spki(key))
    leaf, authority = map(x509.load_der_x509_certificate, grant.identity)

    leaf.verify_directly_issued_by(authority)
    assert leaf.public_key() == key.public_key()
    assert served.host.machine.board.public["job"]["authority"] == (
        authority.public_bytes(Encoding.PEM).decode()
    )
    shown = SecretValue.from_bytes(grant.secrets["authority"])
    assert (shown.kind, shown.private) == (SecretKind.X509_CA, b"")
    assert leaf.not_valid_after_utc <= served.now() + timedelta(seconds=601)

    served.ahead += timedelta(seconds=300)
    lease = served.renew(shield, grant.run)
    fresh = x509.load_der_x509_certificate(lease.identity[0])
    assert fresh.not_valid_after_utc > leaf.not_valid_after_utc
    assert fresh.public_key() == key.public_key()


@pytest.mark.parametrize("sent", [b"garbage", None])
def test_an_identity_needs_a_key_that_can_be_certified(served: Served, sent: bytes | None) -> None:
    """Without one, or with something that is none, nothing is released and no use counted."""
    served.enact(served.policy(authority=True, train={"identity": True}))
    with pytest.raises((IdentityKeyError, MalformedError)) as refused:
        served.release(tls_spki=sent)

    assert refused.value.refusal
    assert dict(served.host.machine.runs) == {}


def test_a_lease_goes_on_while_everybody_agrees(served: Served) -> None:
    """Renewed before its end; stopped by anybody, or run out, it is not."""
    served.enact(served.policy(train={"lease_s": 60}))
    shield = served.shield()
    grant = served.release(shield)
    served.ahead += timedelta(seconds=30)
    lease = served.renew(shield, grant.run)

    assert grant.lease_until is not None
    assert lease.until > grant.lease_until
    assert len(served.statements("renewal")) == 1
    with pytest.raises(NotAttestedError):
        served.renew(served.shield(), grant.run)
    with pytest.raises(NotAttestedError):
        served.renew(shield, "run-" + 32 * "0")
    served.ahead += timedelta(seconds=90)
    with pytest.raises(LeaseError) as refused:
        served.renew(shield, grant.run)
    assert refused.value.refusal


def test_a_lease_of_other_code_is_not_renewed(served: Served) -> None:
    """The environment must still be one that the policy names; the refusal says so."""
    served.enact(served.policy(train={"lease_s": 60}))
    shield = served.shield()
    run = served.release(shield).run
    from dataclasses import replace

    changed = replace(shield, attester=served.shield(mrtd=bytes(48)).attester)
    with pytest.raises(AppraisalError) as refused:
        served.renew(changed, run)
    assert refused.value.refusal
