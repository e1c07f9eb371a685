# SPDX-License-Identifier: Apache-2.0
"""Runs that go on only as long as fresh evidence and everybody's consent say so; stops."""

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
from tests.support.gate import Gate

from accord.board import ExecutionStop, ResumeExecution
from accord.encoding import Digest
from accord.errors import (
    AppraisalError,
    BindingMismatchError,
    ChannelTooWeakError,
    ConsentWithdrawnError,
    ExecutionStoppedError,
    ExportWithdrawnError,
    LeaseError,
    MalformedError,
    NonceError,
    ReleaseInvalidError,
    SignatureInvalidError,
    UnknownRunError,
    WrongBoardError,
)
from accord.evidence import Purpose
from accord.release import LeaseRequest, Release, Renewal

LEASE = timedelta(seconds=60)
EXPORTER = seed("this connection")


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


@pytest.fixture
def gate(hardware: Hardware) -> Gate:
    return Gate.of(hardware, lease_s=60)


@pytest.fixture
def run(gate: Gate) -> Release:
    return gate.release()


def lease(gate: Gate, run: Release) -> Any:
    return gate.world.machine.runs[run.run].lease_until


# --- leases ----------------------------------------------------------------------------------


def test_lease_goes_on_from_the_moment_it_is_renewed(gate: Gate, run: Release) -> None:
    """Not from when it would have ended: nobody saves up time."""
    assert lease(gate, run) == NOW + LEASE
    gate.world.time += timedelta(seconds=30)
    renewal = gate.renew(gate.lease_request(run))
    gate.record(renewal)

    assert NOW + timedelta(seconds=90) == lease(gate, run) == renewal.until
    assert {use.number for use in run.uses} == set(gate.world.machine.uses.values()) == {1}
    gate.world.finish(run)
    assert replay(gate.world.log) == gate.world.machine


def test_lease_request_round_trip(gate: Gate, run: Release) -> None:
    """As it crosses the wire, and strictly."""
    request = gate.lease_request(run, exporter=EXPORTER)
    body: Any = request.to_json()

    assert request == LeaseRequest.from_json(body)
    for damaged in ({**body, "extra": 1}, {**body, "run": "x"}, {**body, "channel": "L3"}):
        with pytest.raises(MalformedError):
            LeaseRequest.from_json(damaged)


def test_lease_that_has_ended_is_not_renewed(gate: Gate, run: Release) -> None:
    """At its last moment it is over, at the gate as in the log."""
    renewal = gate.renew(gate.lease_request(run))
    gate.world.time += LEASE
    request = gate.lease_request(run)

    with gate.world.refuses(LeaseError, "it has ended"):
        gate.renew(request)
    with gate.world.refuses(ReleaseInvalidError):
        gate.record(renewal)


def test_run_without_a_lease_needs_no_renewal(hardware: Hardware) -> None:
    """It runs to its end."""
    gate = Gate.of(hardware)
    run = gate.release()

    assert run.lease_until is None
    with gate.world.refuses(LeaseError):
        gate.renew(gate.lease_request(run))


def test_renewal_needs_fresh_evidence_of_the_same_environment(gate: Gate, run: Release) -> None:
    """Another program, other keys, another run, an old nonce, one for a release: all refused."""
    hardware, world = gate.hardware, gate.world
    request = gate.lease_request(run, attest=lambda b: hardware.attest(b, mrtd=OTHER_MRTD))
    with world.refuses(AppraisalError):
        gate.renew(request)
    foreign = gate.lease_request(replace(run, keyset=Person.of("other").keyset()))
    with world.refuses(BindingMismatchError):
        gate.renew(foreign)
    request = gate.lease_request(run)
    gate.renew(request)
    with world.refuses(NonceError, "used before"):
        gate.renew(request)
    with world.refuses(NonceError, "another board or purpose"):
        gate.renew(gate.lease_request(run, nonce=gate.nonce(Purpose.RELEASE)))
    first, second = gate.lease_request(run), gate.release()
    with world.refuses(BindingMismatchError):
        gate.renew(gate.lease_request(second, nonce=first.nonce, attest=lambda _: first.evidence))


