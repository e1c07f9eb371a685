# SPDX-License-Identifier: Apache-2.0
"""Attestation results as others read them: the shape of an EAR, admitted or refused."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import Digest, canonical_json, parse_json
from accord.errors import AccordError, MalformedError, UnsupportedFormatError
from accord.evidence import (
    EAR,
    PRIVATE_CLAIMS,
    TCB,
    VECTOR,
    Claims,
    Component,
    RootKind,
    Submodule,
    Tier,
    appraise,
    evaluate,
)
from accord.policy import FAMILIES, AttestationVariant, ComponentRule, Family

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PRIVATE = [PRIVATE_CLAIMS]


def claims(family: Family = Family.TDX, **changes: Any) -> Claims:
    known = FAMILIES[family]
    fields: dict[str, Any] = {
        "family": family,
        "root": Digest("sha256:" + "5a" * 32),
        "root_kind": RootKind.PRODUCTION,
        "measurements": {name: bytes(sizes[0]) for name, sizes in known.measurements.items()},
        "debug": False,
        "tcb": TCB("UpToDate", (), 17) if known.has_tcb_status else None,
        "instance_id": b"machine",
        "collateral_expires": NOW,
        "attributes": {name: values[0] for name, values in known.defaults.items()},
    }
    return Claims(**{**fields, **changes})


def variant(family: Family = Family.TDX, **changes: Any) -> AttestationVariant:
    statuses = ("UpToDate",) if FAMILIES[family].has_tcb_status else ()
    fields = {"family": family, "simulated": False, "measurements": {}, "tcb_statuses": statuses}
    return AttestationVariant(**{**fields, "min_tcb_evaluation_number": 0, **changes})


def composite(**changes: Any) -> tuple[Claims, AttestationVariant]:
    """A TDX machine with a vTPM and two GPUs, of which a policy names the vTPM and one."""
    whole = claims(
        parts={
            "gpu0": claims(Family.NVIDIA, instance_id=b"0", **changes),
            "gpu1": claims(Family.NVIDIA, instance_id=b"1"),
            "vtpm": claims(Family.TPM, instance_id=b"v"),
        }
    )
    named = {"vtpm": variant(Family.TPM), "gpu0": variant(Family.NVIDIA)}
    return whole, variant(parts=named)


def test_old_results_keep_their_shape() -> None:
    """What ledgers hold today is what the same claims give tomorrow."""
    plain = claims(attributes={}, measurements={"mrtd": b"\1\2"}, root_kind=RootKind.TEST)
    named = variant(Family.NITRO, simulated=True)
    result = evaluate(dataclasses.replace(plain, family=Family.NITRO, tcb=None), [named], now=NOW)
    document = result.to_json()

    assert list(document) == ["eat_profile", "iat", "ear.verifier-id", "submods", PRIVATE_CLAIMS]
    assert document[PRIVATE_CLAIMS]["tcb"] is None
    assert list(document["submods"]["cpu"]) == [
        "ear.status",
        "ear.trustworthiness-vector",
        "ear.appraisal-policy-id",
    ]


@pytest.mark.parametrize(
    ("family", "opaque"),
    [
        (Family.SGX, 2),
        (Family.TDX, 2),
        (Family.SNP, 2),
        (Family.AZURE, 2),
        (Family.CCA, 2),
        (Family.NVIDIA, 2),
        (Family.TPM, 32),
        (Family.TXT, 32),
        (Family.NITRO, 32),
        (Family.PSA, 32),
        (Family.KEYSTONE, 32),
    ],
)
def test_memory_that_is_only_isolated_is_warned_of(family: Family, opaque: int) -> None:
    """What anybody can read from the bus is not called opaque."""
    vector = evaluate(claims(family), [variant(family)], now=NOW).trust_vector

    assert vector["runtime-opaque"] == opaque
    assert vector["hardware"] == 2


@pytest.mark.parametrize(
    ("changes", "named", "aspect", "value"),
    [
        ({}, {}, "executables", 0),
        ({}, {"measurements": {"rtmr2": (bytes(48),)}}, "executables", 3),
        ({"root_kind": RootKind.TEST}, {"simulated": True}, "executables", 3),
        ({}, {"measurements": {"rtmr3": (bytes(48),)}}, "executables", 2),
        ({}, {"measurements": {"mrtd": (b"x" * 48,)}}, "executables", 33),
        ({"tcb": TCB("SWHardeningNeeded", (), 1)}, {}, "hardware", 32),
        ({"tcb": TCB("OutOfDate", (), 1)}, {"tcb_statuses": ("OutOfDate",)}, "hardware", 32),
        ({"tcb": TCB("Revoked", (), 1)}, {}, "hardware", 96),
        ({"debug": True}, {}, "runtime-opaque", 96),
        ({"root_kind": RootKind.TEST}, {}, "hardware", 97),
        ({"root_kind": RootKind.TEST}, {"simulated": True}, "hardware", 32),
        ({}, {"denied_instances": (b"machine",)}, "instance-identity", 96),
        ({}, {"allowed_instances": (b"other",)}, "instance-identity", 97),
        ({}, {"parts": {"vtpm": variant(Family.TPM)}}, "configuration", 96),
        ({"attributes": {}}, {}, "configuration", 96),
    ],
)
def test_the_trust_vector_says_what_is_wrong(
    changes: Any, named: Any, aspect: str, value: int
) -> None:
    """Aspect by aspect, as docs/spec/attestation-result.md maps it."""
    vector = evaluate(claims(**changes), [variant(**named)], now=NOW).trust_vector

    assert vector[aspect] == value


@pytest.mark.parametrize(("ima_log", "value"), [(True, 2), (False, 3)])
def test_measured_files_are_more_than_a_measured_boot(value: int, *, ima_log: bool) -> None:
    """An IMA log that was appraised covers what ran after boot; a list of firmware does not."""
    attributes = {**claims(Family.TPM).attributes, "ima_log": ima_log}
    loaded = (Component("ima", "/bin/sh", b"d"),)
    named = variant(Family.TPM, components=(ComponentRule(digest=b"d"),))
    found = appraise(claims(Family.TPM, components=loaded, attributes=attributes), [named], now=NOW)

    assert found.trust_vector["executables"] == value


def test_every_part_has_its_submodule() -> None:
    """One of the whole, one of each part; a part that nobody named says nothing."""
    result = appraise(*_one(composite()), now=NOW)
    tiers = {name: item.status.value for name, item in result.submodules.items()}

    assert tiers == {"cpu": "warning", "vtpm": "warning", "gpu0": "affirming", "gpu1": "none"}
    assert result.submodules["gpu1"].policy_id is None
    assert result.policy_id == result.submodules["gpu0"].policy_id


def _one(pair: tuple[Claims, AttestationVariant]) -> tuple[Claims, list[AttestationVariant]]:
    return pair[0], [pair[1]]


def test_gpus_are_said_to_be_linked_by_nonce_alone() -> None:
    """The claim is no stronger than the proof; a machine without GPUs does not make it."""
    document = appraise(*_one(composite()), now=NOW).to_json()[PRIVATE_CLAIMS]

    assert document["gpu_binding"] == "nonce_linked"
    assert document["assurance_attributes"] == ["gpu-cc"]
    assert document["parts"]["gpu0"]["family"] == "nvidia"
    without = appraise(claims(), [variant()], now=NOW).to_json()[PRIVATE_CLAIMS]
    assert {"gpu_binding", "assurance_attributes", "parts"} & set(without) == set()


def test_a_gpu_counts_only_with_a_confidential_machine() -> None:
    """A TPM host with an attested GPU is not confidential computing."""
    host = claims(Family.TPM, parts={"gpu0": claims(Family.NVIDIA)})
    named = variant(Family.TPM, parts={"gpu0": variant(Family.NVIDIA)})

    assert not appraise(host, [named], now=NOW).gpu_cc


def test_a_bad_part_contraindicates_the_whole() -> None:
    """Whoever reads the submodule of the whole alone is not misled."""
    result = evaluate(*_one(composite(debug=True)), now=NOW)

    assert result.submodules["gpu0"].status is Tier.CONTRAINDICATED
    assert result.submodules["cpu"].status is Tier.CONTRAINDICATED
    assert result.submodules["vtpm"].status is Tier.WARNING
    assert not result.gpu_cc


def test_a_refusal_tells_its_reasons() -> None:
    """Code, field, expected and actual value, of every variant; the nearest gives the vector."""
    far = variant(Family.SNP)
    near = variant(min_tcb_evaluation_number=18)
    result = evaluate(claims(), [far, near], now=NOW)
    document = result.to_json()[PRIVATE_CLAIMS]

    assert (result.variant, document["variant"]) == (None, None)
    assert document["refusals"][1] == [
        {
            "code": "tcb-evaluation",
            "field": "tcb_evaluation_number",
            "expected": "at least 18",
            "actual": "17",
        }
    ]
    assert len(document["refusals"][0]) > 1
    assert result.trust_vector["hardware"] == 32
    assert result.policy_id is not None
    assert result.policy_id.startswith("urn:accord:attestation-variants:sha256:")


def test_no_variant_contraindicates_without_saying_why() -> None:
    """Nothing was asked, so nothing is claimed."""
    result = evaluate(claims(parts={"gpu0": claims(Family.NVIDIA)}), [], now=NOW)

    assert (result.status, result.refusals) == (Tier.CONTRAINDICATED, ())
    assert set(result.trust_vector.values()) == {0}
    assert result.submodules["gpu0"].status is Tier.NONE


def test_a_number_that_json_cannot_hold_is_text() -> None:
    """Sixty-four bits of flags are not rounded by somebody's reader."""
    wide = claims(attributes={"xfam": 2**63, "svn": 2**53 - 1, "flag": True})
    document = evaluate(wide, [variant()], now=NOW).to_json()[PRIVATE_CLAIMS]["attributes"]

    assert document == {"xfam": "0x8000000000000000", "svn": 2**53 - 1, "flag": True}


