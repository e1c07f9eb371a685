# SPDX-License-Identifier: Apache-2.0
"""What a release may need beside evidence: a proven channel, a token, a password, a key."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from tests.support.board import (
    MEMBERS,
    NOW,
    Hardware,
    World,
    member_json,
    policy_json,
    replay,
    seed,
    service_json,
)
from tests.support.gate import Gate

from accord.board import InstanceToken, RemoveMember
from accord.errors import (
    BindingMismatchError,
    ChannelTooWeakError,
    DuplicateStatementError,
    IdentityKeyError,
    InstanceTokenError,
    OneTimePasswordError,
    OneTimePasswordMissingError,
    OneTimePasswordUsedError,
    PolicyExpiredError,
    ReleaseInvalidError,
)
from accord.policy import Channel, Policy
from accord.release import Release
from accord.secrets import totp_step

EXPORTER, OTHER_EXPORTER = seed("this connection"), seed("another connection")
TOKEN, OTHER_TOKEN = seed("token"), seed("another token")
SPKI = b"DER of a public key"
OTP_SECRET = seed("second factor")


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


# --- channel ---------------------------------------------------------------------------------


def test_service_that_asks_for_level_2_is_released_nothing_at_level_1(hardware: Hardware) -> None:
    """The weaker channel is refused by the gate, and by whoever replays the log."""
    gate = Gate.of(hardware, channel="L2")
    with gate.world.refuses(ChannelTooWeakError, "at channel level L2, not L1"):
        gate.ask()
    release = gate.ask(exporter=EXPORTER).release

    assert (release.channel, release.exporter) == (Channel.L2, EXPORTER)
    with gate.world.refuses(ReleaseInvalidError):
        gate.commit(replace(release, exporter=None))
    gate.commit(release)


def test_evidence_for_another_connection_is_refused(hardware: Hardware) -> None:
    """A relay terminates TLS: its two connections do not have the same exporter."""
    gate = Gate.of(hardware)
    for seen in (OTHER_EXPORTER, None):
        request = hardware.request(gate.world, gate.nonce(), exporter=EXPORTER)
        with gate.world.refuses(BindingMismatchError):
            gate.decide(request, exporter=seen)


def test_level_2_cannot_be_claimed_without_being_proven(hardware: Hardware) -> None:
    """Changing the word in the request changes what the evidence must say."""
    gate = Gate.of(hardware, channel="L2")
    request = replace(hardware.request(gate.world, gate.nonce()), channel=Channel.L2)

    with gate.world.refuses(BindingMismatchError):
        gate.decide(request, exporter=EXPORTER)


def test_level_2_is_welcome_where_level_1_would_do(hardware: Hardware) -> None:
    """And the log says so."""
    assert Gate.of(hardware).release(exporter=EXPORTER).channel is Channel.L2
    assert Gate.of(hardware).release().channel is Channel.L1


# --- instance tokens -------------------------------------------------------------------------


def issue(world: World, *, by: str = "ann", token: bytes = TOKEN, **changes: Any) -> InstanceToken:
    issued = InstanceToken(
        board=world.board,
        member=by,
        policy="train",
        service="train",
        token_sha256=hashlib.sha256(token).digest(),
        expires=NOW + timedelta(hours=1),
    )
    issued = replace(issued, **changes)
    world.say("instance-token", issued.to_json(), by)
    return issued


@pytest.fixture
def single(hardware: Hardware) -> Gate:
    """Two services, of which each start needs a token."""
    service = service_json(singleton=True)
    return Gate(hardware, policy_json(services={"train": service, "test": service}))


def test_token_starts_one_instance(single: Gate) -> None:
    """It is used up by what is recorded; the second shield that shows it gets nothing."""
    issue(single.world)
    first, second = single.ask(token=TOKEN).release, single.ask(token=TOKEN).release
    single.commit(first)

    assert hashlib.sha256(TOKEN).digest() == first.token_sha256
    with single.world.refuses(InstanceTokenError, "it was used"):
        single.commit(second)
    with single.world.refuses(InstanceTokenError, "it was used"):
        single.ask(token=TOKEN)
    assert replay(single.world.log) == single.world.machine


@pytest.mark.parametrize("token", [None, OTHER_TOKEN])
def test_service_that_needs_a_token_does_not_start_without(
    single: Gate, token: bytes | None
) -> None:
    """Neither without any, nor with one that nobody issued."""
    issue(single.world)
    with single.world.refuses(InstanceTokenError, "there is none, it is unknown"):
        single.ask(token=token)


def test_token_is_for_one_service_and_one_time(single: Gate) -> None:
    """Issued for another service, or yesterday, it is none."""
    issue(single.world, service="test")
    with single.world.refuses(InstanceTokenError, "for another service"):
        single.ask(token=TOKEN)
    issue(single.world, token=OTHER_TOKEN, expires=NOW + timedelta(seconds=1))
    single.world.time = NOW + timedelta(seconds=1)
    with single.world.refuses(InstanceTokenError, "expired"):
        single.ask(token=OTHER_TOKEN)


def test_token_of_a_member_who_left_is_none(hardware: Hardware) -> None:
    """Whoever may not issue one any more has not left one behind either."""
    document = policy_json(services={"train": service_json(singleton=True)})
    constitution = {
        "policy.enact": {"all": ["affected_owners", "role:result-user"]},
        "member.remove": "member:lab",
    }
    members = [member_json(name, role) for name, role in MEMBERS.items() if name != "bob"]
    gate = Gate(
        hardware,
        document,
        constitution=constitution,
        members=[*members, member_json("bob", "operator")],
    )
    issue(gate.world, by="bob")
    proposal = gate.world.propose(actions=(RemoveMember("bob"),))
    gate.world.vote("lab", proposal)
    gate.world.enact(proposal)

    token = hashlib.sha256(TOKEN).digest()
    assert token in gate.world.machine.board.tokens
    with gate.world.refuses(InstanceTokenError, "bob, who issued it, has left"):
        gate.ask(token=TOKEN)


def test_token_is_bound_into_the_evidence(single: Gate, hardware: Hardware) -> None:
    """Who overhears a token cannot put it into a request of their own making."""
    issue(single.world)
    request = replace(hardware.request(single.world, single.nonce()), token=TOKEN)

    with single.world.refuses(BindingMismatchError):
        single.decide(request)


def test_token_is_never_shown(hardware: Hardware, single: Gate) -> None:
    """Neither token nor password is in what a request prints."""
    request = hardware.request(single.world, single.nonce(), token=TOKEN, otp="123456")

    assert repr(TOKEN) not in repr(request)
    assert "123456" not in repr(request)


def test_token_cannot_be_issued_twice(single: Gate) -> None:
    """The statement is one, and so is the start."""
    token = issue(single.world)
    with single.world.refuses(DuplicateStatementError):
        single.world.say("instance-token", token.to_json(), "ann")


# --- one-time passwords ----------------------------------------------------------------------


@pytest.fixture
def guarded(hardware: Hardware) -> Gate:
    """A service that asks for a one-time password."""
    document = policy_json(
        secrets={"factor": {"kind": "binary", "size": 32}},
        services={"train": service_json(totp="factor")},
    )
    return Gate(hardware, document)


def check(guarded: Gate) -> Any:
    """What the trust service does with the secret in its store."""

    def password(policy: Policy, secret: str, code: str, last: int | None) -> int:
        assert (policy.name, secret) == ("train", "factor")
        return totp_step(OTP_SECRET, code, guarded.world.time, last_step=last)

    return password


def code(guarded: Gate) -> str:
    generator = TOTP(OTP_SECRET, 6, SHA1(), 30)  # noqa: S303 - RFC 6238 as apps have it
    return generator.generate(int(guarded.world.time.timestamp())).decode()


def test_password_starts_one_run(guarded: Gate) -> None:
    """Its time step is used up by what is recorded."""
    asked = {"check_password": check(guarded), "otp": code(guarded)}
    first, second = guarded.ask(**asked).release, guarded.ask(**asked).release
    guarded.commit(first)

    assert guarded.world.machine.totp_steps == {"policy:train/factor": first.totp_step}
    with guarded.world.refuses(OneTimePasswordUsedError):
        guarded.ask(**asked)
    with guarded.world.refuses(ReleaseInvalidError):
        guarded.commit(second)
    guarded.world.time += timedelta(seconds=30)
    guarded.commit(guarded.ask(check_password=check(guarded), otp=code(guarded)).release)
    assert replay(guarded.world.log) == guarded.world.machine


def test_missing_and_wrong_password_are_told_apart(guarded: Gate) -> None:
    """To an attested requester; nothing is used up."""
    with guarded.world.refuses(OneTimePasswordMissingError, "train needs"):
        guarded.ask(check_password=check(guarded))
    wrong = f"{(int(code(guarded)) + 500_000) % 1_000_000:06}"
    with guarded.world.refuses(OneTimePasswordError):
        guarded.ask(check_password=check(guarded), otp=wrong)
    with guarded.world.refuses(OneTimePasswordError):
        guarded.ask(otp=code(guarded))


def test_release_without_the_step_it_used_is_refused(guarded: Gate) -> None:
    """A trust service cannot forget that a password was used, nor invent one."""
    release = guarded.ask(check_password=check(guarded), otp=code(guarded)).release
    with guarded.world.refuses(ReleaseInvalidError):
        guarded.commit(replace(release, totp_step=None))
    with guarded.world.refuses(ReleaseInvalidError):
        World.release(plain := World.enacted(), totp_step=5)
    assert plain.machine.totp_steps == {}


# --- identity keys and the end of a policy ---------------------------------------------------


def test_key_to_certify_is_bound_and_recorded(hardware: Hardware) -> None:
    """The certificate goes to a key of the environment that was attested."""
    document = policy_json(authority=True, services={"train": service_json(identity=True)})
    gate = Gate(hardware, document)
    release = gate.ask(tls_spki=SPKI).release

    assert hashlib.sha256(SPKI).digest() == release.tls_spki_sha256
    with gate.world.refuses(IdentityKeyError, "none was sent"):
        gate.ask()
    request = hardware.request(gate.world, gate.nonce(), tls_spki=SPKI)
    with gate.world.refuses(BindingMismatchError):
        gate.decide(replace(request, tls_spki=b"another key"))
    with gate.world.refuses(ReleaseInvalidError):
        gate.commit(replace(release, tls_spki_sha256=None))
    gate.commit(release)


def test_key_that_nobody_certifies_is_refused(hardware: Hardware) -> None:
    """A policy without an authority says so."""
    gate = Gate.of(hardware)
    with gate.world.refuses(IdentityKeyError, "train certifies none for it"):
        gate.ask(tls_spki=SPKI)


def test_policy_ends_when_it_says(hardware: Hardware) -> None:
    """At that moment, not after it; and in the log as at the gate."""
    end = NOW + timedelta(hours=1)
    gate = Gate(hardware, policy_json(not_after="2026-01-15T13:00:00Z"))
    gate.world.time = end - timedelta(seconds=1)
    release: Release = gate.ask().release
    gate.world.time = end

    with gate.world.refuses(PolicyExpiredError, "valid until 2026-01-15T13:00:00Z"):
        gate.commit(release)
    with gate.world.refuses(PolicyExpiredError):
        gate.ask()
