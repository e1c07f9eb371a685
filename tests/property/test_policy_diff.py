# SPDX-License-Identifier: Apache-2.0
"""Policies: whatever is generated, the digest is stable and the diff tells the truth."""

import io
import json
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tests.support.board import digest, policy_json

from accord.encoding import canonical_json, parse_json
from accord.errors import AccordError
from accord.policy import (
    TCB_STATUSES,
    Change,
    Fate,
    Policy,
    carried_over,
    diff,
    lint,
    parse_policy,
)

fast = settings(max_examples=60, deadline=None)

NAMES = st.sampled_from(["a", "b", "train", "x.y"])
TEXTS = st.text(
    st.sampled_from("ab '\"\\\n\t\r$+-=,;:()/u{}9\xe9e\u0301\ufe0f\u0430\xa0\u3164"), max_size=6
)
HEX = st.sampled_from([bytes(48).hex(), bytes(range(48)).hex()])
DIGESTS = st.sampled_from([digest("one"), digest("two")])


def is_common_name(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def some(values: st.SearchStrategy[Any], *, least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=least, max_size=2)


def different(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=2, unique=True)


GPUS = st.fixed_dictionaries(
    {
        "family": st.just("nvidia"),
        "attributes": st.fixed_dictionaries(
            {"driver_version": different(TEXTS), "vbios_version": different(TEXTS)}
        ),
    },
    optional={"simulated": st.booleans()},
)
VARIANTS = st.fixed_dictionaries(
    {
        "family": st.just("tdx"),
        "measurements": st.fixed_dictionaries(
            {"mrtd": different(HEX)},
            optional={"rtmr0": different(HEX), "mrconfigid": different(HEX)},
        ),
    },
    optional={
        "simulated": st.booleans(),
        "tcb_statuses": different(st.sampled_from(TCB_STATUSES[:3])),
        "min_tcb_evaluation_number": st.integers(0, 3),
        "tcb_grace": st.dictionaries(
            st.sampled_from(TCB_STATUSES[3:]),
            st.sampled_from(["2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"]),
            min_size=1,
        ),
        "rejected_advisories": different(st.sampled_from(["INTEL-SA-00615", "INTEL-SA-00828"])),
        "attributes": st.fixed_dictionaries({"fmspc": different(TEXTS)}),
        "minimums": st.fixed_dictionaries({"tdx_module_svn": st.integers(0, 2)}),
        "allowed_instances": different(st.sampled_from(["01" * 16, "02" * 16])),
        "denied_instances": different(st.sampled_from(["03" * 16, "04" * 16])),
        "components": different(st.sampled_from(["0f", "0e"])).map(
            lambda digests: [{"digest": digest} for digest in digests]
        ),
        "parts": st.dictionaries(st.sampled_from(["gpu0", "gpu1"]), GPUS, min_size=1),
    },
)
SERVICES = st.fixed_dictionaries(
    {
        "attestation": some(VARIANTS, least=1),
        "command": st.tuples(st.sampled_from(["python3", "sh"]), TEXTS).map(list),
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "asset": st.sampled_from(["ann/x", "bob/y"]),
                    "tag": DIGESTS,
                    "at": st.sampled_from(["/in/x", "/in/y", "/in/a b", "/in/a', version"]),
                }
            ),
            max_size=2,
            unique_by=(lambda item: item["at"], lambda item: item["asset"]),
        ),
        "outputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": NAMES,
                    "at": st.sampled_from(["/out/x", "/out/y"]),
                    "readers": st.lists(NAMES, min_size=1, max_size=2, unique=True),
                }
            ),
            max_size=2,
            unique_by=(lambda item: item["at"], lambda item: item["name"]),
        ),
    },
    optional={
        "environment": st.dictionaries(st.sampled_from(["A", "B"]), TEXTS, max_size=2),
        "workdir": st.sampled_from(["/tmp", "/w", "/w and ends within 7 s"]),
        "network": st.sampled_from(["none", "open"]),
        "timeout_s": st.integers(1, 8),
        "files": st.lists(
            st.fixed_dictionaries(
                {
                    "at": st.sampled_from(["/run/x", "/run/y", "/run/x, mode 0400: ''"]),
                    "content": TEXTS | st.sampled_from(["{{ accord.token }}", "{{accord.token}}"]),
                },
                optional={"mode": st.sampled_from(["0400", "0700"])},
            ),
            max_size=2,
            unique_by=lambda item: item["at"],
        ),
        "channel": st.sampled_from(["L0", "L1", "L2"]),
        "singleton": st.booleans(),
        "identity": st.booleans(),
        "lease_s": st.integers(10, 12),
        "totp": st.just("door"),
        "fragments": st.lists(
            st.fixed_dictionaries(
                {"policy": st.sampled_from(["c", "d"]), "fragment": NAMES, "version": DIGESTS}
            ),
            max_size=2,
            unique_by=lambda item: (item["policy"], item["fragment"]),
        ),
    },
)
FRAGMENTS = st.fixed_dictionaries(
    {
        "to": st.lists(NAMES, min_size=1, max_size=2, unique=True),
        "environment": st.dictionaries(st.sampled_from(["A", "B"]), TEXTS, min_size=1, max_size=2),
    },
    optional={
        "namespace": st.booleans(),
        "attestation": some(VARIANTS),
        "files": st.lists(
            st.fixed_dictionaries(
                {"at": st.sampled_from(["/run/x", "/run/y, mode 0400: ''"]), "content": TEXTS},
                optional={"mode": st.sampled_from(["0400", "0700"])},
            ),
            max_size=2,
            unique_by=lambda item: item["at"],
        ),
    },
)
TERMS = st.sampled_from(["member:a", "role:a", "affected_owners", "lineage_owners"])
RULES = st.recursive(
    TERMS
    | st.builds(lambda n, of: {"at_least": {"n": n, "of": of}}, st.integers(1, 2), TERMS)
    | st.builds(lambda n, of: {"weighted": {"min": n, "of": of}}, st.integers(1, 2), TERMS),
    lambda below: st.builds(
        lambda kind, rules: {kind: rules},
        st.sampled_from(["all", "any"]),
        st.lists(below, min_size=1, max_size=2),
    ),
    max_leaves=3,
)
READERS = st.sampled_from([["anyone"], [f"key:{digest('one')}"], []])
PEERS = {"board": digest("board"), "log_key": "A" * 43 + "="}
SECRETS = st.fixed_dictionaries(
    {
        "token": st.fixed_dictionaries(
            {"kind": st.just("ascii")},
            optional={"size": st.integers(16, 18), "rotate": st.integers(0, 2)},
        ),
        "door": st.just({"kind": "binary"}),
    },
    optional={
        "pair": st.fixed_dictionaries(
            {"kind": st.just("key"), "algorithm": st.sampled_from(["p256", "ed25519"])},
            optional={"migrate": st.booleans()},
        ),
        "root": st.fixed_dictionaries(
            {"kind": st.just("x509-ca"), "common_name": TEXTS.filter(is_common_name)},
            optional={"valid_days": st.integers(1, 3)},
        ),
        "web": st.fixed_dictionaries(
            {
                "kind": st.just("x509"),
                "common_name": st.just("web"),
                "endpoint": st.sampled_from(["server", "client"]),
                "san": st.sampled_from([["dns:a.example"], ["ip:::1", "uri:x://y"]]),
            },
        ),
        "given": st.fixed_dictionaries(
            {"kind": st.just("asset"), "asset": st.sampled_from(["ann/x", "bob/y"])}
        ),
        "taken": st.fixed_dictionaries(
            {"kind": st.just("import"), "policy": NAMES, "secret": NAMES},
            optional={
                "pin": DIGESTS,
                "service": st.just({**PEERS, "url": "https://trust.example"}),
            },
        ),
    },
)
EXPORTS = st.lists(
    st.fixed_dictionaries(
        {"secret": st.sampled_from(["token", "door"]), "to": NAMES},
        optional={"pin": DIGESTS, "service": st.just(PEERS)},
    ),
    max_size=2,
    unique_by=lambda item: (item["secret"], item["to"]),
)


