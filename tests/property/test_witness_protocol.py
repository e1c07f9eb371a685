# SPDX-License-Identifier: Apache-2.0
"""Log, witnesses and gate under crashes, rollback, clones and liars: every way, up to a size."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support import crash_forks as fork_model
from tests.support import crash_lease as lease_model
from tests.support.crash_lease import Lease
from tests.support.crash_model import (
    GENESIS,
    REPLACE,
    Honest,
    Log,
    Memory,
    Rules,
    World,
    beginning,
    explore,
    honest,
    on_two_branches,
    prefixes,
    search,
    steps,
    witnesses,
)

from accord.board import WitnessPolicy
from accord.encoding import Fields
from accord.errors import MalformedError

SIZES = [(n, q, f) for n in range(1, 9) for q in range(1, n + 1) for f in range(n + 1)]


def ideal(last: Log, log: Log) -> bool:
    """What a witness should do; the product's one is compared with it."""
    return log[: len(last)] == last


# --- quorums ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 9))
def test_two_quorums_share_more_than_the_liars_exactly_where_the_theorem_says(n: int) -> None:
    """Of all pairs of quorums of up to eight witnesses, the smallest overlap is 2q - n."""
    for q in range(1, n + 1):
        quorums = [frozenset(members) for members in combinations(range(n), q)]
        # All quorums of a size look alike: one of each pair may be the first.
        smallest = min(len(quorums[0] & other) for other in quorums)

        assert max(2 * q - n, 0) == smallest


def test_a_quorum_is_left_exactly_where_enough_witnesses_are_there() -> None:
    """Whichever c of n witnesses are away, the others are a quorum where q <= n - c, else never."""
    for n, q, _ in SIZES:
        policy = witnesses(0, n, q, 0)
        names = [witness.name for witness in policy.witnesses]
        for away in range(n + 1):
            left = {policy.reached(present) for present in combinations(names, n - away)}

            assert {q <= n - away} == left


def test_a_board_takes_exactly_the_quorums_that_the_theorem_allows() -> None:
    """No other numbers of up to eight witnesses can be founded or voted for."""
    for n, q, f in SIZES:
        document = witnesses(0, n, q, f).to_json()
        if 2 * q - n > f:
            assert q == WitnessPolicy.from_fields(Fields(document, "witnesses")).quorum
        else:
            with pytest.raises(MalformedError):
                WitnessPolicy.from_fields(Fields(document, "witnesses"))


# --- one witness --------------------------------------------------------------------------------


def test_an_honest_witness_cosigns_continuations_and_nothing_else() -> None:
    """Over all logs of up to four entries of two kinds the product's witness is the ideal one."""
    logs: list[Log] = [()]
    for log in logs:
        logs += [(*log, word) for word in "ab" if len(log) < 4]
    found = {(last, log): honest(last, log) for last in logs for log in logs if log}

    assert found == {(last, log): ideal(last, log) for last, log in found}


# --- every way ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "q", "f", "changes"),
    [
        (3, 2, 0, {}),
        (4, 3, 1, {}),
        (5, 3, 0, {}),
        (3, 3, 2, {"uses": 2, "boots": 3}),
    ],
)
def test_no_effect_leaves_on_two_branches(n: int, q: int, f: int, changes: dict[str, Any]) -> None:
    """Whatever the operator and at most f liars do, all effects are of one log."""
    found = explore(Rules(witnesses(0, n, q, f), lying=f, **changes))

    assert found.way == ()
    assert found.states > 1000


def test_the_search_finds_two_branches_exactly_where_the_theorem_allows_them() -> None:
    """Where 2q - n <= f it shows how effects leave on both; so it would show it elsewhere."""
    for n, q, f in SIZES:
        if n <= 4:
            found = explore(Rules(witnesses(0, n, q, f), lying=f))

            assert (n, q, f, 2 * q - n <= f) == (n, q, f, bool(found.way))


def test_a_witness_that_was_set_back_counts_as_a_liar() -> None:
    """One that forgets is borne where one liar is, and ends the protection where none is."""
    borne = explore(Rules(witnesses(0, 3, 3, 1), lying=0, forgetful=1))
    fatal = explore(Rules(witnesses(0, 3, 2, 0), lying=0, forgetful=1))

    assert borne.way == ()
    assert fatal.way != ()


def test_new_witnesses_do_not_open_a_second_branch() -> None:
    """The log before the replacement cannot go on with the old ones, nor without them."""
    rules = Rules(witnesses(0, 1, 1, 0), lying=0, successor=witnesses(1, 2, 1, 0))
    found = explore(rules)
    careless = explore(replace(rules, old_quorum_asked=False))

    assert found.way == ()
    last = careless.way[-1]
    assert isinstance(last, World)
    assert any(REPLACE in log for log in last.services)


def test_a_search_that_ends_early_is_not_taken_for_a_proof() -> None:
    """More states than the limit is an error, never an empty result."""
    with pytest.raises(RuntimeError, match="more than 10 states"):
        search(0, lambda number: iter([number + 1]), lambda _: False, limit=10)


# --- recoveries, and forks that members resolved ------------------------------------------------


