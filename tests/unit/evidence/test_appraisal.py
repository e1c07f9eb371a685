# SPDX-License-Identifier: Apache-2.0
"""Appraisal: all factors of one variant, one variant of many."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accord.encoding import Digest, canonical_json
from accord.errors import AppraisalError, EvidenceMalformedError
from accord.evidence import (
    TCB,
    Claims,
    Component,
    Reason,
    ReasonCode,
    RootKind,
    Tier,
    appraise,
    evaluate,
    verify,
)
from accord.policy import FAMILIES, AttestationVariant, ComponentRule, Family


@pytest.fixture(scope="module")
def claims(good: Any) -> Claims:
    return verify(good.evidence, anchors=good.anchors, now=good.now, binding=good.binding)


def hardware(claims: Claims) -> Claims:
    """The same claims, had a vendor's root made them."""
    return dataclasses.replace(claims, root_kind=RootKind.PRODUCTION)


def variant(claims: Claims, **changes: Any) -> AttestationVariant:
    """The variant that admits exactly these claims, with changes."""
    fields = {
        "family": Family.TDX,
        "simulated": claims.root_kind is RootKind.TEST,
        "measurements": {"mrtd": (claims.measurements["mrtd"],)},
        "tcb_statuses": ("UpToDate",),
        "min_tcb_evaluation_number": 17,
    }
    return AttestationVariant(**{**fields, **changes})


def refusal(claims: Claims, good: Any, *variants: AttestationVariant) -> AppraisalError:
    with pytest.raises(AppraisalError) as caught:
        appraise(claims, variants, now=good.now)
    return caught.value


def test_simulated_evidence_is_admitted_with_a_warning(claims: Claims, good: Any) -> None:
    """A simulation is admitted where the policy says so, and says of itself what it is."""
    result = appraise(claims, [variant(claims)], now=good.now)

    assert (result.status, result.variant) == ("warning", 0)
    assert result.trust_vector["hardware"] == 32


def test_up_to_date_hardware_is_affirmed(claims: Claims, good: Any) -> None:
    """Hardware under a vendor's root with a current TCB has no warning."""
    real = hardware(claims)

    assert appraise(real, [variant(real)], now=good.now).status == "affirming"


def test_tolerated_hardware_is_admitted_with_a_warning(claims: Claims, good: Any) -> None:
    """A status that the policy tolerates still shows."""
    old = dataclasses.replace(hardware(claims), tcb=TCB("OutOfDate", ("X-1",), 17))
    admitted = appraise(old, [variant(old, tcb_statuses=("OutOfDate",))], now=good.now)

    assert admitted.status == "warning"


def test_simulated_evidence_never_passes_for_hardware(claims: Claims, good: Any) -> None:
    """A variant that does not say simulated refuses a test root."""
    error = refusal(claims, good, variant(claims, simulated=False))

    assert ((Reason(ReasonCode.ROOT_KIND, "root_kind", "production", "test"),),) == error.details[
        "reasons"
    ]


def test_hardware_does_not_pass_where_simulation_is_asked_for(claims: Claims, good: Any) -> None:
    """A simulated variant refuses a production root: each says one thing."""
    error = refusal(hardware(claims), good, variant(claims))

    assert ((Reason(ReasonCode.ROOT_KIND, "root_kind", "test", "production"),),) == error.details[
        "reasons"
    ]


def test_debug_is_refused_whatever_the_variant(claims: Claims, good: Any) -> None:
    """No variant can admit a debug environment."""
    error = refusal(dataclasses.replace(claims, debug=True), good, variant(claims))

    assert ((Reason(ReasonCode.DEBUG, "debug", "false", "true"),),) == error.details["reasons"]


def test_no_variant_admits_nothing(claims: Claims, good: Any) -> None:
    """An empty list is not the same as no restriction."""
    error = refusal(claims, good)

    assert "there is no variant" in str(error)


def test_every_reason_of_every_variant_is_told(claims: Claims, good: Any) -> None:
    """A refusal lists field, expected and actual for all that failed, in order."""
    first = variant(claims, measurements={"mrtd": (bytes(48),), "rtmr9": (b"x",)})
    second = variant(claims, tcb_statuses=("OutOfDate",), min_tcb_evaluation_number=18)
    error = refusal(claims, good, first, second)
    actual = claims.measurements["mrtd"].hex()

    assert error.details["reasons"] == (
        (
            Reason(ReasonCode.MEASUREMENT_UNKNOWN, "mrtd", "00" * 48, actual),
            Reason(ReasonCode.MEASUREMENT_UNKNOWN, "rtmr9", "78", "absent"),
        ),
        (
            Reason(ReasonCode.TCB_STATUS, "tcb_status", "OutOfDate", "UpToDate"),
            Reason(ReasonCode.TCB_EVALUATION, "tcb_evaluation_number", "at least 18", "17"),
        ),
    )
    assert f"variant 0: mrtd is {actual}, expected {'00' * 48}" in str(error)


