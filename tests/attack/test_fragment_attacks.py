# SPDX-License-Identifier: Apache-2.0
"""What suppliers of fragments, those who take them, and strangers try with them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.board import Hardware, policy_json, replay, service_json, variant_json
from tests.support.gate import Gate

from accord.board import ExecutionStop
from accord.encoding import Digest, sha256
from accord.errors import (
    ExecutionStoppedError,
    FragmentMismatchError,
    FragmentUnavailableError,
    FragmentWithdrawnError,
    MalformedError,
    PolicyContentError,
    PolicyExpiredError,
    TemplateError,
)
from accord.policy import Policy, resolve
from accord.release import explain_asset, secret_uses
from accord.release._references import referenced_secrets
from accord.release._secret_uses import secret_use

JSON = dict[str, Any]

WANTED = {"policy": "admin", "fragment": "hw"}
RULES = {"policy.enact": "role:result-user"}


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


def supplying(*, fragment: JSON | None = None, **changes: Any) -> JSON:
    part = {"to": ["train"], "attestation": [variant_json()], "environment": {"REGION": "eu"}}
    whole = {**part, **(fragment or {})}
    return policy_json(**{"name": "admin", "services": {}, "fragments": {"hw": whole}, **changes})


class Supplied:
    """A board where ``admin`` says where ``train`` may run, and a gate before it."""

    def __init__(self, hardware: Hardware) -> None:
        self.gate = Gate(hardware, supplying(), constitution=RULES)
        self.world = self.gate.world
        self.world.enact_policy(self.resolved().to_json())

    def in_force(self, name: str) -> Policy:
        policy = self.world.machine.board.policy(name)
        assert policy is not None
        return policy

    def resolved(self, **changes: Any) -> Policy:
        service = service_json(attestation=[], fragments=[WANTED])
        document = policy_json(services={"train": service}, **changes)
        return resolve(document, {"admin": self.in_force("admin")})

    def next(self, name: str, document: JSON) -> None:
        self.world.enact_policy({**document, "predecessor": self.in_force(name).digest})


@pytest.fixture
def supplied(hardware: Hardware) -> Supplied:
    return Supplied(hardware)


def test_honest_fragment_is_released_to_and_replayed(supplied: Supplied) -> None:
    """The control: both sides agree, so the environment that the supplier names gets in."""
    release = supplied.gate.release()

    assert supplied.in_force("train").digest == release.policy_digest
    assert supplied.world.machine == replay(supplied.world.log)


def test_withdrawn_fragment_ends_releases_at_once(supplied: Supplied) -> None:
    """By leaving it out, or by naming somebody else."""
    for fragments in ({}, {"hw": {"to": ["else"], "environment": {"REGION": "eu"}}}):
        document = supplying(fragments=fragments, secrets={"keep": {"kind": "ascii"}})
        supplied.next("admin", document)
        with supplied.world.refuses(FragmentWithdrawnError, "admin"):
            supplied.gate.ask()


def test_trust_service_cannot_release_after_a_withdrawal(supplied: Supplied) -> None:
    """Every replayer looks, not the gate alone."""
    release = supplied.gate.ask().release
    supplied.next("admin", supplying(fragment={"to": ["else"]}))

    with supplied.world.refuses(FragmentWithdrawnError):
        supplied.gate.commit(release)


def test_withdrawn_fragment_gives_guests_nothing_either(supplied: Supplied) -> None:
    """One secret at a time goes the same way."""
    board, policy = supplied.world.machine.board, supplied.in_force("train")
    supplied.next("admin", supplying(fragment={"to": ["else"]}))

    with pytest.raises(FragmentWithdrawnError):
        secret_use(board, policy, "none", now=supplied.world.time)


def test_stopped_or_expired_supplier_stops_what_it_supplies(supplied: Supplied) -> None:
    """As with secrets that it exports."""
    supplied.next("admin", supplying(not_after="2027-01-01T00:00:00Z"))
    world = supplied.world
    stop = ExecutionStop(world.board, "ann", "policy:admin", "no", world.time)
    board, policy = world.machine.board, supplied.in_force("train")
    late = supplied.in_force("admin").not_after
    assert late is not None
    with pytest.raises(PolicyExpiredError):
        secret_uses(board, policy, policy.services["train"], {}, now=late)
    world.say("execution-stop", stop.to_json(), "ann")
    with world.refuses(ExecutionStoppedError):
        supplied.gate.ask()


@pytest.mark.parametrize(
    "part",
    [
        {"network": "open"},
        {"command": ["sh", "-c", "send {{ accord.token }}"]},
        {"inputs": [{"asset": "ann/records", "tag": sha256(b""), "at": "/in/x"}]},
        {"outputs": [{"name": "all", "at": "/out/all", "readers": ["eve"]}]},
        {"channel": "L0"},
        {"volumes": [{"volume": "state", "at": "/data/state"}]},
        {"totp": "door"},
        {"secrets": {"token": {"kind": "ascii"}}},
    ],
)
def test_fragment_with_network_or_arguments_is_no_fragment(part: JSON) -> None:
    """It has no field for what decides where data go."""
    with pytest.raises(MalformedError, match="unknown field"):
        Policy.from_json(supplying(fragment=part))


@pytest.mark.parametrize(
    "text",
    [
        "{{ accord.token }}",
        "{{accord.token:hex}}",
        "x{{ accord.authority:crt }}",
        "{{ accord.",
        "{{ ACCORD.token }}",
        "{{- accord.token }}",
    ],
)
@pytest.mark.parametrize("place", ["environment", "files"])
def test_template_in_a_fragment_names_no_secret_of_its_taker(text: str, place: str) -> None:
    """The supplier would decide which secrets of somebody else go into which file."""
    part: Any = {"A": text} if place == "environment" else [{"at": "/run/x", "content": text}]

    with pytest.raises((PolicyContentError, TemplateError)):
        Policy.from_json(supplying(fragment={place: part}))


def test_template_cannot_be_split_over_two_fragments() -> None:
    """Texts are never put together: each stays what one side wrote."""
    halves = {
        name: Policy.from_json(supplying(name=name, fragment={"environment": {variable: text}}))
        for name, variable, text in (("a", "X", "{{ acc"), ("b", "Y", "ord.token }}"))
    }
    uses = [{"policy": name, "fragment": "hw"} for name in halves]
    document = policy_json(
        services={"train": service_json(fragments=uses)}, secrets={"token": {"kind": "ascii"}}
    )
    service = resolve(document, halves).services["train"]

    assert (service.environment["X"], service.environment["Y"]) == ("{{ acc", "ord.token }}")
    assert referenced_secrets(service) == ()


def test_fragment_cannot_take_from_another() -> None:
    """So there is no chain of consent, and no cycle of fragments."""
    with pytest.raises(MalformedError, match="unknown field fragments"):
        Policy.from_json(supplying(fragment={"fragments": [WANTED]}))


def test_two_policies_that_take_from_each_other_come_to_an_end(supplied: Supplied) -> None:
    """Each holds what the other supplied in a version that was there before."""
    world = supplied.world
    back = {"to": ["admin"], "environment": {"BACK": "yes"}}
    document: Any = supplied.resolved(fragments={"back": back}).to_json()
    supplied.next("train", document)
    mutual = supplying(
        services={
            "serve": service_json(
                inputs=[], outputs=[], fragments=[{"policy": "train", "fragment": "back"}]
            )
        }
    )
    board = world.machine.board
    in_force = {name: versions[-1] for name, versions in board.policies.items()}
    supplied.next("admin", resolve(mutual, in_force).to_json())

    assert supplied.in_force("admin").services["serve"].environment["BACK"] == "yes"
    supplied.gate.release()


@pytest.mark.parametrize("name", ["training", "train/x", "trai", "other/train"])
def test_owner_of_another_namespace_takes_nothing(name: str) -> None:
    """A name that only looks alike is another one; one below is meant only where it is said."""
    policy = Policy.from_json(supplying())
    document = policy_json(name=name, services={"train": service_json(fragments=[WANTED])})
    with pytest.raises(FragmentUnavailableError):
        resolve({**document, "namespace": policy.digest}, {"admin": policy})


def test_namespace_that_is_named_may_take_it_and_others_may_not() -> None:
    """What is below, and nothing that merely begins with the same letters."""
    fragment = Policy.from_json(supplying(fragment={"namespace": True})).fragments["hw"]

    assert [fragment.covers(name) for name in ("train", "train/x", "training/x", "x/train")] == [
        True,
        True,
        False,
        False,
    ]


def test_supplier_of_another_namespace_supplies_nothing_unasked(supplied: Supplied) -> None:
    """Naming somebody in ``to`` changes nothing for whoever does not name the fragment."""
    before = supplied.in_force("train").digest
    supplied.world.enact_policy(supplying(name="evil", fragment={"environment": {"LD": "x"}}))

    assert before == supplied.in_force("train").digest
    assert "LD" not in supplied.in_force("train").services["train"].environment


@pytest.mark.parametrize("lie", ["other words", "left out", "other version", "other name"])
def test_merged_document_that_differs_from_its_fragments_releases_nothing(
    hardware: Hardware, lie: str
) -> None:
    """Whoever voted for it: what is said to be the supplier's must be the supplier's."""
    supplied = Supplied(hardware)
    document: Any = supplied.resolved().to_json()
    service = document["services"]["train"]
    if lie == "other words":
        service["environment"]["REGION"] = "us"
    elif lie == "left out":
        del service["environment"]["REGION"]
    elif lie == "other version":
        service["fragments"][0]["version"] = Digest(sha256(b"never enacted"))
    else:
        service["fragments"][0]["fragment"] = "nothing"
    supplied.next("train", document)
    error = FragmentWithdrawnError if lie == "other name" else FragmentMismatchError

    with supplied.world.refuses(error):
        supplied.gate.ask()


def test_version_that_was_never_for_the_taker_is_not_taken(hardware: Hardware) -> None:
    """That a later one is for it does not open the earlier one."""
    supplied = Supplied(hardware)
    private = supplying(fragment={"to": ["else"]})
    supplied.next("admin", private)
    version = supplied.in_force("admin").digest
    supplied.next("admin", supplying())
    document: Any = supplied.resolved().to_json()
    document["services"]["train"]["fragments"][0]["version"] = version
    supplied.next("train", document)

    with supplied.world.refuses(FragmentMismatchError):
        supplied.gate.ask()


def test_new_version_of_a_fragment_changes_no_policy_unasked(supplied: Supplied) -> None:
    """What was voted on goes on; who asks is told that it is behind."""
    before = supplied.in_force("train").digest
    wider = [variant_json(), {**variant_json(), "measurements": {"mrtd": ["ee" * 48]}}]
    supplied.next("admin", supplying(fragment={"attestation": wider}))
    world = supplied.world

    assert before == supplied.gate.release().policy_digest
    factors = explain_asset(world.machine, "ann/records", now=world.time).recipients[0].factors
    assert (
        "policy admin still supplies fragment hw, of which a newer version is in force" in factors
    )
    supplied.next("train", supplied.resolved().to_json())
    assert len(supplied.in_force("train").services["train"].attestation) == 2
    factors = explain_asset(world.machine, "ann/records", now=world.time).recipients[0].factors
    assert "policy admin still supplies fragment hw" in factors
