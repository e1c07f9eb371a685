# SPDX-License-Identifier: Apache-2.0
"""What a proposal would need and change, before anybody votes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.board import (
    MEMBERS,
    NOW,
    OTHER_MRTD,
    Hardware,
    Person,
    World,
    constitution_json,
    digest,
    member_json,
    policy_json,
    seed,
    service_json,
    variant_json,
)

from accord.board import (
    Action,
    AddMember,
    Choice,
    Constitution,
    EnactPolicy,
    ExecutionStop,
    Member,
    RemoveMember,
    ReplaceConstitution,
    ReplaceService,
    ResumeExecution,
    UpdateMember,
)
from accord.encoding import Fields
from accord.errors import StaleStatementError
from accord.policy import AttestationVariant, Fate, Policy
from accord.release import Outcome, shield_binding, simulate

MAJORITY = {"at_least": {"n": 3, "of": "role:founder"}}
RULES: dict[str, Any] = {action.value: MAJORITY for action in Action}


def world(rules: Mapping[str, Any] = RULES, **changes: Any) -> World:
    members = [member_json(name, role, "founder") for name, role in MEMBERS.items()]
    return World.ready(constitution=dict(rules), members=members, **changes)


def member(name: str, *roles: str, **changes: Any) -> Member:
    return Member.from_fields(Fields(member_json(name, *roles, **changes), "member"))


def outcome(made: World, *actions: Any, **changes: Any) -> Outcome:
    given: dict[str, Any] = {"actions": actions} if actions else {}
    return simulate(made.machine, made.proposal_of(**given), now=made.time, **changes)


def test_rules_are_traced_and_deciders_listed() -> None:
    """Who approved counts, who rejected is not asked again; nothing is changed by asking."""
    made = world({**RULES, "policy.enact": {"all": [MAJORITY, "affected_owners"]}})
    proposal = made.propose()
    before = made.machine.board.charter.digest
    first = outcome(made)

    assert [trace.satisfied for trace in first.rules] == [False]
    assert first.deciders == (
        frozenset({"ann", "bob", "lab"}),
        frozenset({"ann", "clinic", "lab"}),
    )
    made.vote("ann", proposal)
    made.vote("clinic", proposal, Choice.REJECT)
    assert outcome(made).deciders == (frozenset({"bob", "lab"}),)
    made.vote("bob", proposal)
    made.vote("lab", proposal)
    done = outcome(made)
    assert (done.deciders, done.possible) == ((), True)
    assert done.to_json()["rules"][0]["satisfied"] is True
    assert made.machine.board.charter.digest == before
    assert made.machine.board.policy("train") is None


def test_what_nobody_can_complete_is_said() -> None:
    """Too many have rejected, or nobody is meant."""
    made = world({**RULES, "policy.enact": {"any": [MAJORITY, "role:founder"]}})
    proposal = made.propose()
    made.vote("ann", proposal, Choice.REJECT)
    assert outcome(made).possible
    made.vote("bob", proposal, Choice.REJECT)

    assert not outcome(made).possible
    with pytest.raises(StaleStatementError):
        outcome(made, EnactPolicy(Policy.from_json(policy_json(predecessor=digest("x")))))


def test_many_deciders_are_cut_short() -> None:
    """A list that nobody reads is not made."""
    names = [f"m{number:02}" for number in range(30)]
    members = [member_json(name, "founder") for name in (*names, "ann", "lab", "clinic", "bob")]
    rules = {"policy.enact": {"at_least": {"n": 15, "of": "role:founder"}}}
    made = World.ready(constitution=rules, members=members)

    found = outcome(made).deciders
    assert 1 < len(found) <= 32
    assert {15} == {len(group) for group in found}


def test_changes_of_the_charter_are_sentences() -> None:
    """Everything that changes is there."""
    made = world()
    rules = constitution_json({k: v for k, v in RULES.items() if k != "member.add"})
    approval = {"url": "https://127.0.0.1:1/", "tls_spki_sha256": "00" * 32, "timeout_s": 5}
    changed = member(
        "ann",
        "auditor",
        "founder",
        key="ann-2",
        weight=2,
        approval=approval,
        attestation=[variant_json()],
    )
    variant = AttestationVariant.from_fields(Fields(variant_json(mrtd=OTHER_MRTD), "x"))
    found = outcome(
        made,
        AddMember(member("zoe", "founder")),
        UpdateMember(changed),
        RemoveMember("clinic"),
        ReplaceConstitution(Constitution.from_fields(Fields(rules, "x"))),
        ReplaceService((variant,)),
    ).charter

    for words in (
        "zoe becomes a member, founder, weight 1",
        "clinic is no member any more",
        f"ann gets other keys ({Person.of('ann-2').signer.key_id})",
        "ann: roles ['data-owner', 'founder'] becomes ['auditor', 'founder']",
        "ann: weight 1 becomes 2",
        "ann: approval service none becomes https://127.0.0.1:1/",
        "ann: other environments may cast its ballots",
        "rule of member.add: ",
        "other trust services are accepted",
    ):
        assert any(words in sentence for sentence in found), words


def test_secrets_and_imports_that_break_are_named() -> None:
    """Values that would be made anew or dropped, and imports that lose their export."""
    made = world()
    secret = {"kind": "binary", "size": 32, "rotate": 0}
    exports = [{"secret": "key", "to": "reader", "namespace": False}]
    giver = policy_json(name="giver", secrets={"key": secret}, exports=exports)
    taken = {"kind": "import", "policy": "giver", "secret": "key"}
    reader = policy_json(name="reader", secrets={"key": taken})
    _enact(made, giver, reader)
    first = made.machine.board.policy("giver")
    assert first is not None
    without = policy_json(
        name="giver", predecessor=first.digest, secrets={"key": {**secret, "rotate": 1}}
    )
    found = outcome(made, EnactPolicy(Policy.from_json(without)))

    assert found.policies[0].fates == {"key": Fate.GENERATED}
    assert [loss.what for loss in found.broken] == ["reader/key"]
    assert found.to_json()["policies"][0]["secrets"] == {"key": "generated"}
    orphan = policy_json(name="late", secrets={"key": {**taken, "policy": "giver"}})
    assert [loss.what for loss in outcome(made, EnactPolicy(Policy.from_json(orphan))).broken] == [
        "late/key"
    ]
    other = made.proposal_of(policy_json(name="unrelated"))
    _enact(made, without)
    assert simulate(made.machine, other, now=NOW).broken == ()


def _enact(made: World, *documents: dict[str, Any]) -> None:
    for document in documents:
        proposal = made.propose(document, title=f"number {len(made.log)}")
        for name in ("ann", "bob", "lab"):
            made.vote(name, proposal)
        made.enact(proposal)


def test_live_leases_that_would_end_are_named() -> None:
    """Another version ends them; so does the removal of an owner; resuming ends nothing."""
    made = world()
    _enact(made, policy_json(services={"train": service_json(lease_s=600)}))
    release = made.release(lease_until=NOW + timedelta(seconds=600))
    made.release_of()
    current = made.machine.board.policy("train")
    assert current is not None
    new = policy_json(predecessor=current.digest, services={"train": service_json(lease_s=900)})
    halt = ExecutionStop(made.board, "ann", "asset:bob/records", "why", NOW)
    stop = made.say("execution-stop", halt.to_json(), "ann").digest

    assert [loss.what for loss in outcome(made, EnactPolicy(Policy.from_json(new))).ended] == [
        release.run
    ]
    assert "ann/records" in outcome(made, RemoveMember("ann")).ended[0].reason
    assert outcome(made, ResumeExecution(stop)).ended == ()
    made.time += timedelta(seconds=600)
    assert outcome(made, RemoveMember("ann")).ended == ()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


def test_earlier_releases_are_appraised_again(machines: Hardware) -> None:
    """By the evidence that the log names: which the new version would have refused, and why."""
    made = world(anchors=[machines.vendor.root_digest])
    _enact(made, policy_json())
    keyset, nonce = Person.of("shield").keyset(), seed("nonce 0")
    evidence = machines.attest(shield_binding(made.board, "train", "train", keyset, nonce))
    made.release(evidence=evidence.digest)
    lost = made.release()
    current = made.machine.board.policy("train")
    assert current is not None
    objects = {evidence.digest: evidence.to_bytes()}
    given: dict[str, Any] = {"evidence_of": objects.get, "time_of": _time_of}

    def after(**changes: Any) -> tuple[str, ...]:
        document = policy_json(
            predecessor=current.digest, services={"train": service_json(**changes)}
        )
        found = outcome(made, EnactPolicy(Policy.from_json(document)), **given)
        return tuple(loss.reason for loss in found.refused)

    assert after(timeout_s=61) == ()
    assert "mrtd" in after(attestation=[variant_json(mrtd=OTHER_MRTD)])[0]
    assert "channel L1, L2 would be needed" in after(channel="L2")[0]
    renamed = policy_json(predecessor=current.digest, services={"infer": service_json()})
    found = outcome(made, EnactPolicy(Policy.from_json(renamed)), **given)
    assert [loss.reason for loss in found.refused] == ["there is no service train any more"] * 2
    assert found.refused[0].what == lost.run
    assert found.to_json()["refused"][0]["what"] == lost.run
    objects[evidence.digest] = machines.attest(
        replace(shield_binding(made.board, "train", "train", keyset, nonce), nonce=bytes(32))
    ).to_bytes()
    assert len(after(timeout_s=61)) == 1


def _time_of(_index: int) -> datetime:
    return NOW


def test_deciders_need_no_members_whom_no_rule_means() -> None:
    """They are left out rather than tried."""
    made = world({**RULES, "policy.enact": "member:clinic"})

    assert outcome(made).deciders == (frozenset({"clinic"}),)
    assert isinstance(outcome(made).policies[0].digest, str)
