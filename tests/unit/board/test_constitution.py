# SPDX-License-Identifier: Apache-2.0
"""Rules: who must approve, and what is said to be missing."""

from typing import Any

import pytest

from accord.board import Action, Constitution, Electorate, Rule
from accord.encoding import Fields
from accord.errors import BoardError, ConstitutionError, MalformedError

ROLES = {
    "ann": frozenset({"owner"}),
    "bob": frozenset({"owner"}),
    "cid": frozenset({"owner", "auditor"}),
    "dee": frozenset[str](),
}
EVERYBODY = frozenset(ROLES)


def electorate(*owners: str) -> Electorate:
    return Electorate(ROLES, affected_owners=frozenset(owners))


def rule(value: Any) -> Rule:
    return Rule.from_json(value, "rule")


def nested(depth: int) -> Any:
    return "member:ann" if depth == 0 else {"all": [nested(depth - 1)]}


@pytest.mark.parametrize(
    ("value", "approvals", "missing"),
    [
        ("member:ann", {"ann"}, ()),
        ("member:ann", {"bob"}, ("ann",)),
        ("member:zoe", EVERYBODY, ("member:zoe (there are too few of them)",)),
        ("role:owner", {"ann", "bob", "cid"}, ()),
        ("role:owner", {"bob", "dee"}, ("ann", "cid")),
        ("role:pilot", EVERYBODY, ("role:pilot (there are too few of them)",)),
        ("affected_owners", {"bob"}, ()),
        ("affected_owners", {"ann"}, ("bob",)),
        ({"all": ["member:ann", "role:auditor"]}, {"ann", "cid"}, ()),
        ({"all": ["member:ann", "role:auditor"]}, {"ann"}, ("cid",)),
        ({"all": ["member:ann", "role:owner"]}, {"bob"}, ("ann", "cid")),
        ({"any": ["member:ann", "role:auditor"]}, {"cid"}, ()),
        ({"any": ["member:ann", "role:owner"]}, {"cid"}, ("ann or ann and bob",)),
        ({"at_least": {"n": 2, "of": "role:owner"}}, {"ann", "cid"}, ()),
        ({"at_least": {"n": 2, "of": "role:owner"}}, {"ann", "dee"}, ("1 of bob, cid",)),
        ({"at_least": {"n": 2, "of": "role:owner"}}, set(), ("2 of ann, bob, cid",)),
        ({"at_least": {"n": 3, "of": "role:owner"}}, {"ann"}, ("bob", "cid")),
        (
            {"at_least": {"n": 4, "of": "role:owner"}},
            EVERYBODY,
            ("role:owner (there are too few of them)",),
        ),
        (
            {"at_least": {"n": 1, "of": "role:pilot"}},
            EVERYBODY,
            ("role:pilot (there are too few of them)",),
        ),
        ({"all": ["affected_owners", {"any": ["member:ann", "member:dee"]}]}, {"dee"}, ("bob",)),
    ],
)
def test_rule_says_who_is_missing(
    value: Any, approvals: set[str], missing: tuple[str, ...]
) -> None:
    """Satisfied exactly where nobody is missing, and otherwise naming whom to ask."""
    read, approved = rule(value), frozenset(approvals)

    assert missing == read.missing(approved, electorate("bob"))
    assert read.satisfied(approved, electorate("bob")) is (not missing)
    assert value == read.to_json()


def test_set_that_means_nobody_is_never_satisfied() -> None:
    """A policy without assets cannot slip through a rule about their owners."""
    for value in ("affected_owners", {"at_least": {"n": 1, "of": "affected_owners"}}):
        assert not rule(value).satisfied(EVERYBODY, electorate())
        assert rule(value).missing(EVERYBODY, electorate())


def test_approval_of_a_stranger_counts_for_nothing() -> None:
    """Names outside the board satisfy no rule about its members."""
    assert not rule({"at_least": {"n": 1, "of": "role:owner"}}).satisfied(
        frozenset({"mallory"}), electorate()
    )
    assert not rule("member:mallory").satisfied(frozenset({"mallory"}), electorate())


@pytest.mark.parametrize(
    "value",
    [
        {"all": []},
        {"any": []},
        {"at_least": {"n": 0, "of": "role:owner"}},
        {"at_least": {"n": -1, "of": "role:owner"}},
        {"at_least": {"n": True, "of": "role:owner"}},
        {"at_least": {"n": 1}},
        {"at_least": {"n": 1, "of": "owner"}},
        {"at_least": {"n": 1, "of": {"all": ["member:ann"]}}},
        {"at_least": {"n": 1, "of": "role:owner", "veto": "member:ann"}},
        {"all": ["member:ann"], "any": ["member:ann"]},
        {"at_least": {"n": 1, "of": "role:owner"}, "any": ["member:ann"]},
        {"none": ["member:ann"]},
        {"not": "member:ann"},
        {},
        [],
        ["member:ann"],
        None,
        1,
        True,
        "ann",
        "member:",
        "member:Ann",
        "role:a b",
        "everybody",
        "group:owner",
        "affected_owners ",
        {"all": "member:ann"},
        {"all": {"member": "ann"}},
        {"all": [None]},
        nested(9),
    ],
    ids=range(30),
)
def test_unusable_rule_is_refused(value: Any) -> None:
    """Rules that anybody or nobody satisfies, that negate, or that two readers could read."""
    with pytest.raises((ConstitutionError, MalformedError)):
        rule(value)


