# SPDX-License-Identifier: Apache-2.0
"""Consent is given exactly where every term of every owner holds; readers never fall over."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.board import NOW, World, policy_json

from accord.board import Terms
from accord.encoding import canonical_json
from accord.errors import AccordError, ReleaseError
from accord.policy import Assurance, Network
from accord.release import enacted_service, owners_consent

WORLD = World.enacted()
RELEASED = World.enacted()
RELEASE = RELEASED.release()
BODIES = (
    ("release", RELEASED.release_of().to_json(), "service"),
    ("run", RELEASED.run_of(RELEASE).to_json(), "shield"),
    ("asset", RELEASED.offer_of("ann/new").to_json(), "ann"),
    ("proposal", RELEASED.proposal_of(policy_json(name="new")).to_json(), "lab"),
)
fast = settings(max_examples=120, deadline=None)

NAMES = st.sampled_from(["train", "screening", "clinic", "other"])
LISTS = st.lists(NAMES, max_size=3, unique=True).map(tuple)
TERMS = st.builds(
    Terms,
    policies=LISTS | st.just(("train",)),
    purposes=LISTS | st.just(("screening",)),
    readers=LISTS | st.just(("clinic",)),
    min_assurance=st.sampled_from(Assurance),
    network=st.just(Network.NONE),
    max_uses=st.integers(0, 3),
    not_after=st.integers(-1, 2).map(lambda hours: NOW + timedelta(hours=hours)),
)


def allows(wanted: Terms, level: Assurance, used: int) -> bool:
    """The terms again, as short as they can be said."""
    order = ["simulated", "tpm", "cvm", "enclave"]
    return (
        "train" in wanted.policies
        and "screening" in wanted.purposes
        and "clinic" in wanted.readers
        and order.index(level) >= order.index(wanted.min_assurance)
        and wanted.not_after > NOW
        and used < wanted.max_uses
    )


@fast
@given(TERMS, TERMS, st.sampled_from(Assurance), st.integers(0, 3))
def test_consent_is_the_conjunction_of_all_terms(
    ann: Terms, lab: Terms, level: Assurance, used: int
) -> None:
    """One owner's no is a no, whatever the others say; and a yes counts the next use."""
    board = WORLD.machine.board
    policy, service = enacted_service(board, "train", "train", NOW)
    records = {"ann/records": ann, "lab/code": lab}
    for name, wanted in records.items():
        board.assets[name].offer = replace(board.assets[name].offer, terms=wanted)
    counted = {board.assets[name].offered_by: used for name in records}
    expected = all(allows(wanted, level, used) for wanted in records.values())
    try:
        uses = owners_consent(
            board, counted, policy=policy, service=service, assurance=level, now=NOW
        )
    except ReleaseError:
        given_ = False
    else:
        given_ = True
        assert {use.number for use in uses} == {used + 1}
    assert expected is given_


@fast
@given(st.data())
def test_no_release_or_run_makes_the_machine_fall_over(draw: st.DataObject) -> None:
    """One field of a well-signed statement replaced by anything: taken, or one of our errors."""
    kind, body, signer = draw.draw(st.sampled_from(BODIES))
    body = json.loads(canonical_json(body))
    place: Any = body
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = draw.draw(st.sampled_from(list(keys)))
        if not isinstance(place[key], (dict, list)) or not place[key] or draw.draw(st.booleans()):
            break
        place = place[key]
    before = place[key]
    place[key] = draw.draw(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text("a/:\x00é", max_size=3)
        | st.just([]) | st.just({}) | st.just([before]) | st.just({"x": before})
    )  # fmt: skip
    state = deepcopy(RELEASED.machine)
    try:
        state.apply_envelope(RELEASED.sign(kind, body, signer), index=99, time=NOW)
    except AccordError as exc:
        shown = str(exc)
    else:  # What has no meaning to the machine may have any value.
        return
    assert shown.isprintable()
    assert state == RELEASED.machine
