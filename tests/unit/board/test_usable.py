# SPDX-License-Identifier: Apache-2.0
"""A proposal for a policy of which nothing could ever leave is refused before anybody votes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.board import CONSTITUTION, World, policy_json
from tests.support.leases import witnesses_json

from accord.board import EnactPolicy, ReplaceWitnesses, WitnessPolicy
from accord.encoding import Fields
from accord.errors import FreshnessError
from accord.policy import Policy
from accord.release import simulate

SOLO = policy_json(freshness={"mode": "solo"})


def ready(**changes: Any) -> World:
    """Started, with assets on offer, on a board with witnesses unless it is said otherwise."""
    return World.ready(freshness="witnessed", witnesses=witnesses_json(), **changes)


def test_a_policy_without_freshness_is_refused_where_there_are_witnesses() -> None:
    """It could only wait for a vote on another version: there is no way back to none."""
    world = ready()
    with world.refuses(FreshnessError, "freshness solo, and the board has witnesses"):
        world.propose(SOLO)
    with pytest.raises(FreshnessError):
        simulate(world.machine, world.proposal_of(SOLO), now=world.time)


@pytest.mark.parametrize(
    "freshness", [None, {"mode": "strict"}, {"mode": "lease", "max_uses": 3, "ttl_s": 60}]
)
def test_every_other_freshness_can_be_proposed_there(freshness: Any) -> None:
    """Whoever says nothing means strict."""
    world = ready()
    world.propose(policy_json() if freshness is None else policy_json(freshness=freshness))


@pytest.mark.parametrize("freshness", [{"mode": "solo"}, {"mode": "strict"}])
def test_a_board_without_witnesses_takes_both(freshness: Any) -> None:
    """It may get witnesses before anything is released."""
    World.ready().propose(policy_json(freshness=freshness))


def test_witnesses_that_come_with_it_count_as_well() -> None:
    """One proposal brings witnesses and a policy that would not wait for them."""
    rules = {**CONSTITUTION, "witnesses.replace": {"all": ["member:lab"]}}
    world = World.ready(constitution=rules)
    policy = WitnessPolicy.from_fields(Fields(witnesses_json(), "witnesses"))
    solo = EnactPolicy(Policy.from_json(SOLO))
    for actions in ((ReplaceWitnesses(policy), solo), (solo, ReplaceWitnesses(policy))):
        with world.refuses(FreshnessError):
            world.propose(actions=actions)
    world.propose(actions=(ReplaceWitnesses(policy),))
