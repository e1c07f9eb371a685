# SPDX-License-Identifier: Apache-2.0
"""The entry that hands a log over: what everybody who replays it believes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.board import Person, World, digest, seed

from accord.encoding import Fields
from accord.errors import HandoverInvalidError, LogKeyError, SignatureInvalidError, WrongBoardError
from accord.evidence import Purpose
from accord.identity import SealKey
from accord.release import (
    Handover,
    HandoverOffer,
    HandoverRequest,
    ServiceStart,
    machine_to_json,
    read_machine,
)

NEXT = Person.of("the next service")


@pytest.fixture
def world() -> World:
    """A founded board whose trust service has started."""
    world = World.founded()
    world.start()
    return world


def handover(world: World, **changes: Any) -> Handover:
    machine = world.machine
    plain = Handover(
        board=world.board,
        nonce=seed("question"),
        boot=seed("boot"),
        keyset=NEXT.keyset(),
        evidence=digest("evidence"),
        size=len(world.log),
        accepted=machine.board.charter.service,
        url="https://next.example",
        asked=digest("ann"),
    )
    return replace(plain, **changes)


def hand_over(world: World, *, by: Person | None = None, **changes: Any) -> None:
    """The log says it, with the key of whoever has it."""
    signer = (by or world.service).signer
    world.say("handover", handover(world, **changes).to_json(), signer)


def test_the_next_key_is_the_logs_from_here_on(world: World) -> None:
    """What the one before signs is refused; the next one starts as every service does."""
    before = world.machine.log_key
    body = handover(world)
    hand_over(world)
    machine = world.machine

    assert (machine.log_key, machine.handover) == (NEXT.signer.verify_key, body)
    assert machine.log_keys == machine.closing_keys == (NEXT.signer.verify_key, before)
    start = ServiceStart(world.board, seed("2"), body.keyset, digest("evidence 2")).to_json()
    with world.refuses(SignatureInvalidError):
        world.say("service-start", start, world.service.signer)
    world.say("service-start", start, NEXT.signer)
    assert len(machine.closing_keys) == 1
    assert machine.log_keys == (NEXT.signer.verify_key, before)


@pytest.mark.parametrize("change", ["size", "own", "accepted", "board"])
def test_a_hand_over_against_the_rules_is_refused(world: World, change: str) -> None:
    """Somewhere else in the log, to itself, by other conditions, of another board."""
    changes: dict[str, dict[str, Any]] = {
        "size": {"size": len(world.log) + 1},
        "own": {"keyset": world.keyset},
        "accepted": {"accepted": ()},
        "board": {"board": digest("another")},
    }
    with world.refuses(WrongBoardError if change == "board" else HandoverInvalidError):
        hand_over(world, **changes[change])


def test_only_the_logs_own_key_hands_it_over(world: World) -> None:
    """Neither does the next service take it, nor a member give it."""
    for somebody in (NEXT, Person.of("ann")):
        with world.refuses(SignatureInvalidError):
            hand_over(world, by=somebody)


def test_a_log_without_a_service_is_not_handed_over() -> None:
    """Nobody has it yet."""
    world = World.founded()
    with world.refuses(LogKeyError):
        hand_over(world)


def test_snapshots_know_of_it(world: World) -> None:
    """A service that was started again still says where the board went."""
    hand_over(world)
    assert read_machine(machine_to_json(world.machine)) == world.machine


def test_the_documents_are_read_as_they_were_written(world: World) -> None:
    """And evidence is bound to the question, for this purpose alone."""
    body = handover(world)
    offer = HandoverOffer(
        body.board, body.nonce, body.boot, body.keyset, SealKey(seed("key")), body.evidence
    )
    request = HandoverRequest(
        body.board, body.nonce, body.boot, body.keyset.digest, "https://a.example", body.url
    )
    assert HandoverOffer.from_fields(Fields(offer.to_json(), "offer")) == offer
    assert HandoverRequest.from_fields(Fields(request.to_json(), "request")) == request
    assert Handover.from_fields(Fields(body.to_json(), "handover")) == body
    assert offer.binding == body.binding
    assert body.binding.purpose is Purpose.HANDOVER
