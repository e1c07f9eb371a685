# SPDX-License-Identifier: Apache-2.0
"""The policy language: what it reads, what it refuses, and what its digest covers."""

from typing import Any

import pytest
from tests.support.board import digest, policy_json, service_json, variant_json

from accord.encoding import MAX_DOCUMENT_BYTES, canonical_json, parse_json
from accord.errors import (
    AccordError,
    MalformedError,
    PolicyContentError,
    PolicySyntaxError,
    TooLargeError,
    UnsupportedFormatError,
)
from accord.policy import (
    FAMILIES,
    TCB_STATUSES,
    Assurance,
    Channel,
    Family,
    Network,
    Policy,
    parent_name,
    parse_asset_name,
    parse_policy,
    parse_policy_name,
    parse_yaml,
)

JSON = dict[str, Any]


def with_service(**changes: Any) -> JSON:
    """The policy with fields of its service replaced; ``None`` takes one out."""
    service = {k: v for k, v in service_json(**changes).items() if v is not None}
    return policy_json(services={"train": service})


def with_variant(**changes: Any) -> JSON:
    variant = {k: v for k, v in variant_json(**changes).items() if v is not None}
    return with_service(attestation=[variant])


def resolved(document: JSON) -> JSON:
    """The policy with its defaults written out."""
    usual = {"files": [], "channel": "L1", "singleton": False, "identity": False}
    services = {name: {**usual, **item} for name, item in document["services"].items()}
    whole = {"access": {"read": [], "list": []}, "authority": False, "secrets": {}, "exports": []}
    return {**whole, **document, "services": services}


# --- YAML ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", {"a": 1}),
        ("a: [x, 'y', \"z\"]\n", {"a": ["x", "y", "z"]}),
        ("a: 2026-01-31T12:00:00Z\n", {"a": "2026-01-31T12:00:00Z"}),
        ("a: no\nb: on\n", {"a": "no", "b": "on"}),
        ("a: true # comment\n", {"a": True}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("--- {a: 1}\n", {"a": 1}),
        ('{"a": {"b": null}}', {"a": {"b": None}}),
        ("", None),
    ],
)
def test_yaml_is_read_as_json_would_be(text: str, expected: Any) -> None:
    """YAML 1.2: no is a word, and a time is text."""
    assert expected == parse_yaml(text.encode())


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: 1\n'a': 2\n", "duplicate key"),
        ("x: {a: 1, a: 1}\n", "duplicate key"),
        ("a: &x 1\nb: 2\n", "anchor or alias in line 1"),
        ("a: &x 1\nb: *x\n", "anchor or alias in line 1"),
        ("- &x [1]\n- *x\n", "anchor or alias in line 1"),
        ("a: !!str 1\n", "tag in line 1"),
        ("a: !!python/object/apply:os.system ['true']\n", "tag in line 1"),
        ("a: !local 1\n", "tag in line 1"),
        ("a: !!binary aGk=\n", "tag in line 1"),
        ("%TAG ! tag:example.com,2026:\n---\na: 1\n", "directive in line 2"),
        ("%YAML 1.1\n---\na: yes\n", "directive in line 2"),
        ("<<: {a: 1}\nb: 2\n", "merge key in line 1"),
        ("a: {<<: [{b: 1}, {b: 2}]}\n", "merge key in line 1"),
        ("a: 1\n---\nb: 2\n", "another document in line 2"),
        ("a: 1\n...\n---\nb: 2\n", "another document"),
        ("{a: 1", "line"),
        ("a: b: c\n", "line 1"),
        ("\ta: 1\n", "line 1"),
        ("a: 'open\n", "line"),
        ("? {a: 1}\n: 2\n", "unhashable key"),
        ("a: \x07\n", "special characters"),
        ("a: " + "9" * 5000 + "\n", "4300"),
        ("[" * 33 + "]" * 33, "nested deeper than 32 in line 1"),
        ("[" * 5000, "nested deeper than 32"),
        ("a: '\\ud800", "line"),
    ],
)
def test_yaml_that_two_readers_could_read_differently_is_refused(text: str, match: str) -> None:
    """Each of YAML's surprises is a refusal that names its line."""
    with pytest.raises(PolicySyntaxError, match=match):
        parse_yaml(text.encode())


@pytest.mark.parametrize("data", [b"\xff\xfea\x00", b"a: \xff\n", b"\xc0\x80"])
def test_yaml_is_utf_8(data: bytes) -> None:
    """No other encoding is guessed."""
    with pytest.raises(PolicySyntaxError, match="not UTF-8 at byte"):
        parse_yaml(data)


def test_yaml_is_limited_before_it_is_read() -> None:
    """A document that is too large is not parsed."""
    with pytest.raises(TooLargeError):
        parse_yaml(b"#" * (MAX_DOCUMENT_BYTES + 1))


