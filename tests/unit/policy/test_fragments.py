# SPDX-License-Identifier: Apache-2.0
"""Fragments: what they may hold, how they are merged, what voters and authors are told."""

import json
from typing import Any

import pytest
from tests.support.board import policy_json, service_json, variant_json

from accord.errors import (
    FragmentConflictError,
    FragmentUnavailableError,
    MalformedError,
    PolicyContentError,
    UnresolvedFragmentError,
)
from accord.policy import Policy, diff, lint, parse_policy, resolve

JSON = dict[str, Any]

OTHER = {**variant_json(), "measurements": {"mrtd": ["ee" * 48]}}
FILE = {"at": "/run/ca.pem", "content": "trust me", "mode": "0444"}
WANTED = {"policy": "admin", "fragment": "hw"}


def supplier(*, name: str = "admin", **changes: Any) -> Policy:
    """A policy that supplies one fragment, ``hw``, to ``train``."""
    fragment = {
        "to": ["train"],
        "attestation": [OTHER],
        "environment": {"REGION": "eu"},
        "files": [FILE],
        **changes,
    }
    return Policy.from_json({**policy_json(name=name, services={}), "fragments": {"hw": fragment}})


def source(*wanted: JSON, **service: Any) -> JSON:
    """A policy as its author writes it."""
    return policy_json(services={"train": service_json(fragments=[*wanted] or [WANTED], **service)})


def resolved(*wanted: JSON, supply: Policy | None = None, **service: Any) -> Policy:
    return resolve(source(*wanted, **service), {"admin": supply or supplier()})


# --- what a fragment may hold ----------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"to": []},
        {"to": ["train", "train"]},
        {"attestation": [], "environment": {}, "files": []},
        {"files": [FILE, FILE]},
    ],
)
def test_fragment_that_makes_no_sense_is_refused(changes: JSON) -> None:
    """For nobody, twice the same, of nothing."""
    with pytest.raises(PolicyContentError):
        supplier(**changes)


def test_policy_has_so_many_fragments_and_no_more() -> None:
    """There is a limit, as everywhere."""
    many = {f"f{n}": {"to": ["train"], "environment": {"A": "b"}} for n in range(65)}

    with pytest.raises(PolicyContentError, match="more than 64"):
        Policy.from_json(policy_json(fragments=many))


def test_policies_with_fragments_round_trip() -> None:
    """Both sides, and a fragment of one part says nothing of the others."""
    for policy in (supplier(), resolved(), supplier(attestation=[], files=[])):
        assert policy == Policy.from_json(policy.to_json())
    assert "fragments" not in Policy.from_json(policy_json()).to_json()
    document: Any = supplier(attestation=[], files=[]).to_json()
    assert {"to", "namespace", "environment"} == document["fragments"]["hw"].keys()


# --- merging ---------------------------------------------------------------------------------


def test_resolved_policy_holds_everything_and_says_whence() -> None:
    """Its own parts first; the version is the one in force."""
    service = resolved().services["train"]

    assert len(service.attestation) == 2
    assert OTHER["measurements"]["mrtd"] == [
        value.hex() for value in service.attestation[1].measurements["mrtd"]
    ]
    assert dict(service.environment) == {"EPOCHS": "3", "REGION": "eu"}
    assert [file.at for file in service.files] == ["/run/ca.pem"]
    assert [("admin", "hw", supplier().digest)] == [
        (use.policy, use.fragment, use.version) for use in service.fragments
    ]


def test_fragment_can_be_all_that_says_where_a_service_runs() -> None:
    """Whoever keeps the list of environments need not be who writes the program."""
    assert len(resolved(attestation=[]).services["train"].attestation) == 1


def test_resolving_again_changes_nothing() -> None:
    """Under the same version in force; parts are not doubled."""
    once = resolved()

    assert once == resolve(once.to_json(), {"admin": supplier()})


def test_resolving_what_came_of_an_older_version_is_refused() -> None:
    """What was taken then would stay in it as if it were the policy's own."""
    newer = supplier(environment={"REGION": "us"})

    with pytest.raises(FragmentUnavailableError, match="resolve what you wrote"):
        resolve(resolved().to_json(), {"admin": newer})


def test_document_without_fragments_is_only_read() -> None:
    """And one without services, or that is none, is refused as ever."""
    assert Policy.from_json(policy_json()) == resolve(policy_json(), {})
    assert supplier() == resolve(supplier().to_json(), {})
    damaged: list[Any] = [[], {"name": "train", "services": {}}, policy_json(services=[])]
    for document in damaged:
        with pytest.raises(Exception, match="policy") as caught:
            resolve(document, {})
        assert caught.value.code.startswith("accord-")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "own",
    [
        {"environment": {"REGION": "us"}},
        {"files": [{**FILE, "content": "trust them"}]},
        {"files": [{**FILE, "mode": "0400"}]},
    ],
)
def test_what_is_said_twice_differently_is_a_conflict(own: JSON) -> None:
    """Nobody's words win over anybody's."""
    with pytest.raises(FragmentConflictError):
        resolved(**own)