@pytest.mark.parametrize(("n", "q", "f"), [(1, 1, 0), (2, 2, 1)])
def test_no_effect_leaves_on_two_branches_across_recoveries_and_votes(
    n: int, q: int, f: int
) -> None:
    """Members recover any disk and vote for any history: what they did not abandon is one log."""
    found = fork_model.explore(fork_model.Rules(witnesses(0, n, q, f), lying=f))

    assert found.way == ()
    assert found.states > 5000


@pytest.mark.parametrize(
    "mutant", [{"store": fork_model.Unretiring}, {"reader": fork_model.Believing}]
)
def test_a_witness_that_retires_nothing_or_takes_any_key_is_found_out(
    mutant: dict[str, Any],
) -> None:
    """An abandoned name goes on beside the new one; a forger's tree is cosigned."""
    found = fork_model.explore(fork_model.Rules(witnesses(0, 1, 1, 0), lying=0, **mutant))

    assert found.way != ()


def test_more_liars_than_the_board_allows_for_are_found_out_here_too() -> None:
    """Two that lie cosign both branches: so the search would show it elsewhere."""
    found = fork_model.explore(fork_model.Rules(witnesses(0, 2, 1, 0), lying=1))

    assert found.way != ()


# --- leases -------------------------------------------------------------------------------------

BOUNDS = [
    Lease(4, 2),
    Lease(3, 2),
    Lease(4, 2, boots=3, reservations=1),
    Lease(3, 3, boots=1, reservations=3),
]


def worst(world: lease_model.World) -> int:
    return max(lease_model.missing(world).values(), default=0)


@pytest.mark.parametrize("lease", BOUNDS)
def test_uses_in_lease_mode_never_exceed_what_owners_allow(lease: Lease) -> None:
    """Rolled back and cloned, all releases together stay within what the witnessed log counts."""

    def exceeded(world: lease_model.World) -> bool:
        counted, _ = lease_model.read(world.confirmed, lease)
        return not len(lease_model.released(world)) <= counted <= lease.max_uses

    found = search(lease_model.World(), lambda world: lease_model.steps(world, lease), exceeded)

    assert found.way == ()


@pytest.mark.parametrize("lease", BOUNDS)
def test_the_bound_of_a_lease_is_exact(lease: Lease) -> None:
    """Of each reservation `count` releases can be missing from the witnessed log, and not one more.

    Of one service together as well: its next reservation brings the releases of the one before.
    """

    def reach(number: int, *, together: bool = False) -> bool:
        def bad(world: lease_model.World) -> bool:
            if together:
                return sum(lease_model.missing(world).values()) >= number
            return worst(world) >= number

        return search(lease_model.World(), lambda at: lease_model.steps(at, lease), bad).way != ()

    assert (reach(lease.count), reach(lease.count + 1)) == (True, False)
    assert (lease.boots > 1) == reach(lease.count + 1, together=True)


@pytest.mark.parametrize("broken", ["bound_to_boot", "confirmed_first", "returned_by_anyone"])
def test_each_rule_of_leases_is_needed(broken: str) -> None:
    """Without any of them a clone or an old disk gives more releases than owners allowed."""
    sound = Lease(2, 2)
    lease = replace(sound, **{broken: not getattr(sound, broken)})
    found = search(
        lease_model.World(),
        lambda world: lease_model.steps(world, lease),
        lambda world: len(lease_model.released(world)) > lease.max_uses,
    )

    assert found.way != ()


# --- larger, at random --------------------------------------------------------------------------


class ManyWitnesses(RuleBasedStateMachine):
    """Up to nine witnesses of the product, long logs, many clones; liars within the bound."""

    @initialize(data=st.data(), n=st.integers(1, 9))
    def begin(self, data: st.DataObject, n: int) -> None:
        q = data.draw(st.integers(n // 2 + 1, n))
        f = data.draw(st.integers(0, 2 * q - n - 1))
        self.model = Rules(witnesses(0, n, q, f), lying=f, boots=6, uses=4)
        self.world = beginning(self.model)
        self.witnesses = [Honest(name) for name in self.model.honest]

    @rule(data=st.data())
    def start_or_append(self, data: st.DataObject) -> None:
        """A service starts from any disk that ever was, or one goes on."""
        numb = replace(self.model, accepts=lambda _last, _log: False)
        coming = [world for world in steps(self.world, numb) if world != self.world]
        if coming:
            self.world = data.draw(st.sampled_from(coming))

    @precondition(lambda self: self.world.services)
    @rule(data=st.data())
    def show_to_many(self, data: st.DataObject) -> None:
        """Any signed checkpoint, old or new, goes to any witnesses."""
        log = data.draw(st.sampled_from(sorted(prefixes(self.world.services))))
        memories = list(self.world.memories)
        for place in data.draw(st.sets(st.sampled_from(range(len(memories))))) if memories else ():
            if self.witnesses[place].cosigns(log):
                memories[place] = Memory(log, memories[place].signed | {log})
        self.world = replace(self.world, memories=tuple(memories))

    @invariant()
    def nothing_left_on_two_branches(self) -> None:
        if hasattr(self, "world"):
            assert not on_two_branches(self.world, self.model)
            assert all(log[: len(GENESIS)] == GENESIS for log in self.world.services)


TestManyWitnesses = ManyWitnesses.TestCase
TestManyWitnesses.settings = settings(max_examples=30, stateful_step_count=30)
