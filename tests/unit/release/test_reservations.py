# SPDX-License-Identifier: Apache-2.0
"""Reservations of uses: what may be reserved, who may take from it, and when it is void."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import (
    NOW,
    World,
    digest,
    policy_json,
    replay,
    seed,
    service_json,
    terms,
)
from tests.support.leases import (
    TTL_S,
    leased,
    release,
    reservation_of,
    reserve,
    witnessed_world,
)

from accord.board import ExecutionStop
from accord.encoding import Fields, canonical_json, parse_json
from accord.errors import (
    ConsentWithdrawnError,
    DuplicateStatementError,
    ExecutionStoppedError,
    FreshnessError,
    LogKeyError,
    MalformedError,
    ReleaseInvalidError,
    ReservationError,
    ReservationInvalidError,
    SignatureInvalidError,
    UsesExhaustedError,
    WrongBoardError,
)
from accord.policy import FreshnessMode
from accord.release import (
    UseReservation,
    explain_asset,
    freshness_mode,
    is_leased,
    machine_to_json,
    read_machine,
    state_digest,
)

TTL = timedelta(seconds=TTL_S)


@pytest.fixture
def world() -> World:
    return witnessed_world()


def counted(world: World) -> set[int]:
    """Uses of the two assets, which are always used together."""
    return {*world.machine.uses.values()}


def test_reservation_counts_all_its_uses_at_once(world: World) -> None:
    """Before any of them leaves; releases then count no further one."""
    reserved = reserve(world)
    assert (reserved.left, counted(world)) == (3, {3})

    made = [release(world) for _ in range(3)]
    assert [{use.number for use in item.uses} for item in made] == [{1}, {2}, {3}]
    assert {item.reservation for item in made} == {reserved.digest}
    assert counted(world) == {3}
    assert world.machine.reservations["train", "train"].left == 0
    assert replay(world.log) == world.machine


def test_reservation_holds_no_more_than_owners_have_left(world: World) -> None:
    """The least of all owners decides; then nothing can be reserved."""
    world.offer("lab/code", terms=terms(max_uses=2))

    assert reserve(world).reservation.count == 2
    for _ in range(2):
        release(world)
    with world.refuses(UsesExhaustedError):
        reservation_of(world)


def test_used_up_reservation_gives_nothing(world: World) -> None:
    """One more is one too many."""
    reserve(world)
    for _ in range(3):
        release(world)
    with world.refuses(ReservationError, "all of its uses are taken"):
        release(world)


def test_reservation_ends(world: World) -> None:
    """At its last moment it is over."""
    reserve(world)
    world.time = NOW + TTL - timedelta(seconds=1)
    release(world)
    world.time = NOW + TTL
    with world.refuses(ReservationError, "it lasted until"):
        release(world)


def test_next_reservation_gives_back_what_was_left(world: World) -> None:
    """Within one start: nobody else could have taken it."""
    first = reserve(world)
    release(world)
    second = reserve(world)

    assert second.reservation.predecessor == first.digest
    assert second.reservation.count == 3
    assert counted(world) == {4}
    with world.refuses(ReservationError, "it is void"):
        release(world, reserved=first)
    release(world)
    assert replay(world.log) == world.machine


def test_nothing_taken_leaves_no_trace(world: World) -> None:
    """Given back to the last one, an offer is as if it was never used."""
    first = reserve(world)
    world.offer("ann/records", terms=terms(max_uses=9))
    reserve(world)

    assert first.first[0].offer not in world.machine.uses
    assert replay(world.log) == world.machine


def test_start_voids_reservations_and_keeps_them_counted(world: World) -> None:
    """What they had left is lost to the owners: others may have it already."""
    first = reserve(world)
    release(world)
    world.start(nonce="second")

    assert world.machine.reservations == {}
    assert counted(world) == {3}
    with world.refuses(ReservationError, "it is void"):
        release(world, reserved=first)
    second = reserve(world)
    assert (second.reservation.count, second.reservation.predecessor) == (2, None)
    assert counted(world) == {5}


def test_services_have_reservations_of_their_own(world: World) -> None:
    """They share what owners allow, and nothing else."""
    one, other = reserve(world, "train"), reserve(world, "score")
    assert (one.reservation.count, other.reservation.count) == (3, 2)

    with world.refuses(ReservationError, "it is void"):
        release(world, "train", reserved=other)
    release(world, "train")
    release(world, "score")
    with world.refuses(UsesExhaustedError):
        release(world, reserved=None)


def test_release_without_a_reservation_is_counted_by_itself(world: World) -> None:
    """It waits for the witnesses, as every release of a strict policy does."""
    made = release(world)

    assert made.reservation is None
    assert counted(world) == {1}
    assert reserve(world).first[0].number == 2


@pytest.mark.parametrize(
    "change",
    [
        {"count": 4},
        {"until": NOW},
        {"until": NOW + TTL + timedelta(seconds=1)},
        {"boot": seed("another start")},
        {"policy_digest": digest("another version")},
        {"predecessor": digest("another")},
    ],
    ids=["count", "ended", "longer", "boot", "version", "predecessor"],
)
def test_reservation_that_the_policy_does_not_allow_is_no_entry(
    world: World, change: dict[str, Any]
) -> None:
    """More, longer, for another start or version, or forgetting the one before."""
    with world.refuses(ReservationInvalidError):
        reserve(world, **change)
    reserve(world, count=1, until=NOW + timedelta(seconds=1))


def test_reservation_is_the_services_own_statement(world: World) -> None:
    """For this board, by the log key, once, and not before there is one."""
    body = reservation_of(world)
    with world.refuses(SignatureInvalidError):
        world.say("use-reservation", body.to_json(), "ann")
    with world.refuses(WrongBoardError):
        reserve(world, board=digest("other"))
    envelope = world.sign("use-reservation", body.to_json(), world.service.signer)
    world.record(envelope)
    with world.refuses(DuplicateStatementError):
        world.record(envelope)
    early = World.founded()
    with early.refuses(LogKeyError):
        early.say("use-reservation", body.to_json(), early.service.signer)


def test_release_takes_the_next_use_of_its_reservation(world: World) -> None:
    """Neither another number nor another service's."""
    reserve(world)
    other = [replace(use, number=use.number + 1) for use in release(world).uses]
    for uses in (tuple(replace(use, number=use.number + 1) for use in other), ()):
        with world.refuses(ReleaseInvalidError):
            release(world, uses=uses)


