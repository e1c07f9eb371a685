# SPDX-License-Identifier: Apache-2.0
"""The published JSON Schema: it accepts what the reader accepts, and names the same fields."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.docs._console import fences
from tests.support.board import policy_json, service_json

from accord.errors import AccordError
from accord.policy import (
    FAMILIES,
    Access,
    AttestationVariant,
    ComponentRule,
    Export,
    Family,
    Fragment,
    FragmentUse,
    FreshnessRule,
    InjectedFile,
    Input,
    LiveMount,
    LiveVolume,
    Output,
    PeerService,
    Policy,
    SecretKind,
    SecretSpec,
    Service,
    parse_policy,
    parse_yaml,
    policy_schema,
)

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "vectors" / "policy"
SCHEMA = policy_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

READER_ONLY = {
    # What YAML says twice, or says with means of its own, no value shows.
    "alias_fail", "anchor_fail", "directive_fail", "duplicate_key_fail", "merge_key_fail",
    "second_document_fail", "tag_fail", "deep_nesting_fail",
    # Whether texts hold such characters, and paths such steps, is the reader's to see.
    "bidirectional_fail", "control_character_fail", "line_break_in_path_fail", "parent_path_fail",
    # What one field says about another.
    "access_deep_rule_fail", "access_reader_twice_fail", "export_of_import_fail",
    "export_of_nothing_fail", "export_pinned_namespace_fail", "export_public_pin_fail",
    "export_public_text_fail", "export_twice_fail", "file_overlap_fail", "fragment_secret_fail",
    "fragment_unresolved_fail",
    "identity_without_authority_fail", "namespace_at_the_top_fail", "namespace_missing_fail",
    "namespace_of_an_update_fail", "nothing_fail", "overlap_fail", "secret_circle_fail",
    "secret_of_nothing_fail", "secret_outlives_issuer_fail", "secret_server_without_name_fail",
    "template_bytes_fail", "template_format_fail", "template_malformed_fail",
    "template_of_authority_fail", "template_unknown_fail", "totp_kind_fail",
}  # fmt: skip


def yaml_of(folder: Path) -> Any:
    return parse_yaml((folder / "policy.yaml").read_bytes())


GOOD = sorted(path.parent for path in VECTORS.glob("*/policy.json"))
BAD = sorted(path for path in VECTORS.glob("*_fail"))
EXAMPLES = [
    fence
    for page in (*(ROOT / "docs").glob("reference/*.md"), *(ROOT / "docs").glob("how-to/*.md"))
    for fence in fences(page)
    if fence.words[:2] == ("yaml", "policy") and not re.search(r"TAG-OF|\[MRTD\]", fence.body)
]


def test_schema_is_a_schema() -> None:
    """Of the draft that it names."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_published_schema_is_current() -> None:
    """The file that editors are pointed at is what the code makes."""
    published = ROOT / "docs" / "reference" / "policy.schema.json"

    assert json.loads(published.read_text()) == SCHEMA


@pytest.mark.parametrize("folder", GOOD, ids=lambda path: path.name)
def test_accepted_vectors_fit_the_schema(folder: Path) -> None:
    """As they were written, and in the resolved form."""
    VALIDATOR.validate(yaml_of(folder))
    VALIDATOR.validate(json.loads((folder / "policy.json").read_text()))


@pytest.mark.parametrize(
    "folder", [path for path in BAD if path.name not in READER_ONLY], ids=lambda path: path.name
)
def test_refused_vectors_do_not_fit_the_schema(folder: Path) -> None:
    """All but those whose flaw no schema can see."""
    assert not VALIDATOR.is_valid(yaml_of(folder))


def test_vectors_that_only_the_reader_refuses_exist() -> None:
    """And fit the schema, where they are YAML at all: the list above is not too long."""
    assert READER_ONLY - {path.name for path in BAD} == set()
    for folder in BAD:
        try:
            value = yaml_of(folder)
        except AccordError:
            continue
        assert VALIDATOR.is_valid(value) is (folder.name in READER_ONLY), folder.name


