# SPDX-License-Identifier: Apache-2.0
"""Attestation variants: what every family can name, and what is refused as a mistake."""

from dataclasses import fields as fields_of
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.cli._charter import variant_text
from accord.encoding import Fields, canonical_json, parse_json
from accord.errors import AccordError, MalformedError
from accord.policy import (
    FAMILIES,
    TCB_STATUSES,
    AttestationVariant,
    ComponentRule,
    Family,
    tcb_terms,
    variant_terms,
)
from accord.policy._terms import sentence

JSON = dict[str, Any]


def read(document: Any) -> AttestationVariant:
    return AttestationVariant.from_fields(Fields(document, "variant"))


def sgx(**changes: Any) -> JSON:
    """A variant of SGX, with fields replaced or, where they are None, taken out."""
    document = {"family": "sgx", "measurements": {"mrenclave": ["ab" * 32]}, **changes}
    return {name: value for name, value in document.items() if value is not None}


GPU = {"family": "nvidia", "attributes": {"driver_version": ["550"], "vbios_version": ["96"]}}


def test_every_field_is_read() -> None:
    """Each as its own type."""
    variant = read(
        sgx(
            simulated=True,
            tcb_statuses=["UpToDate", "SWHardeningNeeded"],
            min_tcb_evaluation_number=17,
            tcb_grace={"OutOfDate": "2026-12-31T00:00:00Z"},
            rejected_advisories=["INTEL-SA-00615"],
            attributes={"isv_prod_id": [1, 2], "provision_key": [True]},
            minimums={"isv_svn": 3},
            components=[{"digest": "0f", "kind": "a", "name": "b", "version": "c"}],
            allowed_instances=["01" * 16, "02" * 16],
            denied_instances=["03" * 16],
            parts={"gpu0": GPU},
        )
    )

    assert variant.tcb_grace == {"OutOfDate": datetime(2026, 12, 31, tzinfo=UTC)}
    assert variant.rejected_advisories == ("INTEL-SA-00615",)
    assert variant.attributes == {"isv_prod_id": (1, 2), "provision_key": (True,)}
    assert variant.minimums == {"isv_svn": 3}
    assert variant.components == (ComponentRule(b"\x0f", None, "a", "b", "c"),)
    assert variant.allowed_instances == (b"\1" * 16, b"\2" * 16)
    assert variant.denied_instances == (b"\3" * 16,)
    assert variant.parts["gpu0"].attributes["driver_version"] == ("550",)
    assert not variant.parts["gpu0"].simulated


