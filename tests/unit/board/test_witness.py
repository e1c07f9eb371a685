# SPDX-License-Identifier: Apache-2.0
"""Who must have seen the log: quorums that protect something, and who counts in them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.support.board import CONSTITUTION, MEMBERS, World, genesis_json, seed

from accord.board import Genesis, ReplaceWitnesses, WitnessPolicy, required
from accord.encoding import Fields, base64_encode
from accord.errors import AccordError, GenesisError, MalformedError
from accord.identity import VerifyKey


def witness_json(name: str, group: str | None = None, **changes: Any) -> dict[str, Any]:
    key = base64_encode(seed(f"witness {name}"))
    url = f"https://{name}.example"
    return {"name": name, "group": group or name, "key": key, "url": url, **changes}


def policy_json(*witnesses: dict[str, Any], quorum: int, faulty: int = 0) -> dict[str, Any]:
    return {"witnesses": list(witnesses), "quorum": quorum, "faulty": faulty}


def policy(*witnesses: dict[str, Any], quorum: int, faulty: int = 0) -> WitnessPolicy:
    document = policy_json(*witnesses, quorum=quorum, faulty=faulty)
    return WitnessPolicy.from_fields(Fields(document, "witnesses"))


@pytest.mark.parametrize(("size", "quorum"), [*itertools.product(range(1, 6), range(1, 7))])
def test_only_quorums_that_share_an_honest_witness_are_taken(size: int, quorum: int) -> None:
    """Two quorums of q have at least 2q - n groups in common: more than those that may lie."""
    witnesses = [witness_json(f"w{number}") for number in range(size)]
    for faulty in range(size + 1):
        safe = quorum <= size and 2 * quorum - size > faulty
        try:
            found = policy(*witnesses, quorum=quorum, faulty=faulty)
        except MalformedError:
            assert not safe
        else:
            assert safe
            assert found.to_json() == policy_json(*witnesses, quorum=quorum, faulty=faulty)


def test_one_organisation_cannot_fill_a_quorum() -> None:
    """However many witnesses it has, they are one group, and a name counts once."""
    listed = [witness_json(f"lab-{number}", "lab") for number in range(5)]
    found = policy(*listed, witness_json("clinic"), witness_json("north"), quorum=2)

    assert not found.reached([item["name"] for item in listed])
    assert not found.reached(["clinic", "clinic", "nobody"])
    assert found.reached(["lab-3", "clinic"])
    with pytest.raises(MalformedError, match="never be reached"):
        policy(*listed, quorum=2)


@pytest.mark.parametrize(
    "witnesses",
    [
        [],
        [witness_json("a"), witness_json("a", "b", key=base64_encode(seed("other")))],
        [witness_json("a"), witness_json("b", key=witness_json("a")["key"])],
        *([witness_json("a", url=url)] for url in ("ftp://a", "https://", "https://u@a", "a b")),
    ],
)
def test_witnesses_that_could_be_mistaken_are_refused(witnesses: list[dict[str, Any]]) -> None:
    """Nobody, two of one name, one key for two, and addresses that are none."""
    with pytest.raises(AccordError):
        policy(*witnesses, quorum=1)


def test_whoever_votes_does_not_witness_with_the_same_key() -> None:
    """A witness's daemon is on line; a member's key need not be."""
    genesis = genesis_json()
    key = genesis["members"][0]["identity"]["verify_key"]
    named = policy_json(witness_json("a", key=key), quorum=1)
    with pytest.raises(GenesisError, match="witness's as well"):
        Genesis.from_json({**genesis, "freshness": "witnessed", "witnesses": named})


def test_freshness_is_what_the_witnesses_make_it() -> None:
    """A board with witnesses cannot call itself solo, nor the other way about."""
    named = policy_json(witness_json("a"), quorum=1)
    for changes in ({"freshness": "solo", "witnesses": named}, {"freshness": "witnessed"}):
        with pytest.raises(GenesisError, match="freshness"):
            Genesis.from_json(genesis_json(**changes))


def test_replaced_witnesses_are_asked_until_a_quorum_saw_that_they_are() -> None:
    """Else a clone could go on with those that another one has replaced."""
    first, second, third = (policy(witness_json(name), quorum=1) for name in ("a", "b", "c"))
    history = [(0, first), (5, second), (9, third)]

    assert required(history, since=0, size=4) == (first,)
    assert required(history, since=4, size=6) == (first, second)
    assert required(history, since=6, size=8) == (second,)
    assert required(history, since=6, size=12) == (second, third)
    assert required(history, since=0, size=12) == (first, second, third)


def test_board_that_was_founded_alone_can_name_witnesses_later() -> None:
    """From then on they are asked; what came before was seen by nobody."""
    world = World.ready(
        constitution={**CONSTITUTION, "witnesses.replace": {"all": ["role:data-owner"]}}
    )
    named = policy(witness_json("a"), witness_json("b"), witness_json("c"), quorum=2)
    proposal = world.propose(actions=(ReplaceWitnesses(named),), title="witnesses")
    for name in MEMBERS:
        world.vote(name, proposal)
    world.enact(proposal)
    state, index = world.machine.board, world.log[-1].index

    assert state.charter.witnesses == named
    assert state.witnessed == [(index, named)]
    assert required(state.witnessed, since=0, size=index + 1) == (named,)
    assert VerifyKey(seed("witness a")) == named.by_name["a"].key