def test_two_fragments_that_differ_are_a_conflict() -> None:
    """In whichever order they are named."""
    policies = {"admin": supplier(), "ops": supplier(name="ops", environment={"REGION": "us"})}
    both = [WANTED, {**WANTED, "policy": "ops"}]
    for wanted in (both, both[::-1]):
        with pytest.raises(FragmentConflictError, match="REGION"):
            resolve(source(*wanted), policies)


def test_same_words_twice_are_no_conflict() -> None:
    """They are there once."""
    service = resolved(attestation=[OTHER], environment={"REGION": "eu"}, files=[FILE])

    assert len(service.services["train"].attestation) == 1
    assert len(service.services["train"].files) == 1


@pytest.mark.parametrize(
    ("wanted", "service", "error"),
    [
        ([WANTED, WANTED], {}, PolicyContentError),
        ([{**WANTED, "more": 1}], {}, MalformedError),
        ([{"policy": "admin"}], {}, MalformedError),
        ([WANTED] * 17, {}, MalformedError),
        ([WANTED], {"files": [FILE, FILE]}, MalformedError),
        ([WANTED], {"environment": []}, MalformedError),
    ],
)
def test_malformed_sources_are_refused(
    wanted: list[JSON], service: JSON, error: type[Exception]
) -> None:
    """By one of our errors, wherever the mistake is."""
    with pytest.raises(error):
        resolved(*wanted, **service)


def test_unresolved_policy_is_not_read() -> None:
    """So it has no digest, and nobody can vote on what it may come to mean."""
    with pytest.raises(UnresolvedFragmentError, match="hw"):
        Policy.from_json(source())


def test_policy_takes_no_fragment_of_its_own() -> None:
    """Its digest would have to hold itself."""
    document: Any = resolved().to_json()
    document["services"]["train"]["fragments"][0]["policy"] = "train"

    with pytest.raises(PolicyContentError):
        Policy.from_json(document)


# --- what people are told --------------------------------------------------------------------


def test_voters_of_the_importer_read_the_parts_and_their_source() -> None:
    """A fragment brings nothing that does not stand in the sentences."""
    before = Policy.from_json(policy_json())
    sentences = {change.sentence for change in diff(before, resolved())}

    assert "service train sees REGION=eu" in sentences
    assert any("ee" * 48 in sentence for sentence in sentences)
    assert any("trust me" in sentence for sentence in sentences)
    assert (
        f"service train says that it holds fragment hw of policy admin, version {supplier().digest}"
        in sentences
    )


def test_voters_of_the_supplier_read_who_gets_what() -> None:
    """Every part of it, and whether there are more takers below."""
    sentences = [item.sentence for item in diff(None, supplier(namespace=True))]
    found = [text for text in sentences if text.startswith("fragment hw")]

    assert "fragment hw is for services of policy train and every policy below it" in found
    assert "fragment hw shows them REGION=eu" in found
    assert len(found) == 4
    changes = diff(supplier(), supplier(environment={"REGION": "us"}))
    assert [change.sign for change in changes] == ["+", "-"]


def codes(policy: Policy, *others: Policy) -> set[str]:
    found = lint(policy, policies={other.name: other for other in others})
    return {item.code for item in found if item.code.startswith("fragment")}


def test_lint_tells_the_importer_what_no_release_would_accept() -> None:
    """Gone, for others, or not what the document holds; and what is merely behind."""
    policy, newer = resolved(), supplier(environment={"REGION": "us"})
    forged: Any = policy.to_json()
    forged["services"]["train"]["environment"]["REGION"] = "us"

    assert codes(policy, supplier()) == set()
    assert codes(policy) == {"fragment-unavailable"}
    assert codes(policy, supplier(to=["else"])) == {"fragment-unavailable"}
    assert codes(policy, newer) == {"fragment-outdated"}
    assert codes(Policy.from_json(forged), supplier()) == {"fragment-differs"}


def test_lint_tells_the_supplier_who_is_left_behind() -> None:
    """By a version that says something else, and by one that ends it."""
    policy, newer = resolved(), supplier(environment={"REGION": "us"})

    assert codes(supplier(), policy) == set()
    assert codes(newer, policy) == {"fragment-users"}
    assert codes(supplier(to=["else"]), policy) == {"fragment-withdrawn"}
    same_parts = supplier(to=["train", "else"])
    assert codes(same_parts, policy) == set()
    assert codes(policy, same_parts) == set()


def test_resolved_document_is_what_the_strict_reader_reads() -> None:
    """What the command prints can be proposed as it is."""
    policy = resolved()

    assert policy == parse_policy(json.dumps(policy.to_json(), indent=2).encode())