def fitting(document: Any) -> Any:
    """The policy with what its other fields demand."""
    fits = {name: value for name, value in document.items() if name != "namespace"}
    if "/" in fits["name"] and "predecessor" not in fits:
        fits["namespace"] = document.get("namespace", digest("one"))
    fits["services"] = {name: _allowed(item) for name, item in fits["services"].items()}
    if any(service.get("identity") for service in fits["services"].values()):
        fits["authority"] = True
    return fits


def _allowed(service: Any) -> Any:
    """The service, without what channel L0 has no place for."""
    bound = ("singleton", "identity", "lease_s", "totp")
    unnamed = service.get("channel") == "L0"
    return {name: value for name, value in service.items() if not (unnamed and name in bound)}


WHOLE = st.fixed_dictionaries(
    {
        "schema": st.just("accord.policy.v1"),
        "name": NAMES | st.just("a/b"),
        "purpose": NAMES,
        "services": st.dictionaries(NAMES, SERVICES, min_size=1, max_size=2),
        "secrets": SECRETS,
    },
    optional={
        "predecessor": DIGESTS,
        "namespace": DIGESTS,
        "salt": st.sampled_from(["00" * 16, "01" * 16]),
        "not_after": st.sampled_from(["2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"]),
        "freshness": st.sampled_from([{"mode": "strict"}, {"mode": "solo"}])
        | st.fixed_dictionaries(
            {
                "mode": st.just("lease"),
                "max_uses": st.integers(1, 2),
                "ttl_s": st.integers(1, 2),
            }
        ),
        "access": st.fixed_dictionaries(
            {}, optional={"read": READERS, "list": READERS, "update": RULES, "create": RULES}
        ),
        "authority": st.booleans(),
        "exports": EXPORTS,
        "volumes": st.dictionaries(
            NAMES,
            st.fixed_dictionaries(
                {}, optional={"update": st.sampled_from(["protected", "unprotected", "ephemeral"])}
            ),
            max_size=2,
        ),
        "fragments": st.dictionaries(NAMES, FRAGMENTS, max_size=2),
    },
)
POLICIES = WHOLE.map(fitting)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Two policies: unrelated, or the same but for one field somewhere."""
    one = draw(POLICIES)
    other = draw(POLICIES)
    where = draw(st.sampled_from(["everywhere", "service", "policy"]))
    if where != "everywhere":
        changed, other = other, json.loads(json.dumps(one))
        if where == "policy":
            target = other
        else:
            changed = draw(SERVICES)
            target = other["services"][draw(st.sampled_from(sorted(other["services"])))]
        field = draw(st.sampled_from(sorted(changed)))
        target[field] = changed[field]
    return Policy.from_json(one), Policy.from_json(fitting(other))


@fast
@given(POLICIES)
def test_policy_is_read_as_it_was_written(document: Any) -> None:
    """The resolved form is a fixed point, through canonical bytes."""
    policy = Policy.from_json(document)
    again = Policy.from_json(parse_json(canonical_json(policy.to_json()), what="policy"))

    assert policy == again
    assert policy.digest == again.digest


@fast
@given(POLICIES, st.randoms(use_true_random=False), st.sampled_from(["json", "yaml"]))
def test_digest_is_independent_of_spelling(document: Any, random: Any, style: str) -> None:
    """Any order of keys, any indentation, flow or block style."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    if style == "json":
        text = json.dumps(shuffled(document), indent=random.choice([None, 1, 4]))
    else:
        yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
        yaml.default_flow_style = random.choice([True, False, None])
        yaml.representer.ignore_aliases = lambda *_: True
        yaml.dump(shuffled(document), stream)
        text = stream.getvalue().removeprefix("%YAML 1.2\n")

    assert Policy.from_json(document).digest == parse_policy(text.encode()).digest