def test_evidence_of_a_release_does_not_renew(gate: Gate, run: Release) -> None:
    """Purposes are separate: what let a run start never lets it go on."""
    evidence = gate.hardware.request(gate.world, gate.nonce()).evidence

    with gate.world.refuses(BindingMismatchError):
        gate.renew(gate.lease_request(run, attest=lambda _: evidence))


def test_unknown_and_finished_runs_have_no_lease(gate: Gate, run: Release) -> None:
    """Whoever ended a run cannot revive it."""
    with gate.world.refuses(UnknownRunError):
        gate.renew(replace(gate.lease_request(run), run="run-" + "0" * 32))
    with gate.world.refuses(WrongBoardError):
        gate.renew(replace(gate.lease_request(run), board=digest("other")))
    renewal = gate.renew(gate.lease_request(run))
    gate.world.finish(run)
    with gate.world.refuses(UnknownRunError):
        gate.renew(gate.lease_request(run))
    with gate.world.refuses(UnknownRunError):
        gate.record(renewal)


def test_withdrawn_consent_ends_a_run_at_its_next_renewal(gate: Gate, run: Release) -> None:
    """An owner need not wait for the run to end by itself."""
    renewal = gate.renew(gate.lease_request(run))
    gate.world.withdraw("ann/records")

    with gate.world.refuses(ConsentWithdrawnError):
        gate.renew(gate.lease_request(run))
    with gate.world.refuses(ConsentWithdrawnError):
        gate.record(renewal)


def test_new_version_of_the_policy_ends_runs_of_the_old_one(gate: Gate, run: Release) -> None:
    """What goes on is what is in force."""
    renewal = gate.renew(gate.lease_request(run))
    current = gate.world.machine.board.policy("train")
    assert current is not None
    gate.world.enact_policy(
        policy_json(
            predecessor=current.digest, services={"train": service_json(lease_s=60, timeout_s=5)}
        )
    )

    with gate.world.refuses(LeaseError, "another version of train is in force"):
        gate.renew(gate.lease_request(run))
    with gate.world.refuses(ReleaseInvalidError):
        gate.record(renewal)


def test_level_of_the_channel_holds_for_renewals_too(hardware: Hardware) -> None:
    """A run that started over a proven connection goes on over one."""
    gate = Gate.of(hardware, lease_s=60, channel="L2")
    run = gate.release(exporter=EXPORTER)
    with gate.world.refuses(ChannelTooWeakError):
        gate.renew(gate.lease_request(run))
    renewal = gate.renew(gate.lease_request(run, exporter=EXPORTER), exporter=EXPORTER)

    with gate.world.refuses(ReleaseInvalidError):
        gate.record(replace(renewal, exporter=None))
    gate.record(renewal)


@pytest.mark.parametrize(
    "change",
    [
        {"until": NOW + LEASE + timedelta(seconds=1)},
        {"nonce": "the release's"},
    ],
)
def test_renewal_that_the_policy_does_not_allow_is_no_entry(
    gate: Gate, run: Release, change: dict[str, Any]
) -> None:
    """Longer than a lease is, or for a nonce that was used."""
    renewal: Renewal = gate.renew(gate.lease_request(run))
    if "nonce" in change:
        change = {"nonce": run.nonce}

    with gate.world.refuses(ReleaseInvalidError):
        gate.record(replace(renewal, **change))
    with gate.world.refuses(SignatureInvalidError):
        gate.world.say("renewal", renewal.to_json(), "shield")
    gate.record(renewal)


@pytest.mark.parametrize("until", [None, NOW + LEASE + timedelta(seconds=1)])
def test_release_with_another_lease_is_no_entry(gate: Gate, until: Any) -> None:
    """Neither without an end, nor with a later one."""
    with gate.world.refuses(ReleaseInvalidError):
        gate.commit(replace(gate.ask().release, lease_until=until))