@pytest.mark.parametrize(
    ("document", "match"),
    [
        # Contradictions: one of the two settings says nothing.
        (
            sgx(tcb_grace={"UpToDate": "2026-12-31T00:00:00Z"}),
            "UpToDate is tolerated with and without end",
        ),
        (
            sgx(allowed_instances=["01" * 16, "02" * 16], denied_instances=["02" * 16]),
            f"instance {'02' * 16} is both allowed and denied",
        ),
        (
            sgx(attributes={"isv_svn": [3]}, minimums={"isv_svn": 3}),
            "isv_svn has both values and a minimum",
        ),
        # Repetitions.
        (sgx(measurements={"mrenclave": ["ab" * 32] * 2}), "mrenclave is malformed: a value app"),
        (sgx(tcb_statuses=["UpToDate", "UpToDate"]), "a value appears twice"),
        (sgx(rejected_advisories=["INTEL-SA-00615"] * 2), "a value appears twice"),
        (sgx(attributes={"isv_svn": [3, 3]}), "a value appears twice"),
        (sgx(components=[{"digest": "0f"}, {"digest": "0f"}]), "a value appears twice"),
        (sgx(allowed_instances=["01" * 16] * 2), "a value appears twice"),
        (sgx(denied_instances=["01" * 16] * 2), "a value appears twice"),
        # Empty, where leaving it out would say the same, or the opposite.
        (sgx(rejected_advisories=[]), "is there, but empty"),
        (sgx(components=[]), "is there, but empty"),
        (sgx(allowed_instances=[]), "is there, but empty"),
        (sgx(denied_instances=[]), "is there, but empty"),
        (sgx(tcb_grace={}), "is there, but empty"),
        (sgx(minimums={}), "is there, but empty"),
        (sgx(parts={}), "is there, but empty"),
        (sgx(attributes={"isv_svn": []}), "allows no value at all"),
        # Types and names.
        (sgx(attributes={"isv_svn": [True]}), "expected an integer"),
        (sgx(attributes={"isv_svn": ["3"]}), "expected an integer"),
        (sgx(attributes={"isv_svn": [3.0]}), "expected an integer"),
        (sgx(attributes={"isv_svn": [-1]}), "-1 is not within 0"),
        (sgx(attributes={"isv_svn": [2**53]}), "is not within 0"),
        (sgx(attributes={"isv_svn": 3}), "expected a list"),
        (sgx(attributes={"provision_key": [1]}), "expected true or false"),
        (sgx(attributes={"provision_key": [None]}), "expected true or false"),
        (sgx(attributes={"fmspc": [1]}), "expected text"),
        (sgx(attributes={"fmspc": ["a\u202eb"]}), "control character"),
        (sgx(attributes={"colour": ["red"]}), "sgx has no attribute colour"),
        (sgx(attributes={"mrenclave": ["x"]}), "sgx has no attribute mrenclave"),
        (sgx(minimums={"provision_key": 1}), "sgx has no number provision_key"),
        (sgx(minimums={"fmspc": 1}), "sgx has no number fmspc"),
        (sgx(minimums={"isv_svn": -1}), "-1 is not within"),
        (sgx(minimums={"isv_svn": True}), "expected an integer"),
        (sgx(tcb_grace={"Revoked": "2026-12-31T00:00:00Z"}), "Revoked cannot be tolerated"),
        (sgx(tcb_grace={"OutOfDate": "tomorrow"}), "expected a time"),
        (sgx(rejected_advisories=[1]), "expected text"),
        (sgx(allowed_instances=["0G"]), "lower-case hex"),
        (sgx(allowed_instances=[""]), "lower-case hex"),
        (sgx(allowed_instances=[1]), "lower-case hex"),
        (sgx(denied_instances=["00" * 65]), "1 to 64 bytes"),
        # Components.
        (sgx(components=[{"name": "kernel"}]), "names neither digest nor signer"),
        (sgx(components=[{"digest": "0f", "path": "x"}]), "unknown field path"),
        (sgx(components=[{"digest": 15}]), "lower-case hex"),
        (sgx(components=["0f"]), "expected an object"),
        # Parts.
        (sgx(parts={"host": {**sgx(), "family": "tdx"}}), "tdx cannot be a part"),
        (sgx(parts={"cpu": GPU}), "cpu is the whole, not a part"),
        (sgx(parts={"GPU 0": GPU}), "expected a name"),
        (sgx(parts={"gpu0": {**GPU, "parts": {"gpu1": GPU}}}), "unknown field parts"),
        (sgx(parts={"gpu0": {"family": "nvidia"}}), "vbios_version is missing"),
        # A variant that names no code.
        (sgx(measurements=None), "mrenclave or isv_prod_id and isv_svn and mrsigner is missing"),
        (sgx(measurements={"mrsigner": ["00" * 32]}), "is missing"),
        ({"family": "psa"}, "components is missing"),
        # What the family does not have.
        ({"family": "snp", "measurements": {"measurement": ["00" * 48]}, "tcb_grace": {}}, "tcb_g"),
        (
            {
                "family": "snp",
                "measurements": {"measurement": ["00" * 48]},
                "rejected_advisories": ["A"],
            },
            "unknown field rejected_advisories",
        ),
        (
            {"family": "snp", "measurements": {"measurement": ["00" * 48]}, "tcb_statuses": ["A"]},
            "unknown field tcb_statuses",
        ),
    ],
)
def test_a_mistaken_variant_is_refused(document: JSON, match: str) -> None:
    """Contradictions, repetitions, empty lists, other types and unknown names are refused."""
    with pytest.raises(MalformedError, match=match):
        read(document)


# --- Whatever is generated ----------------------------------------------------------------------

TEXTS = st.text(st.sampled_from("ab ,()\"'\\{}\u0430é/="), min_size=1, max_size=5)
SCALARS: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(0, 2**53 - 1),
    str: TEXTS,
}


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=2, unique=True)


def octets(size: int) -> st.SearchStrategy[str]:
    return st.sampled_from([bytes(size).hex(), b"\xab".hex() * size])


def rules() -> st.SearchStrategy[Any]:
    texts = dict.fromkeys(("kind", "name", "version"), TEXTS)
    named = st.fixed_dictionaries({"digest": octets(32)}, optional={"signer": octets(32), **texts})
    signed = st.fixed_dictionaries({"signer": octets(32)}, optional=texts)
    return st.lists(named | signed, min_size=1, max_size=2, unique_by=canonical_json)


