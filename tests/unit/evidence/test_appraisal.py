# SPDX-License-Identifier: Apache-2.0
"""Appraisal: all factors of one variant, one variant of many."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from accord.encoding import canonical_json
from accord.errors import AppraisalError
from accord.evidence import TCB, Claims, Reason, RootKind, appraise, verify
from accord.policy import AttestationVariant, Family


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

    assert ((Reason("root_kind", "production", "test"),),) == error.details["reasons"]


def test_hardware_does_not_pass_where_simulation_is_asked_for(claims: Claims, good: Any) -> None:
    """A simulated variant refuses a production root: each says one thing."""
    error = refusal(hardware(claims), good, variant(claims))

    assert ((Reason("root_kind", "test", "production"),),) == error.details["reasons"]


def test_debug_is_refused_whatever_the_variant(claims: Claims, good: Any) -> None:
    """No variant can admit a debug environment."""
    error = refusal(dataclasses.replace(claims, debug=True), good, variant(claims))

    assert ((Reason("debug", "false", "true"),),) == error.details["reasons"]


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
        (Reason("mrtd", "00" * 48, actual), Reason("rtmr9", "78", "absent")),
        (
            Reason("tcb_status", "OutOfDate", "UpToDate"),
            Reason("tcb_evaluation_number", "at least 18", "17"),
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