@pytest.mark.parametrize("fence", EXAMPLES, ids=lambda fence: fence.where)
def test_examples_of_the_pages_fit_the_schema(fence: Any) -> None:
    """What people copy is completed and checked by their editor."""
    VALIDATOR.validate(parse_yaml(fence.body.encode()))


def names(dataclass: type) -> set[str]:
    return {field.name for field in dataclasses.fields(dataclass)}


def fields(definition: str) -> set[str]:
    return set(SCHEMA["$defs"][definition]["properties"])


def test_schema_names_the_fields_of_the_reader() -> None:
    """Each document has the fields that its class has, no more and no fewer."""
    assert set(SCHEMA["properties"]) == names(Policy) | {"schema"}
    assert fields("access") == names(Access)
    assert fields("freshness") == names(FreshnessRule)
    assert fields("service") == names(Service)
    assert fields("input") == names(Input)
    assert fields("output") == names(Output)
    assert fields("file") == names(InjectedFile)
    assert fields("export") == names(Export)
    assert fields("volume") == names(LiveVolume)
    assert fields("mount") == names(LiveMount)
    assert fields("fragment") == names(Fragment)
    assert fields("fragment-use") == names(FragmentUse)
    assert fields("component") == names(ComponentRule)
    assert fields("importing-service") == names(PeerService)
    assert fields("exporting-service") == names(PeerService) - {"url"}


def test_schema_names_the_secrets_of_the_reader() -> None:
    """All kinds together have all fields, and a kind those that are written out for it."""
    of_kinds = {kind: fields(f"secret-{kind}") for kind in SecretKind}

    assert set().union(*of_kinds.values()) == names(SecretSpec)
    for folder in GOOD:
        for name, spec in parse_policy((folder / "policy.yaml").read_bytes()).secrets.items():
            assert set(spec.to_json()) <= of_kinds[spec.kind], name


@pytest.mark.parametrize("family", Family)
def test_schema_names_the_fields_of_each_family(family: Family) -> None:
    """Measurements and attributes as evidence has them."""
    known, variant = FAMILIES[family], SCHEMA["$defs"][f"variant-{family}"]["properties"]
    rated = {"tcb_statuses", "tcb_grace", "min_tcb_evaluation_number", "rejected_advisories"}
    numbers = {name for name, kind in known.attributes.items() if kind is int}

    expected = names(AttestationVariant) - (set() if known.has_tcb_status else rated)
    assert set(variant) == expected
    assert set(variant["measurements"]["properties"]) == set(known.measurements)
    assert set(variant["attributes"]["properties"]) == set(known.attributes)
    assert set(variant["minimums"]["properties"]) == numbers


def test_schema_names_every_field_in_some_vector() -> None:
    """The published vectors show every field that is not a measurement or an attribute."""
    shown = "".join((folder / "policy.json").read_text() for folder in GOOD)
    known = {*SCHEMA["properties"]}
    for name, definition in SCHEMA["$defs"].items():
        if not name.startswith(("variant", "part")):
            known |= {*definition.get("properties", ())}
    known |= names(AttestationVariant)

    assert sorted(field for field in known if f'"{field}":' not in shown) == []


@pytest.mark.parametrize(
    "change",
    [
        {"timeout_s": 604801},
        {"lease_s": 86401},
        {"command": ["x" * 4097]},
        {"command": ["x"] * 1025},
        {"inputs": [{**service_json()["inputs"][0], "at": "/in/" + "a" * 1021}]},
        {"files": [{"at": "/run/x", "content": "x" * 65537}]},
    ],
    ids=range(6),
)
def test_schema_and_reader_have_the_same_limits(change: dict[str, Any]) -> None:
    """One more than the most is refused by both."""
    document = policy_json(services={"train": service_json(**change)})

    assert not VALIDATOR.is_valid(document)
    with pytest.raises(AccordError):
        Policy.from_json(document)