@fast
@given(pairs())
def test_diff_is_empty_exactly_where_nothing_changed(pair: tuple[Policy, Policy]) -> None:
    """Up to the version that is replaced: nobody can slip a change past the voters."""
    one, other = pair
    first = one.predecessor is None and other.predecessor is None
    left, right = (
        replace(item, predecessor=None, namespace=item.namespace if first else None)
        for item in pair
    )
    same = left.digest == right.digest

    assert (said(one, other) == []) is same
    assert (said(other, one) == []) is same


def said(old: Policy, new: Policy) -> list[Change]:
    """What the policies say, without the values that a new version changes by itself."""
    return [change for change in diff(old, new) if change.sign != "~"]


@fast
@given(pairs())
def test_diff_is_printable_and_one_line_each(pair: tuple[Policy, Policy]) -> None:
    """No value draws a line, hides one, or appears with another's sign."""
    one, other = pair
    changes = diff(one, other)

    shown = [text for c in changes for text in (c.sentence, c.subject)]
    assert all(text.isprintable() and text.isascii() for text in shown)
    facts = said(one, other)
    if [c.subject for c in facts] != ["order"]:
        swapped = {("+" if c.sign == "-" else "-", c.subject, c.sentence) for c in facts}
        assert swapped == {(c.sign, c.subject, c.sentence) for c in said(other, one)}