def test_components_are_counted_and_hashed() -> None:
    """A log of any length costs a ledger one line."""
    loaded = [claims(components=(Component("a", name, b"d"),)) for name in ("x", "y", "x")]
    shown = [
        evaluate(item, [variant()], now=NOW).to_json()[PRIVATE_CLAIMS]["components"]
        for item in loaded
    ]

    assert shown[0]["count"] == 1
    assert shown[0] == shown[2] != shown[1]


# --- The document ------------------------------------------------------------------------------


def full() -> EAR:
    """A result with every claim there is."""
    result = appraise(*_one(composite()), now=NOW)
    return result.ear(nonce=b"n" * 32, raw_evidence=b"\0evidence", issuer="verifier", expires=NOW)


def test_a_result_is_read_as_it_was_written() -> None:
    """In JSON and in CBOR, with and without what is optional."""
    for ear in (full(), appraise(claims(), [variant()], now=NOW).ear()):
        data = canonical_json(ear.to_json())
        assert EAR.from_json(parse_json(data, what="x"), private=PRIVATE) == ear
        assert EAR.from_cbor(ear.to_cbor(), private=PRIVATE) == ear


def test_cbor_has_the_numbers_of_the_drafts() -> None:
    """The keys of draft-ietf-rats-ear, RFC 9711 and draft-ietf-rats-ar4si."""
    found = cbor2.loads(full().to_cbor())
    submodule = found[266]["gpu0"]

    assert {1, 4, 6, 10, 265, 266, 1002, 1004, PRIVATE_CLAIMS} == set(found)
    assert (found[265], found[6]) == ("tag:github.com,2023:veraison/ear", int(NOW.timestamp()))
    assert (found[10], found[1002]) == (b"n" * 32, b"\0evidence")
    assert found[1004][0] == "accord"
    assert {1000, 1001, 1003} == set(submodule)
    assert submodule[1000] == 2
    assert submodule[1001] == {0: 2, 1: 2, 2: 3, 3: 0, 4: 2, 5: 2, 6: 0, 7: 0}
    assert submodule[1003].startswith("urn:accord:")