def value_of(family: Family, name: str) -> st.SearchStrategy[Any]:
    """Any value of a measurement or an attribute."""
    known = FAMILIES[family]
    if name in known.measurements:
        return octets(known.measurements[name][0])
    return SCALARS[known.attributes[name]]


def naming_values(family: Family, name: str) -> st.SearchStrategy[list[Any]]:
    """Of what names the code: no flag that may be false, and no signer that may be nobody."""
    known = FAMILIES[family]
    if name in known.measurements:
        return st.just(["ab" * known.measurements[name][0]])
    return st.just([True]) if known.attributes[name] is bool else some(value_of(family, name))


@st.composite
def variants(draw: st.DrawFn, *, family: Family, part: bool = False) -> JSON:
    """Any variant of a family that has no contradiction."""
    known = FAMILIES[family]
    document: JSON = {"family": family.value}
    alternative = draw(st.sampled_from(known.required))
    for kind, names in (("measurements", known.measurements), ("attributes", known.attributes)):
        more = draw(st.lists(st.sampled_from(sorted(names)), max_size=2)) if names else []
        named = {name: draw(some(value_of(family, name))) for name in sorted(more)}
        for name in sorted(alternative & set(names)):
            named[name] = draw(naming_values(family, name))
        if named:
            document[kind] = named
    numbers = [name for name, kind in known.attributes.items() if kind is int]
    free = sorted(set(numbers) - set(document.get("attributes", {})))
    if draw(st.booleans()) and free:
        document["minimums"] = {draw(st.sampled_from(free)): draw(SCALARS[int])}
    if "components" in alternative or draw(st.booleans()):
        document["components"] = draw(rules())
    size = known.instance_sizes[0]
    machines = st.sampled_from([(at + 1).to_bytes(size, "big").hex() for at in range(3)])
    instances = draw(st.lists(machines, max_size=3, unique=True))
    for name, listed in (("allowed_instances", instances[1:]), ("denied_instances", instances[:1])):
        if listed:
            document[name] = listed
    if draw(st.booleans()):
        document["simulated"] = draw(st.booleans())
    if known.has_tcb_status:
        document.update(draw(ratings()))
    if not part and draw(st.booleans()):
        inner = st.sampled_from([Family.TPM, Family.NVIDIA])
        names_of_parts = draw(st.lists(st.sampled_from(["vtpm", "gpu0"]), min_size=1, unique=True))
        document["parts"] = {
            name: draw(variants(family=draw(inner), part=True)) for name in names_of_parts
        }
    return document


@st.composite
def ratings(draw: st.DrawFn) -> JSON:
    statuses = draw(st.permutations(TCB_STATUSES))
    times = st.sampled_from(["2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"])
    optional: dict[str, st.SearchStrategy[Any]] = {
        "tcb_grace": st.dictionaries(st.sampled_from(statuses[2:]), times, min_size=1, max_size=2),
        "min_tcb_evaluation_number": st.integers(0, 3),
        "rejected_advisories": some(st.sampled_from(["INTEL-SA-00615", "ACCORD-SIM-0001"])),
    }
    rating = draw(st.fixed_dictionaries({}, optional=optional))
    return {**rating, "tcb_statuses": list(statuses[: draw(st.integers(1, 2))])}


ANY = st.sampled_from(Family).flatmap(lambda family: variants(family=family))


@pytest.mark.parametrize("family", Family)
def test_a_variant_of_any_family_is_read_as_it_was_written(family: Family) -> None:
    """Through its resolved form and canonical bytes: the same variant, the same digest."""

    @settings(max_examples=15, deadline=None)
    @given(variants(family=family))
    def check(document: JSON) -> None:
        variant = read(document)
        data = canonical_json(variant.to_json())
        again = read(parse_json(data, what="variant"))

        assert again == variant
        assert canonical_json(again.to_json()) == data

    check()


@settings(max_examples=80, deadline=None)
@given(ANY, ANY, st.data())
def test_two_variants_never_share_a_sentence(one: JSON, other: JSON, data: st.DataObject) -> None:
    """Nor the lines that founders see: also where they differ in one field, or in one value."""
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(one)))
        other = {**one, **({name: other[name]} if name in other else {})}
        if name not in other and name not in {"family", "measurements"}:
            other.pop(name, None)
    try:
        left, right = read(one), read(other)
    except MalformedError:
        return
    same = left.to_json() == right.to_json()
    ordered = same or _sorted(left.to_json()) != _sorted(right.to_json())

    assert (sentence(left) == sentence(right)) is same
    if ordered:
        assert (variant_text(left) == variant_text(right)) is same