@fast
@given(pairs())
def test_diff_names_exactly_the_values_that_change(pair: tuple[Policy, Policy]) -> None:
    """As the trust service decides it; each once, and none of a secret that is only new."""
    one, other = pair
    changing = {c.subject for c in diff(one, other) if c.sign == "~"} - {"authority"}
    lost = {
        f"secret {name}"
        for name, fate in carried_over(one.secrets, other.secrets).items()
        if fate in (Fate.GENERATED, Fate.REISSUED, Fate.DROPPED) and name in one.secrets
    }

    assert changing >= lost if one.digest != other.digest else changing == set()
    assert all(subject.removeprefix("secret ") in one.secrets for subject in changing)


@fast
@given(pairs())
def test_lint_never_fails_and_says_nothing_twice(pair: tuple[Policy, Policy]) -> None:
    """Whatever the policy; errors come first."""
    one, other = pair
    members = {"a": frozenset({"a"}), "ann": frozenset[str]()}
    found = lint(other, previous=one, members=members, policies={one.name: one})

    assert len(set(found)) == len(found)
    assert [item.severity for item in found] == sorted(
        (item.severity for item in found), key=["error", "warning", "note"].index
    )
    assert set(lint(other)) <= set(found)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60)
    | st.text(st.sampled_from("ab:{}[]-?&*!|>'\"%@,# \n\t<=~0189.xe_"), max_size=40).map(str.encode)
)
@example(b"\xef\xbb\xbfa: 1")
@example(b"? [a]\n: 1")
@example(b"- - - - -\n!")
@example(b"{? ? ?")
def test_no_bytes_make_the_reader_fall_over(data: bytes) -> None:
    """A policy, or one of our errors on one line; nothing else, ever."""
    try:
        parse_policy(data)
    except AccordError as exc:
        shown = str(exc)
    else:
        return
    assert shown.isprintable()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_policy_is_another_or_refused(draw: st.DataObject) -> None:
    """One changed byte of a canonical policy changes its digest, or it is refused."""
    data = bytearray(canonical_json(policy_json()))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 127))
    try:
        policy = parse_policy(bytes(data))
    except AccordError:
        return
    # Flow style: a blank may replace what is blank already, and quotes have two forms.
    if parse_json_or_none(bytes(data)) is not None:
        assert policy.digest != Policy.from_json(policy_json()).digest


def parse_json_or_none(data: bytes) -> Any:
    try:
        return parse_json(data, what="policy")
    except AccordError:
        return None