def changed(**changes: Any) -> Any:
    return {**full().to_json(), **changes}


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (changed(eat_profile="tag:other"), UnsupportedFormatError),
        (changed(iat="now"), MalformedError),
        (changed(iat=2**52), MalformedError),
        (changed(iat=-1), MalformedError),
        (changed(submods={}), MalformedError),
        (changed(submods=[]), MalformedError),
        (changed(more=1), MalformedError),
        (changed(eat_nonce="="), MalformedError),
        (changed(eat_nonce="AB"), MalformedError),
        (changed(eat_nonce="A" * 100), MalformedError),
        (changed(**{"ear.verifier-id": {"build": "x"}}), MalformedError),
        (changed(**{"ear.verifier-id": {"build": "x", "developer": "y", "z": 1}}), MalformedError),
        (changed(submods={"cpu": {"ear.status": "good"}}), MalformedError),
        (changed(submods={"cpu": {"ear.status": "none"}}), MalformedError),
        (
            changed(
                submods={"cpu": {"ear.status": "none", "ear.trustworthiness-vector": {"x": 1}}}
            ),
            MalformedError,
        ),
        (
            changed(
                submods={
                    "cpu": {
                        "ear.status": "affirming",
                        "ear.trustworthiness-vector": {"hardware": 128},
                    }
                }
            ),
            MalformedError,
        ),
    ],
    ids=range(16),
)
def test_a_result_of_another_shape_is_refused(document: Any, error: type[AccordError]) -> None:
    """Unknown claims, sizes and values are refused, never passed over."""
    with pytest.raises(error):
        EAR.from_json(document, private=PRIVATE)


@pytest.mark.parametrize("claim", [32, 96, -96, 127])
def test_a_status_better_than_its_vector_is_refused(claim: int) -> None:
    """The summary cannot hide what it sums up."""
    submodule = {"ear.status": "affirming", "ear.trustworthiness-vector": {"hardware": claim}}
    with pytest.raises(MalformedError, match="better than its trust vector"):
        EAR.from_json(changed(submods={"cpu": submodule}), private=PRIVATE)