def test_one_of_several_values_and_variants_suffices(claims: Claims, good: Any) -> None:
    """Values of a register, and variants, are alternatives; the first that holds is named."""
    values = {"mrtd": (bytes(48), claims.measurements["mrtd"])}
    variants = [variant(claims, simulated=False), variant(claims, measurements=values)]

    assert appraise(claims, variants, now=good.now).variant == 1


def test_claims_whose_collateral_ran_out_are_refused(claims: Claims, good: Any) -> None:
    """Claims that were kept too long are not appraised."""
    assert claims.collateral_expires is not None
    late = claims.collateral_expires + timedelta(seconds=1)
    with pytest.raises(AppraisalError, match="collateral_expires"):
        appraise(claims, [variant(claims)], now=late)


def test_the_result_has_the_shape_of_an_ear(claims: Claims, good: Any) -> None:
    """Profile, time, verifier and one submodule, in plain JSON with integers only."""
    result = appraise(claims, [variant(claims)], now=good.now)
    document = result.to_json()
    submodule = document["submods"]["cpu"]

    assert document["iat"] == int(good.now.timestamp())
    assert set(document) == {"eat_profile", "iat", "ear.verifier-id", "submods", "accord.claims"}
    assert set(submodule) == {
        "ear.status",
        "ear.trustworthiness-vector",
        "ear.appraisal-policy-id",
    }
    assert document["accord.claims"]["assurance"] == "simulated"
    assert document["accord.claims"]["measurements"]["mrtd"] == claims.measurements["mrtd"].hex()
    assert canonical_json(document)


# --- Fields of every family, on claims made by hand -------------------------------------------

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROOT = Digest("sha256:" + "5a" * 32)
DOCS = Path(__file__).parents[3] / "docs"


def made(family: Family = Family.SGX, **changes: Any) -> Claims:
    """Claims of good hardware, with every attribute that has a safe default."""
    known = FAMILIES[family]
    fields: dict[str, Any] = {
        "family": family,
        "root": ROOT,
        "root_kind": RootKind.PRODUCTION,
        "measurements": {name: bytes(sizes[0]) for name, sizes in known.measurements.items()},
        "debug": False,
        "tcb": TCB("UpToDate", (), 17) if known.has_tcb_status else None,
        "instance_id": b"machine",
        "collateral_expires": None,
        "attributes": {name: values[0] for name, values in known.defaults.items()},
        "components": (Component("BL", "boot", b"d" * 32, "1.0", b"s" * 32),),
    }
    return Claims(**{**fields, **changes})


def wanted(family: Family = Family.SGX, **changes: Any) -> AttestationVariant:
    """A variant that asks for nothing else, with changes."""
    statuses = ("UpToDate",) if FAMILIES[family].has_tcb_status else ()
    return AttestationVariant(family, False, {}, statuses, 0, **changes)


def codes(claims: Claims, variant: AttestationVariant, now: datetime = NOW) -> list[str]:
    """The codes with which ``variant`` refuses ``claims``; none where it admits them."""
    found = evaluate(claims, [variant], now=now)
    if found.admitted:
        assert appraise(claims, [variant], now=now) == found
        return []
    with pytest.raises(AppraisalError) as caught:
        appraise(claims, [variant], now=now)
    assert caught.value.details["reasons"] == found.refusals
    assert found.status is Tier.CONTRAINDICATED
    return [reason.code.value for reason in found.refusals[0]]


@pytest.mark.parametrize("family", Family)
def test_good_claims_of_every_family_are_admitted(family: Family) -> None:
    """What has the safe settings and a good rating needs nothing else."""
    assert codes(made(family), wanted(family)) == []