def _sorted(value: Any) -> Any:
    """Lists without their order: only the sentence, not the layout, must tell it."""
    if isinstance(value, dict):
        return {name: _sorted(item) for name, item in value.items()}
    return sorted(map(repr, map(_sorted, value))) if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(ANY)
def test_what_founders_and_voters_see_is_plain(document: JSON) -> None:
    """Visible ASCII on one line each, with every value that was written."""
    variant = read(document)
    shown = sentence(variant)

    assert shown.isascii()
    assert shown.isprintable()
    for line in variant_text(variant):
        assert line.isascii()
        assert line.isprintable()
    joined = "\n".join(variant_text(variant))
    for _, values in (*variant_terms(variant), *tcb_terms(variant)):
        for value in values:
            assert value in shown
            assert value in joined


def test_every_field_of_a_variant_is_shown() -> None:
    """A field that somebody adds, and forgets to show, fails here."""
    shown = {field.name for field in fields_of(AttestationVariant)}
    base = sgx()
    changes: JSON = {
        "family": None,  # checked by all others
        "simulated": True,
        "measurements": {"mrenclave": ["cd" * 32]},
        "tcb_statuses": ["OutOfDate"],
        "min_tcb_evaluation_number": 1,
        "tcb_grace": {"OutOfDate": "2026-12-31T00:00:00Z"},
        "rejected_advisories": ["INTEL-SA-00615"],
        "attributes": {"isv_svn": [1]},
        "minimums": {"isv_svn": 1},
        "components": [{"digest": "0f"}],
        "allowed_instances": ["01" * 16],
        "denied_instances": ["01" * 16],
        "parts": {"gpu0": GPU},
    }
    assert shown == set(changes)
    seen = {sentence(read(base))}
    lines = {tuple(variant_text(read(base)))}
    for name, value in changes.items():
        if value is not None:
            seen.add(sentence(read({**base, name: value})))
            lines.add(tuple(variant_text(read({**base, name: value}))))
    assert (len(seen), len(lines)) == (len(changes), len(changes))


@pytest.mark.parametrize("name", ["digest", "signer", "kind", "name", "version"])
def test_every_property_of_a_component_rule_is_shown(name: str) -> None:
    """The same, for rules within a variant."""
    rule: JSON = {"digest": "0f", "signer": "0e"}
    other = {**rule, name: "aa"}

    assert sentence(read(sgx(components=[rule]))) != sentence(read(sgx(components=[other])))


def test_the_words_of_a_full_variant() -> None:
    """As a voter reads it."""
    document = sgx(
        simulated=True,
        tcb_grace={"OutOfDate": "2026-12-31T00:00:00Z"},
        min_tcb_evaluation_number=17,
        rejected_advisories=["INTEL-SA-00615"],
        attributes={"fmspc": ["a\u0430"], "provision_key": [True]},
        minimums={"isv_svn": 3},
        components=[{"digest": "0f", "kind": "BL"}, {"signer": "0e", "name": "x", "version": "1"}],
        allowed_instances=["01" * 16, "02" * 16],
        denied_instances=["03" * 16],
        parts={"gpu0": {**GPU, "simulated": True}},
    )
    expected = (
        f"SIMULATED sgx with mrenclave {'ab' * 32}, "
        'fmspc is "a\\u{430}", provision_key is true, isv_svn at least 3, '
        'every component (digest 0f, kind "BL") or (signer 0e, name "x", version "1"), '
        f"only on machine {'01' * 16} or {'02' * 16}, not on machine {'03' * 16}, "
        'part gpu0 {SIMULATED nvidia with driver_version is "550", vbios_version is "96"} '
        "(TCB UpToDate, or, until 2026-12-31T00:00:00Z, OutOfDate, at least 17, "
        'without advisory "INTEL-SA-00615")'
    )

    assert expected == sentence(read(document))


