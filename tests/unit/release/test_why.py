# SPDX-License-Identifier: Apache-2.0
"""Who gets a secret or an asset: every recipient, every link of the chain, and why not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import (
    LATER,
    NOW,
    World,
    digest,
    policy_json,
    service_json,
    terms,
)

from accord.board import AssetKind, Choice, ExecutionStop
from accord.encoding import base64_encode, canonical_json
from accord.errors import NoPolicyError, NoSuchSecretError, UnknownAssetError
from accord.release import Explanation, explain_asset, explain_secret

RULES: Any = {
    "policy.enact": {"any": [{"all": ["affected_owners", "role:result-user"]}, "member:lab"]},
    "constitution.replace": {"all": ["role:data-owner"]},
}
PEER = {"board": digest("other board"), "log_key": base64_encode(bytes(32))}


def vault(**changes: Any) -> Any:
    return policy_json(
        **{
            "name": "vault",
            "secrets": {"token": {"kind": "jwt-key", "algorithm": "ES256"}},
            "exports": [
                {"secret": "token", "to": "train"},
                {"secret": "token", "to": "public"},
                {"secret": "token", "to": "far", "service": PEER},
            ],
            "access": {"update": "member:bob"},
            "services": {},
            **changes,
        }
    )


def importer(**changes: Any) -> Any:
    return policy_json(
        secrets={
            "imported": {"kind": "import", "policy": "vault", "secret": "token"},
            "password": {"kind": "asset", "asset": "bob/password"},
            "far": {
                "kind": "import",
                "policy": "x",
                "secret": "y",
                "service": {**PEER, "url": "https://other.example"},
            },
            "factor": {"kind": "binary"},
        },
        services={
            "train": service_json(
                environment={"TOKEN": "{{ accord.imported }}", "FAR": "{{ accord.far:text }}"},
                files=[{"at": "/run/password", "content": "{{ accord.password }}\n"}],
                singleton=True,
                totp="factor",
                lease_s=60,
                network="open",
            ),
            "idle": service_json(),
        },
        **changes,
    )


@pytest.fixture
def world() -> World:
    """A policy with secrets of every origin."""
    world = World.ready(constitution=RULES)
    world.offer(
        "bob/password",
        kind=AssetKind.SECRET,
        volume_id=None,
        key_commitment=None,
        terms=terms(max_uses=3),
    )
    world.enact_policy(vault())
    world.enact_policy(importer())
    return world


def secret(world: World, policy: str, name: str) -> Explanation:
    return explain_secret(world.machine, policy, name, now=world.time)


def asset(world: World, name: str) -> Explanation:
    return explain_asset(world.machine, name, now=world.time)


def test_secret_is_followed_through_export_and_import(world: World) -> None:
    """Both policies are in the chain, each with the votes that enacted it and what changes it."""
    found = secret(world, "vault", "token")
    (recipient,) = found.recipients

    assert found.origin == "jwt-key secret token of policy vault, made inside the trust service"
    assert (recipient.policy, recipient.service) == ("train", "train")
    assert recipient.given_as == ("environment.TOKEN",)
    assert recipient.chain[1:] == (
        "policy vault exports it to train",
        "policy train imports it as imported",
        "service train of policy train",
    )
    assert [item.policy for item in recipient.enacted] == ["vault", "train"]
    assert recipient.factors == (
        "channel level L1",
        "an instance token",
        "a one-time password",
        "fresh evidence every 60 s",
    )
    assert recipient.readers == (("model", ("clinic",)),)
    assert recipient.network_open
    assert {source for source, _ in recipient.changed_by} == {
        "constitution, policy.enact",
        "constitution, constitution.replace",
        "policy vault, access.update",
    }
    assert found.elsewhere == (
        "its public part is for everybody",
        f"policy far on board {PEER['board']} of another trust service",
    )


def test_entries_of_proposal_and_votes_are_named(world: World) -> None:
    """Whoever doubts it finds the very statements in the log."""
    (recipient,) = secret(world, "vault", "token").recipients
    enacted = recipient.enacted[1]
    log = {entry.index: entry.envelope for entry in world.log}

    assert enacted.proposal == log[enacted.entry].statement_digest
    assert {name for name, _, _ in enacted.votes} <= {"ann", "bob", "lab", "clinic"}
    for name, choice, entry in enacted.votes:
        assert "ballot" in log[entry].payload_type
        assert f'"{name}"'.encode() in log[entry].payload
        assert choice is Choice.APPROVE


def test_asking_for_the_import_gives_the_same_answer(world: World) -> None:
    """It is the same secret under another name."""
    assert secret(world, "train", "imported") == secret(world, "vault", "token")


def test_one_side_alone_shares_nothing(world: World) -> None:
    """An importer whose exporter has withdrawn is no recipient."""
    head = world.machine.board.policy("vault")
    assert head is not None
    world.enact_policy(vault(exports=[], predecessor=head.digest))

    assert secret(world, "vault", "token").recipients == ()


def test_deposited_secret_is_explained_as_the_asset_it_is(world: World) -> None:
    """With its owner's terms, what is left of them, and where it stands in the file."""
    found = secret(world, "train", "password")
    (recipient,) = found.recipients
    allowance = {item.asset: item for item in recipient.allowances}["bob/password"]

    assert found == asset(world, "bob/password")
    assert found.origin.startswith("secret that bob offers, entry ")
    assert recipient.given_as == ("files /run/password",)
    assert (allowance.uses_left, allowance.not_after, allowance.withdrawn) == (3, LATER, False)
    assert b"bob/password" in world.log[allowance.entry].envelope.payload