@pytest.mark.parametrize(
    ("family", "name", "value"),
    [
        (family, name, value)
        for family, known in FAMILIES.items()
        for name, safe in known.defaults.items()
        for value in (None, not safe[0] if isinstance(safe[0], bool) else "other")
    ],
)
def test_a_silent_policy_means_the_safe_setting(family: Family, name: str, value: Any) -> None:
    """An attribute with a default must have it, and must be there; the policy can say otherwise."""
    attributes = dict(made(family).attributes)
    attributes.pop(name) if value is None else attributes.update({name: value})
    claims = made(family, attributes=attributes)

    assert codes(claims, wanted(family)) == ["attribute-unexpected"]
    if value is not None:
        assert codes(claims, wanted(family, attributes={name: (value,)})) == []


@pytest.mark.parametrize(
    ("actual", "allowed", "refused"),
    [
        (1, (1,), False),
        (1, (2, 1), False),
        (1, (2,), True),
        (True, (1,), True),
        (1, (True,), True),
        ("1", (1,), True),
        ("a", ("A",), True),
        ("a\u0430", ("a\u0430",), False),
        (None, (1,), True),
        (1, (), True),
    ],
)
def test_an_attribute_has_one_of_the_listed_values(
    actual: Any, allowed: Any, *, refused: bool
) -> None:
    """Exactly, in type too: true is not 1, and absent is no value."""
    known = dict(made().attributes) | ({} if actual is None else {"isv_svn": actual})
    found = codes(made(attributes=known), wanted(attributes={"isv_svn": allowed}))

    assert found == (["attribute-unexpected"] if refused else [])


@pytest.mark.parametrize(
    ("actual", "refused"),
    [(3, False), (4, False), (2, True), (None, True), (True, True), ("9", True)],
)
def test_a_number_reaches_its_minimum(actual: Any, *, refused: bool) -> None:
    """An older version is refused, and so is one that is not told."""
    known = dict(made().attributes) | ({} if actual is None else {"isv_svn": actual})
    found = codes(made(attributes=known), wanted(minimums={"isv_svn": 3}))

    assert found == (["below-minimum"] if refused else [])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 12, 30, tzinfo=UTC), []),
        (datetime(2026, 12, 31, tzinfo=UTC), []),
        (datetime(2026, 12, 31, 0, 0, 1, tzinfo=UTC), ["tcb-grace-over"]),
    ],
)
def test_a_status_is_tolerated_until_its_grace_ends(now: datetime, expected: list[str]) -> None:
    """The platform has until then to be updated; every other status is refused at once."""
    grace = {"OutOfDate": datetime(2026, 12, 31, tzinfo=UTC)}
    variant = wanted(tcb_grace=grace)

    assert codes(made(tcb=TCB("OutOfDate", (), 17)), variant, now) == expected
    assert codes(made(tcb=TCB("ConfigurationNeeded", (), 17)), variant, now) == ["tcb-status"]
    assert codes(made(), variant, now) == []


def test_a_platform_in_grace_is_warned_of() -> None:
    """It is admitted, and the result says that it is not up to date."""
    grace = {"OutOfDate": NOW}
    result = appraise(made(tcb=TCB("OutOfDate", (), 1)), [wanted(tcb_grace=grace)], now=NOW)

    assert (result.status, result.trust_vector["hardware"]) == (Tier.WARNING, 32)


def test_an_unrated_platform_of_a_rated_family_is_refused() -> None:
    """No rating is not a good one."""
    assert codes(made(tcb=None), wanted()) == ["tcb-status", "tcb-evaluation"]


def test_every_rejected_advisory_is_named() -> None:
    """An advisory that the policy does not tolerate refuses, whatever the status."""
    claims = made(tcb=TCB("UpToDate", ("INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3"), 17))
    variant = wanted(rejected_advisories=("INTEL-SA-3", "INTEL-SA-1"))
    result = evaluate(claims, [variant], now=NOW)

    assert [reason.actual for reason in result.refusals[0]] == ["INTEL-SA-1", "INTEL-SA-3"]
    assert {reason.code for reason in result.refusals[0]} == {ReasonCode.ADVISORY_REJECTED}


@pytest.mark.parametrize(
    ("instance", "lists", "expected"),
    [
        (b"one", {"allowed_instances": (b"one", b"two")}, []),
        (b"six", {"allowed_instances": (b"one", b"two")}, ["instance-unknown"]),
        (b"six", {"denied_instances": (b"one",)}, []),
        (b"one", {"denied_instances": (b"one",)}, ["instance-denied"]),
        (b"", {"denied_instances": (b"one",)}, ["instance-unknown"]),
        (bytes(64), {"denied_instances": (b"one",)}, ["instance-unknown"]),
        (bytes(64), {"allowed_instances": (bytes(64),)}, ["instance-unknown"]),
        (bytes(64), {}, []),
        (
            b"one",
            {"allowed_instances": (b"two",), "denied_instances": (b"one",)},
            ["instance-unknown", "instance-denied"],
        ),
    ],
)
def test_lists_of_machines(instance: bytes, lists: Any, expected: list[str]) -> None:
    """A machine that hides which it is satisfies neither an allow-list nor a deny-list."""
    assert codes(made(Family.SNP, instance_id=instance), wanted(Family.SNP, **lists)) == expected


