# SPDX-License-Identifier: Apache-2.0
"""Warnings about charters that work, but perhaps not as their founders meant."""

import base64
from typing import Any

from tests.support.board import MEMBERS, constitution_json, genesis_json, member_json, variant_json

from accord.board import Charter, Genesis, lint_constitution

CAREFUL = {
    "approve": {"at_least": {"n": 2, "of": "role:founder"}},
    "veto": ["role:founder"],
    "notice_s": 86400,
    "voting_s": 864000,
}
SEED = base64.b64encode(bytes(range(32))).decode()
ACTIONS = (
    "policy.enact",
    "member.add",
    "member.remove",
    "member.update",
    "constitution.replace",
    "service.replace",
)


def charter(rules: dict[str, Any], **given: Any) -> Charter:
    members = [
        {**member_json(name, role, "founder"), **given.get(name, {})}
        for name, role in MEMBERS.items()
    ]
    document = genesis_json(constitution=constitution_json(rules), members=members)
    return Genesis.from_json(document).charter


def codes(rules: dict[str, Any], **given: Any) -> set[tuple[str, str]]:
    return {(item.where, item.code) for item in lint_constitution(charter(rules, **given))}


def test_careful_charter_has_no_warning() -> None:
    """Every action has a rule, a veto and a notice; nobody decides alone."""
    assert lint_constitution(charter(dict.fromkeys(ACTIONS, CAREFUL))) == ()


def test_one_member_alone_is_told() -> None:
    """Also where it is one of several who could."""
    found = lint_constitution(
        charter(
            {**dict.fromkeys(ACTIONS, CAREFUL)}
            | {"member.add": {**CAREFUL, "approve": {"any": ["member:ann", "member:bob"]}}}
        )
    )

    assert [(item.code, item.words) for item in found] == [
        ("one-member-decides", "one approval suffices: of ann, bob")
    ]
    assert found[0].to_json()["where"] == "member.add"


def test_what_can_never_be_done_is_told() -> None:
    """A board without a rule for its members or its constitution stays as it is."""
    found = lint_constitution(charter({"policy.enact": CAREFUL}))

    assert [item.code for item in found] == ["unchangeable"]
    assert "member.add, member.remove" in found[0].words


def test_haste_and_silence_are_told() -> None:
    """No notice where members lose something, no veto, or one of nobody, no time to vote."""
    rules = dict.fromkeys(ACTIONS, CAREFUL) | {
        "member.remove": {**CAREFUL, "notice_s": 0},
        "policy.enact": {**CAREFUL, "veto": []},
        "service.replace": {**CAREFUL, "veto": ["role:founder", "role:pilot"]},
        "member.add": {**CAREFUL, "voting_s": 60, "notice_s": 60},
    }

    assert codes(rules) == {
        ("member.remove", "no-notice"),
        ("policy.enact", "no-veto"),
        ("service.replace", "empty-veto"),
        ("member.add", "no-time"),
    }


def test_machines_alone_and_members_without_a_voice_are_told() -> None:
    """Automated members whose approvals suffice; members that no role or weight speaks for."""
    machine = {"attestation": [variant_json()]}
    rules = dict.fromkeys(ACTIONS, CAREFUL)
    found = codes(rules, ann=machine, bob=machine, lab={"roles": [], "weight": 0})

    assert {code for _, code in found} == {"machines-decide", "no-voice"}
    assert ("member lab", "no-voice") in found


def test_what_only_some_boards_can_change_is_told_to_them() -> None:
    """Witnesses and shares for ever the same, where there are any; and nothing elsewhere."""
    witness = {"name": "n", "group": "n", "key": SEED, "url": "https://witness.example"}
    document = genesis_json(
        constitution=constitution_json(dict.fromkeys(ACTIONS, CAREFUL)),
        members=[member_json(name, role, "founder") for name, role in MEMBERS.items()],
        freshness="witnessed",
        witnesses={"witnesses": [witness], "quorum": 1, "faulty": 0},
        recovery={"threshold": 2},
    )

    found = lint_constitution(Genesis.from_json(document).charter)

    assert [(item.code, item.words.partition(": ")[2]) for item in found] == [
        ("unchangeable", "witnesses.replace, keys.rotate")
    ]


def test_rule_of_a_recovery_is_only_asked_who_agrees() -> None:
    """Vetoes and notices do not count there; that one member suffices is told."""
    rules = dict.fromkeys(ACTIONS, CAREFUL)

    two = {"at_least": {"n": 2, "of": "role:founder"}}

    assert codes(rules | {"recovery.open": {"approve": two}}) == set()
    assert codes(rules | {"recovery.open": {"approve": "member:ann"}}) == {
        ("recovery.open", "one-member-decides")
    }


def test_hasty_change_of_what_protects_the_log_is_told() -> None:
    """Other witnesses, other shares, another history: members should have time to notice."""
    hasty = {**CAREFUL, "notice_s": 0}
    actions = ("witnesses.replace", "keys.rotate", "log.fork.resolve")

    assert codes(dict.fromkeys(ACTIONS, CAREFUL) | dict.fromkeys(actions, hasty)) == {
        (action, "no-notice") for action in actions
    }
