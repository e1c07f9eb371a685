# SPDX-License-Identifier: Apache-2.0
"""Fragments: whatever they hold, merging is exact, repeatable, and hands out no secret."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.board import policy_json, service_json, variant_json

from accord.errors import AccordError, FragmentConflictError
from accord.policy import Fragment, Policy, Service, resolve
from accord.release._references import referenced_secrets

fast = settings(max_examples=150, deadline=None)

VARIANTS = [{**variant_json(), "measurements": {"mrtd": [f"{n:02x}" * 48]}} for n in (1, 2, 3)]
TEXTS = st.sampled_from(["", "a", "b", "{{ acc", "ord.token }}", "{{ accord.token }}", "{{ x }}"])
SAFE = TEXTS.filter(lambda text: "accord" not in text)


def parts(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "attestation": st.lists(st.sampled_from(VARIANTS), max_size=2),
            "environment": st.dictionaries(st.sampled_from("XYZ"), texts, max_size=3),
            "files": st.lists(
                st.fixed_dictionaries(
                    {"at": st.sampled_from(["/run/a", "/run/b"]), "content": texts}
                ),
                max_size=2,
                unique_by=lambda item: item["at"],
            ),
        }
    )


def supplier(name: str, part: Any) -> Policy | None:
    """``None``: no policy may say that."""
    document = policy_json(name=name, services={}, fragments={"f": {"to": ["train"], **part}})
    try:
        return Policy.from_json(document)
    except AccordError:
        return None


@fast
@given(own=parts(TEXTS), first=parts(TEXTS), second=parts(TEXTS))
def test_merging_is_exact_and_hands_out_no_secret(own: Any, first: Any, second: Any) -> None:
    """All that was supplied is in it, all else is the service's own, and once is as twice."""
    made = {name: supplier(name, part) for name, part in (("a", first), ("b", second))}
    policies = {name: policy for name, policy in made.items() if policy is not None}
    own["attestation"] = own["attestation"] or VARIANTS[:1]
    uses = [{"policy": name, "fragment": "f"} for name in policies]
    secrets = {"token": {"kind": "ascii"}}
    alone = Policy.from_json(policy_json(services={"s": service_json(**own)}, secrets=secrets))
    document = policy_json(services={"s": service_json(**own, fragments=uses)}, secrets=secrets)
    try:
        policy = resolve(document, policies)
    except FragmentConflictError:
        return
    service, before = policy.services["s"], alone.services["s"]
    supplied = [item.fragments["f"] for item in policies.values()]

    assert all(item.within(service) for item in supplied)
    assert referenced_secrets(before) == referenced_secrets(service)
    holders: list[Service | Fragment] = [before, *supplied]
    assert {v.digest for v in service.attestation} == {
        v.digest for item in holders for v in item.attestation
    }
    assert set(service.environment) == {n for i in holders for n in i.environment}
    assert set(service.files) == {file for item in holders for file in item.files}
    assert policy == resolve(policy.to_json(), policies)
    assert policy.digest == resolve(document, dict(reversed(policies.items()))).digest


@fast
@given(own=parts(SAFE), first=parts(SAFE))
def test_conflict_is_found_exactly_where_words_differ(own: Any, first: Any) -> None:
    """In variables and files; environments add up."""
    policy = supplier("a", first)
    if policy is None:
        return
    own["attestation"] = own["attestation"] or VARIANTS[:1]
    uses = [{"policy": "a", "fragment": "f"}]
    document = policy_json(services={"s": service_json(**own, fragments=uses)})
    contents = {item["at"]: item["content"] for item in own["files"]}
    differ = any(own["environment"].get(n, v) != v for n, v in first["environment"].items())
    differ |= any(contents.get(f["at"], f["content"]) != f["content"] for f in first["files"])
    try:
        resolve(document, {"a": policy})
    except FragmentConflictError:
        assert differ
        return
    assert not differ