def test_secret_of_a_peer_is_traced_to_its_board(world: World) -> None:
    """What happens over there is not known here."""
    found = secret(world, "train", "far")

    assert found.origin == f"secret y of policy x on board {PEER['board']}"
    assert [item.given_as for item in found.recipients] == [("environment.FAR",)]


def test_secret_of_a_second_factor_goes_to_nobody(world: World) -> None:
    """It is used, and the use is shown as what it is."""
    (recipient,) = secret(world, "train", "factor").recipients

    assert recipient.given_as == ("nothing: its one-time passwords are checked with it",)


def test_volume_is_explained_with_every_service_that_mounts_it(world: World) -> None:
    """One recipient for each; all terms that a release needs are listed."""
    found = asset(world, "ann/records")

    assert [(item.service, item.given_as) for item in found.recipients] == [
        ("idle", ("/in/records",)),
        ("train", ("/in/records",)),
    ]
    idle = found.recipients[0]
    assert [item.asset for item in idle.allowances] == ["ann/records", "lab/code"]
    assert idle.refusal is None
    assert "network must be none, found open" in str(found.recipients[1].refusal)
    assert asset(world, "bob/records").recipients == ()


def test_refusal_of_now_is_the_refusal_of_the_gate(world: World) -> None:
    """Withdrawn, used up, expired or stopped: said with its code."""
    idle = asset(world, "ann/records").recipients[0]
    assert idle.refusal is None
    world.time = LATER
    assert "time must be before" in str(asset(world, "ann/records").recipients[0].refusal)
    world.time = NOW
    stop = ExecutionStop(world.board, "bob", "policy:train", "doubts", NOW)
    world.say("execution-stop", stop.to_json(), "bob")
    found = asset(world, "ann/records")

    assert [record.stop.reason for record in found.stops] == ["doubts"]
    assert asset(world, "bob/records").stops == ()
    assert "(accord-REL-012)" in str(found.recipients[0].refusal)
    world.withdraw("ann/records")
    assert asset(world, "ann/records").recipients[0].allowances[0].withdrawn


def test_only_stops_that_concern_it_are_shown(world: World) -> None:
    """Of what gets it, of what is needed with it, and of runs that have it; of nothing else."""
    release = world.release(service="idle")
    for scope in ("policy:other", "asset:bob/records", "asset:lab/code", f"run:{release.run}"):
        stop = ExecutionStop(world.board, "bob", scope, scope, NOW)
        world.say("execution-stop", stop.to_json(), "bob")

    def scopes(found: Explanation) -> list[str]:
        return [record.stop.scope for record in found.stops]

    assert scopes(asset(world, "ann/records")) == ["asset:lab/code", f"run:{release.run}"]
    assert scopes(asset(world, "bob/password")) == ["asset:lab/code"]
    assert scopes(asset(world, "bob/records")) == ["asset:bob/records"]
    assert scopes(secret(world, "vault", "token")) == ["asset:lab/code"]
    stop = ExecutionStop(world.board, "bob", "policy:vault", "leak", NOW)
    world.say("execution-stop", stop.to_json(), "bob")

    assert scopes(secret(world, "vault", "token")) == ["asset:lab/code", "policy:vault"]
    assert scopes(asset(world, "bob/password")) == ["asset:lab/code"]


def test_rule_that_holds_for_two_policies_is_told_once(world: World) -> None:
    """The constitution does not become longer with every link of a chain."""
    (recipient,) = secret(world, "vault", "token").recipients

    assert [source for source, _ in recipient.changed_by] == [
        "constitution, policy.enact",
        "constitution, constitution.replace",
        "policy vault, access.update",
    ]


def test_results_that_are_offered_are_followed() -> None:
    """What was computed from an asset, and what was computed from that."""
    world = World.enacted()
    release = world.release()
    world.finish(release)
    world.time += timedelta(seconds=1)
    world.offer("clinic/model", tag=digest("output model"))
    assert asset(world, "ann/records").derived == ("clinic/model",)
    inputs = [{"asset": "clinic/model", "tag": digest("output model"), "at": "/in/model"}]
    head = world.machine.board.policy("train")
    assert head is not None
    world.enact_policy(
        policy_json(predecessor=head.digest, services={"train": service_json(inputs=inputs)})
    )
    second = world.release()
    outputs = tuple(
        replace(item, tag=digest("second output")) for item in world.run_of(second).outputs
    )
    world.finish(second, outputs=outputs)
    world.offer("lab/report", tag=digest("second output"))

    assert asset(world, "ann/records").derived == ("clinic/model", "lab/report")
    assert asset(world, "bob/records").derived == ()


def test_what_is_not_there_is_not_explained(world: World) -> None:
    """Neither policy, nor secret, nor asset is made up."""
    with pytest.raises(NoPolicyError):
        secret(world, "nothing", "token")
    with pytest.raises(NoSuchSecretError, match="policy train has no secret nothing"):
        secret(world, "train", "nothing")
    with pytest.raises(UnknownAssetError):
        asset(world, "ann/nothing")


def test_explanation_is_a_document(world: World) -> None:
    """Everything in it can be written as JSON, for programs that watch consent."""
    stop = ExecutionStop(world.board, "bob", "board", "doubts", NOW)
    world.say("execution-stop", stop.to_json(), "bob")
    body: Any = asset(world, "ann/records").to_json()

    assert canonical_json(body)
    assert body["schema"] == "accord.explanation.v1"
    assert body["recipients"][0]["enacted"][0]["votes"][0]["member"] == "ann"
    assert body["stops"][0]["stop"]["reason"] == "doubts"