BOOT = Component("BL", "boot", b"d" * 32, "1.0", b"s" * 32)
OTHER = Component("OS", "kernel", b"k" * 32, "6.1", b"s" * 32)


@pytest.mark.parametrize(
    ("rules", "components", "expected"),
    [
        ([ComponentRule(digest=b"d" * 32)], (BOOT,), []),
        ([ComponentRule(signer=b"s" * 32)], (BOOT, OTHER), []),
        ([ComponentRule(digest=b"d" * 32, signer=b"s" * 32, kind="BL")], (BOOT,), []),
        ([ComponentRule(digest=b"d" * 32), ComponentRule(digest=b"k" * 32)], (BOOT, OTHER), []),
        ([ComponentRule(digest=b"d" * 32)], (BOOT, OTHER), ["component-unknown"]),
        ([ComponentRule(digest=b"d" * 32, version="2")], (BOOT,), ["component-unknown"]),
        ([ComponentRule(digest=b"d" * 32, kind="OS")], (BOOT,), ["component-unknown"]),
        ([ComponentRule(signer=b"s" * 32, name="boot")], (OTHER,), ["component-unknown"]),
        ([ComponentRule(digest=b"s" * 32)], (BOOT,), ["component-unknown"]),
        ([ComponentRule(signer=b"d" * 32)], (BOOT,), ["component-unknown"]),
        ([ComponentRule(digest=b"d" * 32)], (), ["component-missing"]),
        ([], (BOOT, OTHER), []),
    ],
)
def test_every_component_is_admitted_by_a_rule(
    rules: list[ComponentRule], components: tuple[Component, ...], expected: list[str]
) -> None:
    """All that a rule names must agree; one component that no rule admits refuses the whole."""
    claims = made(Family.PSA, components=components)

    assert codes(claims, wanted(Family.PSA, components=tuple(rules))) == expected


def test_an_unknown_component_is_named() -> None:
    """The reason says which, with its digest and signer."""
    claims = made(Family.PSA, components=(BOOT, OTHER))
    variant = wanted(Family.PSA, components=(ComponentRule(digest=b"d" * 32),))
    reason = evaluate(claims, [variant], now=NOW).refusals[0][0]

    assert reason.field == "components[1]"
    shown = f'"OS" "kernel" with digest {(b"k" * 32).hex()} signed by {(b"s" * 32).hex()}'
    assert reason.actual == shown


def test_thousands_of_unknown_components_do_not_flood_the_reasons() -> None:
    """Sixteen are named, the rest is counted; and it takes no time per pair."""
    listed = tuple(Component("ima", f"/f{i}", i.to_bytes(32), "") for i in range(50_000))
    rules = tuple(ComponentRule(digest=i.to_bytes(32)) for i in range(100, 1_100))
    found = evaluate(
        made(Family.TPM, components=listed), [wanted(Family.TPM, components=rules)], now=NOW
    ).refusals[0]

    assert (len(found), found[-1].actual) == (17, "48984 more that are not")


def gpu(**changes: Any) -> Claims:
    """A GPU with the firmware that `named_gpu` asks for."""
    known = {**made(Family.NVIDIA).attributes, "driver_version": "550.1", "vbios_version": "96"}
    good = made(Family.NVIDIA, attributes=known, instance_id=b"gpu")
    return dataclasses.replace(good, **changes)


def named_gpu(**changes: Any) -> AttestationVariant:
    return wanted(Family.NVIDIA, **{"attributes": {"driver_version": ("550.1",)}, **changes})