def test_exporter_that_left_ends_the_runs_that_use_it(hardware: Hardware) -> None:
    """Sharing is looked at anew at each renewal."""
    service = service_json(environment={"TOKEN": "{{ accord.token }}"}, lease_s=60)
    imported = {"token": {"kind": "import", "policy": "vault", "secret": "token"}}
    gate = Gate(hardware, vault(to="train"))
    gate.world.enact_policy(policy_json(secrets=imported, services={"train": service}))
    run = gate.release()
    gate.record(gate.renew(gate.lease_request(run)))
    head = gate.world.machine.board.policy("vault")
    assert head is not None
    gate.world.enact_policy(vault(to="other", predecessor=head.digest))

    with gate.world.refuses(ExportWithdrawnError):
        gate.renew(gate.lease_request(run))


def vault(*, to: str, **changes: Any) -> dict[str, Any]:
    """A policy that has a secret and shares it."""
    return policy_json(
        name="vault",
        secrets={"token": {"kind": "ascii"}},
        exports=[{"secret": "token", "to": to}],
        **changes,
    )


# --- stops -----------------------------------------------------------------------------------


def stop(world: World, scope: str, *, by: str = "bob") -> Digest:
    statement = ExecutionStop(world.board, by, scope, "something is wrong", world.time)
    return world.say("execution-stop", statement.to_json(), by).digest


@pytest.mark.parametrize(
    "scope", ["board", "policy:train", "asset:ann/records", "asset:lab/code", "run"]
)
def test_one_member_stops_what_goes_on(gate: Gate, run: Release, scope: str) -> None:
    """At once, without a vote; what is stopped neither starts nor goes on."""
    prepared, renewal = gate.ask().release, gate.renew(gate.lease_request(run))
    stop(gate.world, f"run:{run.run}" if scope == "run" else scope)

    with gate.world.refuses(ExecutionStoppedError, "bob has stopped"):
        gate.renew(gate.lease_request(run))
    with gate.world.refuses(ExecutionStoppedError):
        gate.record(renewal)
    if scope != "run":
        with gate.world.refuses(ExecutionStoppedError, "something is wrong"):
            gate.ask()
        with gate.world.refuses(ExecutionStoppedError):
            gate.commit(prepared)
    else:
        gate.release()


@pytest.mark.parametrize(
    "scope", ["policy:tra", "policy:train/x", "asset:bob/records", "run:run-1"]
)
def test_stop_holds_for_its_scope_alone(gate: Gate, run: Release, scope: str) -> None:
    """Neither for names that start alike nor for anything beside it."""
    stop(gate.world, scope)
    gate.record(gate.renew(gate.lease_request(run)))
    gate.release()


def test_resumed_executions_start_again(hardware: Hardware) -> None:
    """Whoever stopped them agrees, and nothing else is stopped by it any more."""
    gate = Gate.of(hardware, lease_s=60)
    id_ = stop(gate.world, "board")
    proposal = gate.world.propose(actions=(ResumeExecution(id_),))
    gate.world.vote("bob", proposal)
    gate.world.enact(proposal)

    gate.release()
    assert gate.world.machine.board.live_stops() == ()


def test_stopping_a_policy_stops_its_namespace(hardware: Hardware) -> None:
    """Nobody escapes a stop below it."""
    gate = Gate.of(hardware)
    head = gate.world.machine.board.policy("train")
    assert head is not None
    for asset in ("ann/records", "lab/code"):
        gate.world.offer(asset, terms=terms(policies=("train/*",)))
    gate.world.enact_policy(policy_json(name="train/inner", namespace=head.digest))
    gate.release(policy="train/inner")
    stop(gate.world, "policy:train")

    with gate.world.refuses(ExecutionStoppedError):
        gate.ask(policy="train/inner")