def test_billion_laughs_is_refused() -> None:
    """Nesting by reference never starts."""
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]

    with pytest.raises(PolicySyntaxError, match="anchor"):
        parse_yaml("\n".join(lines).encode())


# --- content ---------------------------------------------------------------------------------


def test_policy_round_trip() -> None:
    """What is written out is read as the same policy."""
    policy = Policy.from_json(policy_json(predecessor=digest("old")))

    assert policy == Policy.from_json(policy.to_json())
    assert policy.to_json() == resolved(policy_json(predecessor=digest("old")))
    assert policy.assets == {"ann/records", "lab/code"}
    assert policy.readers == {"clinic"}


def test_defaults_are_written_out() -> None:
    """The digest covers what is meant, not what was typed."""
    variant = {"family": "tdx", "measurements": {"mrtd": ["00" * 48]}}
    short = {"attestation": [variant], "command": ["x"], "inputs": [], "outputs": []}
    policy = Policy.from_json(policy_json(services={"s": short}))
    full = {
        **short,
        "attestation": [variant_json(mrtd=bytes(48), simulated=False)],
        "environment": {},
        "workdir": "/tmp",
        "network": "none",
        "timeout_s": 3600,
    }

    assert policy.to_json() == resolved(policy_json(services={"s": full}))
    assert policy.digest == Policy.from_json(policy_json(services={"s": full})).digest
    assert policy.services["s"].attestation[0].simulated is False


def test_digest_does_not_depend_on_how_it_was_typed() -> None:
    """Key order, white space, comments and quoting change nothing."""
    plain = canonical_json(policy_json())
    typed = b"""
# Training on two hospitals' records.
services:
  train:
    timeout_s:   60
    outputs: [{readers: [clinic], at: /out/model, name: 'model'}]
    inputs:
      - {at: /in/records, asset: ann/records, tag: "%b"}
      - {at: /in/code, asset: lab/code, tag: "%b"}
    network: none
    workdir: /tmp
    environment: {EPOCHS: "3"}
    command: [/usr/bin/python3, /in/code/train.py]
    attestation:
      - {family: tdx, simulated: true, measurements: {mrtd: ["%b"]}}
purpose: screening   # see the protocol
name: "train"
schema: accord.policy.v1
""" % (
        digest("ann/records").encode(),
        digest("lab/code").encode(),
        bytes(range(48)).hex().encode(),
    )

    assert parse_policy(plain).digest == parse_policy(typed).digest


@pytest.mark.parametrize(
    "document",
    [
        {k: v for k, v in policy_json().items() if k != "schema"},
        policy_json(schema="accord.policy.v2"),
        policy_json(schema=1),
    ],
    ids=["missing", "other", "number"],
)
def test_version_is_required(document: JSON) -> None:
    """A policy without its version is not guessed at."""
    with pytest.raises((UnsupportedFormatError, MalformedError), match=r"schema|format"):
        Policy.from_json(document)


@pytest.mark.parametrize(
    ("document", "match"),
    [
        (policy_json(extra=1), "unknown field extra"),
        (with_service(extra=1), "policy.services.train is malformed: unknown field extra"),
        (with_variant(extra=1), "unknown field extra"),
        (with_service(outputs=[{**service_json()["outputs"][0], "x": 1}]), "unknown field x"),
        (with_service(inputs=[{**service_json()["inputs"][0], "x": 1}]), "unknown field x"),
        (policy_json(name="Train"), "expected a policy name"),
        (policy_json(purpose="any purpose"), "expected a name"),
        (policy_json(predecessor=None), "predecessor"),
        (policy_json(predecessor="latest"), "predecessor"),
        (policy_json(services=[]), "expected an object"),
        (policy_json(services={"a/b": service_json()}), "expected a name"),
        (with_service(attestation=None), "field attestation is missing"),
        (with_service(command=None), "field command is missing"),
        (with_service(inputs=None), "field inputs is missing"),
        (with_service(outputs=None), "field outputs is missing"),
        (with_service(command="python3 train.py"), "expected a list"),
        (with_service(command=["a\x1b[2J"]), "control character"),
        (with_service(command=["evil\u202egnp.exe"]), "control character"),
        (with_service(environment={"A": 1}), "expected text"),
        (with_service(environment={"A": "x" * 4097}), "at most 4096"),
        (with_service(environment=[]), "expected an object"),
        (with_service(network="any"), "'any' is not one of: none, open"),
        (with_service(network=["none"]), "is not one of: none, open"),
        (with_service(network=None) | {"x": 1}, "unknown field x"),
        (with_service(timeout_s=0), "0 is not within"),
        (with_service(timeout_s=7 * 24 * 3600 + 1), "is not within"),
        (with_service(timeout_s=60.0), "expected an integer"),
        (with_service(timeout_s=True), "expected an integer"),
        (with_service(workdir=7), "expected text"),
        (with_variant(family="sgx2"), "'sgx2' is not one of: sgx, tdx"),
        (with_variant(simulated="yes"), "expected true or false"),
        (with_variant(measurements=None), "mrtd is missing"),
        (with_variant(measurements={}), "mrtd is missing"),
        (with_variant(measurements={"rtmr0": ["00" * 48]}), "mrtd is missing"),
        (with_variant(measurements={"mrtd": []}), "allows no value at all"),
        (with_variant(measurements={"mrtd": ["00" * 47]}), "expected 96 lower-case hex digits"),
        (with_variant(measurements={"mrtd": ["00" * 49]}), "expected 96 lower-case hex digits"),
        (with_variant(measurements={"mrtd": ["AB" * 48]}), "in lower-case hex digits"),
        (with_variant(measurements={"mrtd": "00" * 48}), "expected a list"),
        (
            with_variant(measurements={"mrtd": ["00" * 48], "mrenclave": ["00" * 48]}),
            "tdx has no measurement mrenclave",
        ),
        (with_variant(tcb_statuses=["Revoked"]), "Revoked cannot be tolerated"),
        (with_variant(tcb_statuses=["*"]), r"\* cannot be tolerated"),
        (with_variant(tcb_statuses=[]), "allows no status"),
        (with_variant(min_tcb_evaluation_number=-1), "-1 is not within"),
    ],
    ids=range(44),
)
def test_malformed_policy_is_refused(document: JSON, match: str) -> None:
    """The refusal names the field and what is wrong with it."""
    with pytest.raises(MalformedError, match=match):
        Policy.from_json(document)


