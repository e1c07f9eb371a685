# SPDX-License-Identifier: Apache-2.0
"""Rules are monotone, and what they say is missing is exactly what is missing."""

from itertools import chain, combinations
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accord.board import Constitution, Electorate, Rule
from accord.encoding import Fields
from accord.errors import AccordError, ConstitutionError

MEMBERS = ("ann", "bob", "cid", "dee")
SETS = st.sampled_from(
    [
        "affected_owners",
        "role:x",
        "role:y",
        "role:none",
        *(f"member:{m}" for m in (*MEMBERS, "zoe")),
    ]
)
RULES = st.recursive(
    SETS | st.builds(lambda n, of: {"at_least": {"n": n, "of": of}}, st.integers(1, 4), SETS),
    lambda inner: st.builds(
        lambda kind, rules: {kind: rules},
        st.sampled_from(["all", "any"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)
SOME = st.frozensets(st.sampled_from(MEMBERS))
ROLES = st.fixed_dictionaries(
    {name: st.frozensets(st.sampled_from(["x", "y"])) for name in MEMBERS}
)
fast = settings(max_examples=150, deadline=None)


def subsets() -> list[frozenset[str]]:
    sizes = range(len(MEMBERS) + 1)
    return [frozenset(s) for s in chain.from_iterable(combinations(MEMBERS, n) for n in sizes)]


def model(rule: Any, approvals: frozenset[str], roles: Any, owners: frozenset[str]) -> bool:
    """The rules again, as short as they can be said."""
    if isinstance(rule, dict) and ("all" in rule or "any" in rule):
        combine = all if "all" in rule else any
        (inner,) = rule.values()
        return combine(model(item, approvals, roles, owners) for item in inner)
    needed, of = (
        (rule["at_least"]["n"], rule["at_least"]["of"]) if isinstance(rule, dict) else (0, rule)
    )
    kind, _, name = of.partition(":")
    meant = (
        owners
        if kind == "affected_owners"
        else {m for m in MEMBERS if (m == name if kind == "member" else name in roles[m])}
    )
    return bool(meant) and len(meant & approvals) >= (needed or len(meant))


@fast
@given(RULES, ROLES, SOME)
def test_rule_means_what_the_model_says(document: Any, roles: Any, owners: frozenset[str]) -> None:
    """For every set of approvals; and written as it was read."""
    rule = Rule.from_json(document, "rule")
    electorate = Electorate(roles, affected_owners=owners)

    assert document == rule.to_json()
    for approvals in subsets():
        assert rule.satisfied(approvals, electorate) is model(document, approvals, roles, owners)


@fast
@given(RULES, ROLES, SOME)
def test_another_approval_never_hurts(document: Any, roles: Any, owners: frozenset[str]) -> None:
    """Monotone: nobody can block by agreeing, or be outvoted by more agreement."""
    rule, electorate = Rule.from_json(document, "rule"), Electorate(roles, affected_owners=owners)
    for approvals in subsets():
        if rule.satisfied(approvals, electorate):
            for member in MEMBERS:
                assert rule.satisfied(approvals | {member}, electorate)


@fast
@given(RULES, ROLES, SOME)
def test_nothing_is_missing_exactly_where_satisfied(
    document: Any, roles: Any, owners: frozenset[str]
) -> None:
    """And what is missing names nobody who has approved already."""
    rule, electorate = Rule.from_json(document, "rule"), Electorate(roles, affected_owners=owners)
    for approvals in subsets():
        missing = rule.missing(approvals, electorate)
        assert (not missing) is rule.satisfied(approvals, electorate)
        assert not approvals & set(missing)


@fast
@given(RULES, ROLES)
def test_accepted_constitution_can_be_satisfied(document: Any, roles: Any) -> None:
    """By all members together, where everybody is affected; a refused one cannot be."""
    constitution = Constitution.from_fields(Fields({"policy.enact": document}, "constitution"))
    everybody = frozenset(MEMBERS)
    possible = model(document, everybody, roles, everybody)
    try:
        constitution.check(Electorate(roles, affected_owners=everybody))
    except ConstitutionError:
        assert not possible
    else:
        assert possible


@fast
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-2, 5) | st.text(max_size=9) | SETS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["all", "any", "at_least", "n", "of", "x"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_no_rule_makes_the_reader_fall_over(document: Any) -> None:
    """A rule or one of our errors."""
    try:
        rule = Rule.from_json(document, "rule")
    except AccordError:
        return
    assume(rule.members or rule.rules)
    assert document == rule.to_json()
