# SPDX-License-Identifier: Apache-2.0
"""Where results come from, and what came of an asset, over chains of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import World, digest, policy_json, service_json, terms

from accord.errors import ConsentWithdrawnError, NoSuchResultError
from accord.release import Lineage, Release, lineage_statement

MODEL = digest("output model")


def second_policy(lease_s: int | None) -> Any:
    """A policy whose program refines the model that the first one made."""
    inputs = [
        {"asset": "clinic/model", "tag": MODEL, "at": "/in/model"},
        {"asset": "bob/records", "tag": digest("bob/records"), "at": "/in/records"},
    ]
    outputs = [{"name": "better", "at": "/out/better", "readers": ["clinic"]}]
    lease = {} if lease_s is None else {"lease_s": lease_s}
    service = service_json(inputs=inputs, outputs=outputs, **lease)
    return policy_json(name="refine", services={"refine": service})


class Chain:
    """ann's records became a model; the model and bob's records became a better one."""

    def __init__(self, *, ended: bool = True, lease_s: int | None = None) -> None:
        self.world = world = World.enacted()
        self.first = world.release_of()
        world.say("release", self.first.to_json(), world.service.signer)
        world.finish(self.first)
        agreed = terms(policies=("refine",))
        world.offer("clinic/model", tag=MODEL, terms=agreed)
        world.offer("bob/records", terms=agreed)
        world.enact_policy(second_policy(lease_s))
        self.second = self.release("5", lease_s=lease_s)
        if ended:
            world.finish(self.second)

    def release(self, number: str, *, lease_s: int | None = None) -> Release:
        world = self.world
        policy = world.machine.board.policy("refine")
        assert policy is not None
        assets, counted = world.machine.board.assets, world.machine.uses
        plain = world.release_of()
        uses = tuple(
            replace(plain.uses[0], asset=name, offer=offer, number=counted.get(offer, 0) + 1)
            for name in ("clinic/model", "bob/records")
            if (offer := assets[name].offered_by)
        )
        release = replace(
            plain,
            run="run-" + number * 32,
            nonce=bytes([int(number)]) * 32,
            policy="refine",
            policy_digest=policy.digest,
            service="refine",
            uses=uses,
            lease_until=None if lease_s is None else world.time + timedelta(seconds=lease_s),
        )
        world.say("release", release.to_json(), world.service.signer)
        return release

    @property
    def lineage(self) -> Lineage:
        return Lineage(self.world.machine)


def test_a_result_is_traced_through_all_runs_that_led_to_it() -> None:
    """The latest run comes first; what came out of an earlier run says of which."""
    chain = Chain()
    document: Any = lineage_statement(chain.lineage, chain.second.run)
    better = digest("output better")
    latest, first = document["predicate"]["steps"]

    assert {"sha256": better.removeprefix("sha256:")} == document["subject"][0]["digest"]
    assert [chain.second.run, chain.first.run] == [latest["run"], first["run"]]
    assert {"run": chain.first.run, "output": "model"} == latest["inputs"][0]["made_by"]
    assert "made_by" not in latest["inputs"][1]
    assert [item["asset"] for item in first["inputs"]] == ["ann/records", "lab/code"]


def test_a_result_is_found_by_each_of_its_names() -> None:
    """Its run, RUN/OUTPUT, the asset that it was offered as, its tag."""
    chain = Chain()
    names = (chain.first.run, f"{chain.first.run}/model", "clinic/model", MODEL)

    assert {chain.first.run} == {chain.lineage.find(name) for name in names}


@pytest.mark.parametrize("name", ["", "run-1", "ann/records", "nobody/nothing", digest("x"), "/"])
def test_what_no_run_made_has_no_lineage(name: str) -> None:
    """An asset that its owner brought is where lineage ends."""
    with pytest.raises(NoSuchResultError):
        Chain().lineage.find(name)


def test_everything_that_came_of_an_asset_is_listed() -> None:
    """Also what was made of what was made of it; the other owner's data is further away."""
    lineage = Chain().lineage

    assert [(item.output, item.runs_between) for item in lineage.derived("ann/records")] == [
        ("model", 0),
        ("better", 1),
    ]
    assert [(item.output, item.runs_between) for item in lineage.derived("bob/records")] == [
        ("better", 0)
    ]
    assert lineage.derived("clinic/other") == ()


def test_runs_that_still_hold_something_of_an_asset_are_listed() -> None:
    """Through a model made of it, too; not once their lease is over."""
    chain = Chain(ended=False, lease_s=60)
    now = chain.world.time
    (live,) = chain.lineage.live("ann/records", now=now)

    assert (chain.second.run, now + timedelta(seconds=60)) == (live.run, live.lease_until)
    assert chain.lineage.live("ann/records", now=now + timedelta(seconds=60)) == ()
    assert {"run": chain.second.run, "lease_until": None} == (
        Chain(ended=False).lineage.live("bob/records", now=now)[0].to_json()
    )


def test_nothing_is_live_after_its_end() -> None:
    """A run statement ends it."""
    chain = Chain()

    assert chain.lineage.live("ann/records", now=chain.world.time) == ()


def test_nothing_is_released_of_what_was_withdrawn() -> None:
    """The lists are for those who must act; the gate has acted already."""
    chain = Chain(ended=False, lease_s=60)
    chain.world.withdraw("bob/records")

    with pytest.raises(ConsentWithdrawnError):
        chain.release("6", lease_s=60)
    assert [chain.second.run] == [
        run.run for run in chain.lineage.live("bob/records", now=chain.world.time)
    ]