def test_rule_can_be_nested_as_deep_as_people_can_read() -> None:
    """Eight levels."""
    assert rule(nested(8)).satisfied(frozenset({"ann"}), electorate())


def test_enacting_policies_needs_a_rule() -> None:
    """And nothing may have one that is no action."""
    with pytest.raises(MalformedError, match=r"policy\.enact is missing"):
        Constitution.from_fields(Fields({}, "constitution"))
    with pytest.raises(MalformedError, match=r"unknown field board\.dissolve"):
        Constitution.from_fields(
            Fields({"policy.enact": "member:ann", "board.dissolve": "member:ann"}, "constitution")
        )


def test_constitution_round_trip() -> None:
    """Written as it was read."""
    approve = {"all": ["affected_owners", "role:owner"]}
    whole = {"approve": approve, "veto": ["member:ann"], "notice_s": 60, "voting_s": 120}
    document = {
        "policy.enact": {"approve": approve, "veto": [], "notice_s": 0},
        "member.add": whole,
    }
    constitution = Constitution.from_fields(Fields(document, "constitution"))
    bare = Constitution.from_fields(Fields({**document, "policy.enact": approve}, "x"))

    assert document == constitution.to_json()
    assert bare == constitution
    assert {Action.POLICY_ENACT, Action.MEMBER_ADD} == set(constitution.rules)


def test_action_without_a_rule_cannot_be_done() -> None:
    """But what was stopped can always be resumed: by whoever stopped it."""
    constitution = Constitution.from_fields(Fields({"policy.enact": "member:ann"}, "x"))

    with pytest.raises(ConstitutionError, match=r"member\.add: this board has no rule for it"):
        constitution.rule(Action.MEMBER_ADD)
    assert constitution.rule(Action.EXECUTION_RESUME).approve.to_json() == "stoppers"


@pytest.mark.parametrize(
    "value",
    [
        {"approve": "member:ann", "veto": "member:ann"},
        {"approve": "member:ann", "veto": ["ann"]},
        {"approve": "member:ann", "notice_s": -1},
        {"approve": "member:ann", "notice_s": 10**9},
        {"approve": "member:ann", "voting_s": 0},
        {"approve": "member:ann", "quorum": 2},
    ],
    ids=range(6),
)
def test_malformed_rule_of_an_action_is_refused(value: Any) -> None:
    """Veto, notice and voting time are read as strictly as the rule itself."""
    with pytest.raises(MalformedError):
        Constitution.from_fields(Fields({"policy.enact": value}, "x"))


def test_weights_are_added_up() -> None:
    """Of the approving members that are meant; weight 0 is nobody's mistake."""
    weighted = rule({"weighted": {"min": 5, "of": "role:owner"}})
    voters = Electorate(ROLES, {"ann": 3, "bob": 2, "cid": 0, "dee": 100})

    assert weighted.satisfied(frozenset({"ann", "bob"}), voters)
    assert not weighted.satisfied(frozenset({"ann", "cid", "dee"}), voters)
    assert weighted.missing(frozenset({"ann"}), voters) == ("weight 2 of bob, cid",)
    light = Electorate(ROLES, {"ann": 1})
    assert weighted.missing(frozenset(), light) == ("role:owner (there are too few of them)",)
    assert weighted.to_json() == {"weighted": {"min": 5, "of": "role:owner"}}


def test_sets_mean_whom_the_proposal_affects() -> None:
    """Affected owners, owners of the lineage, and who stopped executions."""
    one = frozenset({"ann"})
    voters = Electorate(
        ROLES, affected_owners=one, lineage_owners=EVERYBODY, stoppers=frozenset({"bob"})
    )

    assert rule("affected_owners").satisfied(one, voters)
    assert not rule("lineage_owners").satisfied(one, voters)
    assert rule("lineage_owners").satisfied(EVERYBODY, voters)
    assert rule("stoppers").missing(one, voters) == ("bob",)


@pytest.mark.parametrize(
    "value",
    [
        "member:zoe",
        "role:pilot",
        {"at_least": {"n": 4, "of": "role:owner"}},
        {"at_least": {"n": 5, "of": "affected_owners"}},
        {"all": ["role:owner", "member:zoe"]},
        {"any": ["role:pilot", "member:zoe"]},
    ],
)
def test_constitution_that_nobody_could_satisfy_is_refused(value: Any) -> None:
    """A board that can never decide is not founded."""
    constitution = Constitution.from_fields(Fields({"policy.enact": value}, "constitution"))

    with pytest.raises(ConstitutionError, match=r"policy\.enact: nobody could satisfy it"):
        constitution.check(Electorate(ROLES, {}, EVERYBODY, EVERYBODY, EVERYBODY))


def test_board_errors_are_one_family() -> None:
    """A caller can catch them all."""
    assert issubclass(ConstitutionError, BoardError)