def test_a_named_part_must_be_there_and_good() -> None:
    """A missing or unsuitable part refuses the whole; the field says which part."""
    variant = wanted(parts={"gpu0": named_gpu()})
    bad = gpu(attributes={**gpu().attributes, "driver_version": "549"})

    assert codes(made(parts={"gpu0": gpu()}), variant) == []
    assert codes(made(), variant) == ["part-missing"]
    assert codes(made(parts={"gpu1": gpu()}), variant) == ["part-missing"]
    assert codes(made(parts={"gpu0": bad}), variant) == ["attribute-unexpected"]
    refused = evaluate(made(parts={"gpu0": bad}), [variant], now=NOW).refusals[0][0]
    assert str(refused) == 'parts.gpu0.driver_version is "549", expected "550.1"'


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"root_kind": RootKind.TEST}, "root-kind"),
        ({"debug": True}, "debug"),
        ({"family": Family.TPM}, "family"),
        ({"collateral_expires": NOW - timedelta(seconds=1)}, "collateral-expired"),
    ],
)
def test_a_part_is_judged_like_a_whole(changes: Any, code: str) -> None:
    """A simulated, debugged, other or outdated part is refused under a good whole."""
    claims = made(parts={"gpu0": gpu(**changes)})

    assert code in codes(claims, wanted(parts={"gpu0": named_gpu()}))


def test_a_part_that_nobody_asked_for_helps_nothing() -> None:
    """It is reported, and says nothing."""
    result = appraise(made(parts={"gpu0": gpu()}), [wanted()], now=NOW)

    assert result.submodules["gpu0"].status is Tier.NONE
    assert set(result.submodules["gpu0"].vector.values()) == {0}
    assert not result.gpu_cc
    assert codes(made(parts={"gpu0": gpu()}), wanted(parts={"gpu1": named_gpu()})) == [
        "part-missing"
    ]


def test_a_part_cannot_call_itself_the_whole() -> None:
    """Its submodule would take the place of the whole's."""
    for function in (appraise, evaluate):
        with pytest.raises(EvidenceMalformedError, match="so is the whole called"):
            function(made(parts={"cpu": gpu()}), [wanted()], now=NOW)


def test_two_simulations_do_not_make_hardware() -> None:
    """A simulated whole with a genuine GPU is still simulated, and no confidential GPU machine."""
    variant = dataclasses.replace(wanted(parts={"gpu0": named_gpu()}), simulated=True)
    claims = made(root_kind=RootKind.TEST, parts={"gpu0": gpu()})
    result = appraise(claims, [variant], now=NOW)

    assert (result.status, result.gpu_cc) == (Tier.WARNING, False)


def test_the_reference_lists_every_reason() -> None:
    """Code by code, the page and the program agree."""
    page = (DOCS / "spec" / "attestation-result.md").read_text()
    section = page.partition("## 2.")[2].partition("## 3.")[0]

    assert re.findall(r"^\| `([a-z-]+)` \|", section, flags=re.MULTILINE) == list(ReasonCode)


def test_every_reason_worsens_the_trust_vector() -> None:
    """No refusal leaves a vector that affirms everything."""
    from accord.evidence._trust_vector import trust_vector

    for code in ReasonCode:
        vector = trust_vector(made(), wanted(), [Reason(code, "x", "y", "z")])
        assert Tier.of(vector.values()).number >= Tier.WARNING.number


@pytest.mark.timeout(30)
@pytest.mark.parametrize("rule", ["name", "kind", "version", "digest"])
def test_many_rules_for_one_signer_are_not_tried_one_by_one(rule: str) -> None:
    """Rules times entries of a log would be minutes: an owner of a long log chose when."""
    signer = b"s" * 32
    listed = tuple(
        Component("ima", f"/f{i}", b"d" * 32, str(i), signer=signer) for i in range(10_000)
    )
    texts = [f"n{i}" for i in range(2_000)]
    values: list[Any] = [text.encode() for text in texts] if rule == "digest" else texts
    rules = tuple(
        dataclasses.replace(ComponentRule(signer=signer), **{rule: value}) for value in values
    )
    found = codes(made(components=listed), wanted(components=rules))

    assert found == ["component-unknown"] * 17


@pytest.mark.parametrize("named", range(1, 32))
def test_a_rule_admits_what_has_every_property_it_names(named: int) -> None:
    """Any choice of digest, signer, kind, name and version; one that differs is not admitted."""
    names = ("digest", "signer", "kind", "name", "version")
    chosen = [name for index, name in enumerate(names) if named >> index & 1]
    rule = ComponentRule(**{name: getattr(BOOT, name) for name in chosen})

    assert codes(made(components=(BOOT,)), wanted(components=(rule,))) == []
    for name in names:
        other = dataclasses.replace(BOOT, **{name: getattr(BOOT, name) * 2})
        found = codes(made(components=(other,)), wanted(components=(rule,)))
        assert found == (["component-unknown"] if name in chosen else [])