def test_the_lines_of_a_full_variant() -> None:
    """As a founder reads it before signing."""
    document = sgx(tcb_grace={"OutOfDate": "2026-12-31T00:00:00Z"}, parts={"gpu0": GPU})
    lines = [
        "service    sgx",
        "  TCB      UpToDate",
        "  or, until 2026-12-31T00:00:00Z, OutOfDate",
        "  TCB evaluation number at least 0",
        "  mrenclave",
        f"    {'ab' * 32}",
        "  part gpu0  nvidia",
        "    driver_version is",
        '      "550"',
        "    vbios_version is",
        '      "96"',
    ]

    assert lines == variant_text(read(document))


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS,
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["mrenclave", "digest", "gpu0", "isv_svn"]), inner)
        ),
        max_leaves=6,
    ),
    st.sampled_from([field.name for field in fields_of(AttestationVariant)]),
)
def test_no_value_makes_the_reader_fall_over(value: Any, name: str) -> None:
    """A variant, or an error of ours."""
    try:
        read({**sgx(), name: value})
    except AccordError as exc:
        shown = str(exc)
    else:
        return
    assert shown.isprintable()


HARDWARE: dict[str, JSON] = {
    "sgx": sgx(),
    "tdx": {"family": "tdx", "measurements": {"mrtd": ["ab" * 48]}},
    "snp": {"family": "snp", "measurements": {"measurement": ["ab" * 48]}},
    "keystone": {
        "family": "keystone",
        "measurements": {"enclave": ["ab" * 64], "security_monitor": ["ab" * 64]},
    },
    "psa": {"family": "psa", "components": [{"digest": "ab" * 32}]},
    "cca": {"family": "cca", "measurements": {"rim": ["ab" * 32]}},
    "nitro": {"family": "nitro", "measurements": {"pcr0": ["ab" * 48]}},
}


@pytest.mark.parametrize("field", ["allowed_instances", "denied_instances"])
@pytest.mark.parametrize(
    ("family", "machine"),
    [
        ("snp", "1e550a8ee5cf9f4d"),  # a chip id of Turin, before it is padded
        ("snp", "1e" * 63),
        ("tdx", "1e"),
        ("sgx", "1e" * 32),
        ("keystone", "1e" * 33),
        ("psa", "1e" * 32),
        ("cca", "1e" * 34),
        ("nitro", "1e" * 16),
        ("snp", "00" * 64),
        ("tdx", "00" * 16),
    ],
)
def test_a_machine_that_cannot_be_is_on_no_list(family: str, machine: str, field: str) -> None:
    """A list of denials with a name that is too short would deny nobody, without a word."""
    with pytest.raises(MalformedError, match="names no machine"):
        read({**HARDWARE[family], field: [machine]})


@pytest.mark.parametrize("advisory", ["intel-sa-00289", "INTEL-SA-289", "nonsense", "CVE-2024-1"])
def test_an_advisory_that_no_vendor_publishes_is_refused(advisory: str) -> None:
    """It would never be found, and so reject nothing."""
    with pytest.raises(MalformedError, match="is not of the form INTEL-SA-00000"):
        read(sgx(rejected_advisories=[advisory]))


@pytest.mark.parametrize(
    "document",
    [
        {
            "family": "txt",
            "attributes": {"txt_log": [False]},
            "components": [{"digest": "ab" * 32}],
        },
        {
            "family": "txt",
            "attributes": {"txt_log": [True, False]},
            "components": [{"digest": "ab" * 32}],
        },
        {
            "family": "tpm",
            "attributes": {"event_log": [False]},
            "components": [{"digest": "ab" * 32}],
        },
        {
            "family": "snp",
            "measurements": {"id_key_digest": ["00" * 48], "image_id": ["00" * 16]},
            "minimums": {"guest_svn": 0},
        },
        {
            "family": "snp",
            "measurements": {
                "id_key_digest": ["ab" * 48, "00" * 48],
                "image_id": ["ab" * 16],
            },
            "minimums": {"guest_svn": 0},
        },
        {
            "family": "azure",
            "measurements": {
                "snp.id_key_digest": ["00" * 48],
                "snp.image_id": ["ab" * 16],
                "sha256.pcr4": ["ab" * 32],
            },
            "minimums": {"snp.guest_svn": 0},
        },
        {
            "family": "sgx",
            "measurements": {"mrsigner": ["00" * 32]},
            "attributes": {"isv_prod_id": [0]},
            "minimums": {"isv_svn": 0},
        },
    ],
)
def test_a_variant_that_seems_to_name_code_is_refused(document: JSON) -> None:
    """A log that need not be there, and a signer that is nobody, vouch for nothing."""
    with pytest.raises(MalformedError, match="is missing"):
        read(document)