INPUT, OUTPUT = service_json()["inputs"][0], service_json()["outputs"][0]


@pytest.mark.parametrize(
    ("document", "match"),
    [
        (policy_json(services={}), "there is no service"),
        (with_service(attestation=[]), "no environment is acceptable"),
        (with_service(command=[]), "there is no program"),
        (with_service(command=["", "x"]), "there is no program"),
        (with_service(environment={"A B": "x"}), "'A B' is no variable name"),
        (with_service(environment={"": "x"}), "is no variable name"),
        (with_service(environment={"1A": "x"}), "is no variable name"),
        (with_service(environment={"A=B": "x"}), "is no variable name"),
        (with_service(environment={"A\n": "x"}), "is no variable name"),
        (with_service(workdir="tmp"), "expected a plain absolute path"),
        (with_service(workdir=""), "expected a plain absolute path"),
        (with_service(workdir="/tmp/../etc"), "expected a plain absolute path"),
        (with_service(workdir="//tmp/"), "expected a plain absolute path"),
        (with_service(workdir="/tmp\n+ [network] all"), "expected a plain absolute path"),
        (with_service(outputs=[{**OUTPUT, "readers": []}]), "nobody could read it"),
        (
            with_service(outputs=[OUTPUT, {**OUTPUT, "at": "/out/other"}]),
            "a name appears twice",
        ),
    ],
    ids=range(16),
)
def test_impossible_policy_is_refused(document: JSON, match: str) -> None:
    """Well formed, but nobody can mean it."""
    with pytest.raises(PolicyContentError, match=match):
        Policy.from_json(document)


@pytest.mark.parametrize(
    "at",
    [
        "/in",
        "/in/",
        "/in/a/",
        "/in//a",
        "//in/a",
        "/in/./a",
        "/in/../a",
        "/in/a/../../etc",
        "/in/..",
        "in/a",
        "/inside",
        "/etc/passwd",
        "/out/a",
        "/in/a\nb",
        "/in/a\tb",
        "",
        "/",
    ],
)
def test_mount_outside_its_root_is_refused(at: str) -> None:
    """Inputs appear below /in, at a path with one spelling."""
    with pytest.raises(PolicyContentError, match="expected a plain path below /in"):
        Policy.from_json(with_service(inputs=[{**INPUT, "at": at}]))
    with pytest.raises(PolicyContentError, match="expected a plain path below /out"):
        Policy.from_json(with_service(outputs=[{**OUTPUT, "at": at.replace("out", "in")}]))


@pytest.mark.parametrize(
    "places", [("/in/a", "/in/a"), ("/in/a", "/in/a/b"), ("/in/a/b/c", "/in/a")]
)
def test_overlapping_mounts_are_refused(places: tuple[str, str]) -> None:
    """One asset cannot hide behind another."""
    inputs = [{**INPUT, "at": at} for at in places]

    with pytest.raises(PolicyContentError, match="overlap"):
        Policy.from_json(with_service(inputs=inputs))