def test_release_that_names_what_is_not_there_is_no_entry(world: World) -> None:
    """Nobody reserved it."""
    with world.refuses(ReservationError, "it is void"):
        release(world, reservation=digest("nothing"))


def test_asset_that_is_offered_anew_is_not_reserved(world: World) -> None:
    """New terms are counted from the beginning."""
    reserve(world)
    world.offer("ann/records", terms=terms(max_uses=1))
    with world.refuses(ReservationError, "ann/records has been offered anew"):
        release(world)
    assert reserve(world).reservation.count == 1


def test_new_version_ends_the_reservations_of_the_old_one(world: World) -> None:
    """What the members voted on last decides."""
    reserved = reserve(world)
    head = world.machine.board.policy("train")
    assert head is not None
    world.enact_policy({**leased(max_uses=1), "predecessor": head.digest})

    assert reserved.why_not(world.machine.board, NOW) == "another version of the policy is in force"
    with world.refuses(ReservationError, "another version"):
        release(world)
    assert reserve(world).reservation.count == 1
    assert counted(world) == {1}


def test_withdrawn_consent_and_stops_reach_what_is_reserved(world: World) -> None:
    """At once: a reservation is no consent."""
    reserve(world)
    stop = ExecutionStop(world.board, "ann", "policy:train", "a doubt", world.time)
    world.say("execution-stop", stop.to_json(), "ann")
    for attempt in (release, reserve):
        with world.refuses(ExecutionStoppedError):
            attempt(world)
    other = witnessed_world()
    reserve(other)
    made = other.machine.reservations["train", "train"]
    other.withdraw("ann/records")
    with other.refuses(ConsentWithdrawnError):
        release(other, reserved=made)


@pytest.mark.parametrize(
    "freshness", [None, {"mode": "strict"}, {"mode": "lease", "max_uses": 3, "ttl_s": 60}]
)
def test_only_leases_are_reserved(freshness: Any) -> None:
    """Neither where the policy is strict nor what exists once."""
    service = service_json(singleton=freshness is not None)
    document = policy_json(services={"train": service})
    world = witnessed_world(document if freshness is None else {**document, "freshness": freshness})
    with world.refuses(ReservationError, "wait for the witnesses"):
        reservation_of(world)


def test_round_trip_and_strictness(world: World) -> None:
    """As it is read from the log."""
    first = reserve(world).reservation
    for item in (first, reservation_of(world)):
        body: Any = item.to_json()
        assert item == UseReservation.from_fields(Fields(body, "reservation"))
        for damaged in ({**body, "extra": 1}, {**body, "count": 0}, {**body, "boot": "AAAA"}):
            with pytest.raises(MalformedError):
                UseReservation.from_fields(Fields(damaged, "reservation"))


def test_snapshot_keeps_what_is_reserved(world: World) -> None:
    """Whoever starts from a saved state counts on where it was."""
    reserve(world)
    release(world)
    data = canonical_json(machine_to_json(world.machine))
    copy = read_machine(parse_json(data, what="snapshot"))

    assert copy == world.machine
    assert state_digest(copy) == state_digest(world.machine)
    at = len(world.log)
    release(world)
    reserve(world)
    for entry in world.log[at:]:
        copy.apply(entry)
    assert state_digest(copy) == state_digest(world.machine)


# --- freshness -------------------------------------------------------------------------------


def test_board_decides_where_the_policy_is_silent(world: World) -> None:
    """Strict with witnesses, solo without."""
    silent = witnessed_world(policy_json())
    for where, expected in ((silent, "strict"), (World.enacted(), "solo"), (world, "lease")):
        policy = where.machine.board.policy("train")
        assert policy is not None
        assert freshness_mode(where.machine.board, policy) == FreshnessMode(expected)
        assert is_leased(policy, "train") is (expected == "lease")


@pytest.mark.parametrize("mode", [{"mode": "strict"}, {"mode": "lease", "max_uses": 1, "ttl_s": 1}])
def test_board_without_witnesses_releases_nothing_that_asks_for_them(mode: Any) -> None:
    """It could only pretend."""
    world = World.enacted(policy_json(freshness=mode))
    with world.refuses(FreshnessError, "the board has no witnesses"):
        world.release()


def test_why_says_what_a_release_waits_for(world: World) -> None:
    """With the bound of a lease."""
    waits = [
        item.factors[-1]
        for where in (world, witnessed_world(policy_json()), World.enacted())
        for item in explain_asset(where.machine, "ann/records", now=NOW).recipients[:1]
    ]

    assert waits[0].endswith("all of its 3 releases within 60 s may be in no log after a rollback")
    assert waits[1:] == ["witnesses that cosigned its entry", "channel level L1"]