def test_a_status_may_be_worse_than_its_vector() -> None:
    """A policy can refuse what is merely unknown."""
    submodule = {"ear.status": "contraindicated", "ear.trustworthiness-vector": {"hardware": 2}}
    ear = EAR.from_json(changed(submods={"cpu": submodule}), private=PRIVATE)

    assert ear.submodules["cpu"] == Submodule(Tier.CONTRAINDICATED, {"hardware": 2}, None)


@pytest.mark.parametrize(
    ("claims_", "tier"),
    [
        ([], "none"),
        ([0], "none"),
        ([1, -1], "none"),
        ([2], "affirming"),
        ([31, 0], "affirming"),
        ([32], "warning"),
        ([2, 95], "warning"),
        ([96], "contraindicated"),
        ([-97], "contraindicated"),
    ],
)
def test_the_tier_is_that_of_the_worst_claim(claims_: list[int], tier: str) -> None:
    """As draft-ietf-rats-ar4si orders them."""
    assert Tier.of(claims_).value == tier


def cbor(**changes: Any) -> bytes:
    found = cbor2.loads(full().to_cbor())
    keys = {"iat": 6, "nonce": 10, "submods": 266, "verifier": 1004}
    for name, value in changes.items():
        found[keys.get(name, name)] = value
    return cbor2.dumps(found, canonical=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa0",
        cbor2.dumps([1]),
        cbor(iat="now"),
        cbor(nonce="text"),
        cbor(nonce=b"n" * 65),
        cbor(submods=[]),
        cbor(submods={"cpu": []}),
        cbor(submods={"cpu": {1000: 2}}),
        cbor(submods={"cpu": {1000: 3, 1001: {}}}),
        cbor(submods={"cpu": {1000: True, 1001: {}}}),
        cbor(submods={"cpu": {1000: "affirming", 1001: {}}}),
        cbor(submods={"cpu": {1000: 2, 1001: {8: 2}}}),
        cbor(submods={"cpu": {1000: 2, 1001: {"hardware": 2}}}),
        cbor(submods={3: {1000: 2, 1001: {}}}),
        cbor(submods={"cpu": {1000: 2, 1001: {0: True}}}),
        cbor(verifier={0: "accord"}),
        cbor(more=1),
        cbor(eat_profile="x"),
        cbor2.dumps(dict(reversed(cbor2.loads(full().to_cbor()).items()))),
        full().to_cbor() + b"\0",
        cbor2.dumps({**cbor2.loads(full().to_cbor()), b"x": 1}, canonical=True),
    ],
    ids=range(22),
)
def test_cbor_of_another_shape_is_refused(data: bytes) -> None:
    """Names in place of numbers, other types, another order of keys, bytes after the end."""
    with pytest.raises(AccordError):
        EAR.from_cbor(data, private=PRIVATE)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_cbor_is_another_result_or_refused(data: st.DataObject) -> None:
    """No byte may change without the result changing, and nothing else is raised."""
    good = bytearray(full().to_cbor())
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    try:
        found = EAR.from_cbor(bytes(good), private=PRIVATE)
    except AccordError:
        return
    assert found != full()


VECTORS = st.dictionaries(st.sampled_from(VECTOR), st.integers(-128, 127))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text("abc09.", min_size=1, max_size=4), VECTORS, min_size=1, max_size=3),
    st.none() | st.binary(max_size=64),
    st.none() | st.text("ab é\n", max_size=5),
    st.none() | st.integers(0, 253402300799),
)
def test_any_result_survives_both_encodings(
    vectors: Any, nonce: bytes | None, issuer: str | None, expires: int | None
) -> None:
    """Whatever is in it."""
    ear = EAR(
        issued_at=NOW,
        build="b",
        developer="d",
        submodules={
            name: Submodule(Tier.of(vector.values()), vector, None)
            for name, vector in vectors.items()
        },
        nonce=nonce,
        issuer=issuer,
        expires=None if expires is None else datetime.fromtimestamp(expires, UTC),
    )

    assert EAR.from_json(ear.to_json()) == ear
    assert EAR.from_cbor(ear.to_cbor()) == ear


def test_time_is_what_counts() -> None:
    """The moment of the appraisal is the moment of the result."""
    late = appraise(claims(), [variant()], now=NOW - timedelta(days=1))

    assert late.ear().issued_at == NOW - timedelta(days=1)


@pytest.mark.parametrize(
    "value", [cbor2.CBORTag(99, 1), b"x", {"a": [cbor2.CBORTag(1, 1)]}, {"a": {1: 2}}, [b""]]
)
def test_private_claims_that_are_not_json_are_refused(value: Any) -> None:
    """A tag inside them raised an error of the library's."""
    name = PRIVATE[0]
    written = cbor2.loads(evaluate(claims(), [variant()], now=NOW).ear().to_cbor())
    data = cbor2.dumps({**written, name: value}, canonical=True)

    with pytest.raises(MalformedError, match="expected what JSON can say"):
        EAR.from_cbor(data, private=PRIVATE)