def test_neighbouring_mounts_are_accepted() -> None:
    """A common beginning of a name is no overlap."""
    inputs = [{**INPUT, "at": "/in/a"}, {**INPUT, "asset": "bob/records", "at": "/in/ab"}]

    assert len(Policy.from_json(with_service(inputs=inputs)).services["train"].inputs) == 2


@pytest.mark.parametrize(
    "name",
    ["ann", "/a", "a/", "a/b/c", "A/b", "a/B", "../b", "a/..", "a b/c", "a/" + "b" * 64, None, 7],
)
def test_asset_is_named_by_owner_and_name(name: object) -> None:
    """Anything else is refused."""
    with pytest.raises(MalformedError, match="expected OWNER/NAME"):
        parse_asset_name(name, what="asset")


def test_every_tolerable_status_can_be_named() -> None:
    """All that Intel defines, but Revoked."""
    policy = Policy.from_json(with_variant(tcb_statuses=list(TCB_STATUSES)))

    assert policy.services["train"].attestation[0].tcb_statuses == TCB_STATUSES
    assert "Revoked" not in TCB_STATUSES


def test_every_register_can_be_named() -> None:
    """With several values each."""
    sizes = {name: sizes[0] for name, sizes in FAMILIES[Family.TDX].measurements.items()}
    registers = {name: ["00" * size, "01" * size] for name, size in sizes.items()}
    policy = Policy.from_json(with_variant(measurements=registers))

    assert policy.services["train"].attestation[0].to_json()["measurements"] == registers


def test_assurance_levels_are_ordered() -> None:
    """A simulation is worth less than anything."""
    assert sorted(Assurance, key=lambda level: level.rank) == [
        Assurance.SIMULATED,
        Assurance.TPM,
        Assurance.CVM,
        Assurance.ENCLAVE,
    ]
    assert not Assurance.SIMULATED.at_least(Assurance.TPM)
    assert Assurance.ENCLAVE.at_least(Assurance.ENCLAVE)


def test_terms_that_open_the_network_allow_less() -> None:
    """And those that close it do not allow more."""
    assert Network.OPEN.allows(Network.NONE)
    assert Network.OPEN.allows(Network.OPEN)
    assert Network.NONE.allows(Network.NONE)
    assert not Network.NONE.allows(Network.OPEN)


def test_stronger_channels_serve_for_weaker_ones() -> None:
    """What demands level 1 gets it from level 2, and not the other way round."""
    assert Channel.L2.at_least(Channel.L1)
    assert Channel.L1.at_least(Channel.L1)
    assert not Channel.L1.at_least(Channel.L2)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/",
        "/a",
        "a//b",
        "a/../b",
        "A",
        "a b",
        "/".join("a" * 9),
        "a" * 64 + "/" + "b" * 191,
        7,
    ],
)
def test_policy_has_a_name_within_namespaces(name: object) -> None:
    """At most eight names and 255 characters; nothing that a path could mean otherwise."""
    with pytest.raises(MalformedError, match="expected a policy name"):
        parse_policy_name(name, what="name")


def test_parent_of_a_policy() -> None:
    """The policy in whose namespace it lives."""
    assert parent_name("a/b/c") == "a/b"
    assert parent_name("a") is None
    child = policy_json(name="lab/train", namespace=digest("parent"))
    assert Policy.from_json(child).parent == "lab"


def test_policy_may_hold_secrets_alone() -> None:
    """An authority that only exports is a policy without services."""
    policy = Policy.from_json(policy_json(services={}, secrets={"key": {"kind": "ascii"}}))

    assert dict(policy.services) == {}


def test_deposited_secrets_are_assets_of_their_owners() -> None:
    """Owners of secrets are affected as those of volumes are."""
    given = {"password": {"kind": "asset", "asset": "bob/password"}}
    policy = Policy.from_json(policy_json(secrets=given))

    assert policy.assets == {"ann/records", "lab/code", "bob/password"}


def test_create_defaults_to_update_and_list_to_read() -> None:
    """Whoever may change a policy decides who comes below it."""
    access = {"read": ["anyone"], "update": "member:ann"}
    written = Policy.from_json(policy_json(access=access)).to_json()["access"]

    assert written == {
        "read": ["anyone"],
        "list": ["anyone"],
        "update": "member:ann",
        "create": "member:ann",
    }


def test_control_characters_never_reach_a_policy() -> None:
    """Not through escapes either, in YAML or in JSON."""
    for escaped in (b'"\\u001b[2J"', b'"\\u202e"', b'"\\x07"', b'"\\ud800"'):
        document = canonical_json(policy_json()).replace(b'"3"', escaped)
        with pytest.raises(AccordError):
            parse_policy(document)


def test_policy_is_also_plain_json() -> None:
    """Canonical JSON is a policy file as well."""
    data = canonical_json(policy_json())

    assert parse_policy(data) == Policy.from_json(parse_json(data, what="policy"))
