# SPDX-License-Identifier: Apache-2.0
"""Why a variant does not admit an environment (docs/spec/attestation-result.md, 2)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from accord.encoding import JSONValue, format_time
from accord.evidence._claims import Claims, Component
from accord.evidence._roots import RootKind
from accord.policy import FAMILIES, AttestationVariant, ComponentRule, Scalar

MAX_COMPONENT_REASONS = 16
"""So many unknown components are named; of a log with thousands the rest is counted."""


class ReasonCode(StrEnum):
    """What kind of refusal it is. Programs may rely on these words: they never change."""

    FAMILY = "family"
    """The evidence is of another family of TEE."""
    ROOT_KIND = "root-kind"
    """A simulation where hardware is asked for, or hardware where a simulation is."""
    DEBUG = "debug"
    """The host can read the memory."""
    MEASUREMENT_UNKNOWN = "measurement-unknown"
    """A measurement is none of those listed, or is absent."""
    ATTRIBUTE_UNEXPECTED = "attribute-unexpected"
    """An attribute has none of the values listed, or not the safe one, or is absent."""
    BELOW_MINIMUM = "below-minimum"
    """A number is less than the least value listed, or is absent."""
    TCB_STATUS = "tcb-status"
    """The vendor rates the platform in a way that is not tolerated."""
    TCB_GRACE_OVER = "tcb-grace-over"
    """The rating was tolerated until a moment that has passed."""
    TCB_EVALUATION = "tcb-evaluation"
    """The rating rests on older knowledge of the vendor than is asked for."""
    ADVISORY_REJECTED = "advisory-rejected"
    """The platform is open to an advisory that is listed as not tolerated."""
    INSTANCE_UNKNOWN = "instance-unknown"
    """The machine is not on the list of those allowed, or does not say which it is."""
    INSTANCE_DENIED = "instance-denied"
    """The machine is on the list of those denied."""
    COMPONENT_MISSING = "component-missing"
    """There are rules for components, and the evidence names none."""
    COMPONENT_UNKNOWN = "component-unknown"
    """No rule admits a component that was loaded."""
    PART_MISSING = "part-missing"
    """A part that is demanded was not attested together with the whole."""
    COLLATERAL_EXPIRED = "collateral-expired"
    """What the vendor vouched with is no longer valid."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one variant does not admit an environment."""

    code: ReasonCode
    field: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.field} is {self.actual}, expected {self.expected}"

    def to_json(self) -> JSONValue:
        return {
            "code": self.code.value,
            "field": self.field,
            "expected": self.expected,
            "actual": self.actual,
        }


def whole_reasons(
    claims: Claims, variant: AttestationVariant, *, now: datetime
) -> tuple[Reason, ...]:
    """Every factor of ``variant`` that the environment itself lacks; its parts apart."""
    return (
        *_origin(claims, variant),
        *_measurements(claims, variant),
        *_attributes(claims, variant),
        *_tcb(claims, variant, now),
        *_instance(claims, variant),
        *_components(claims, variant),
        *_collateral(claims, now),
    )


def part_reasons(
    claims: Claims, variant: AttestationVariant, name: str, *, now: datetime
) -> tuple[Reason, ...]:
    """Every factor of part ``name`` that does not hold; fields are named with their part."""
    part = claims.parts.get(name)
    if part is None:
        shown = " and ".join(sorted(claims.parts)) or "none"
        return (Reason(ReasonCode.PART_MISSING, f"parts.{name}", "attested", f"missing: {shown}"),)
    found = whole_reasons(part, variant.parts[name], now=now)
    return tuple(replace(reason, field=f"parts.{name}.{reason.field}") for reason in found)


def _origin(claims: Claims, variant: AttestationVariant) -> Iterator[Reason]:
    # (1) The family, and hardware or simulation, whichever the variant names: never both.
    if claims.family is not variant.family:
        yield Reason(ReasonCode.FAMILY, "family", variant.family, claims.family)
    kind = RootKind.TEST if variant.simulated else RootKind.PRODUCTION
    if claims.root_kind is not kind:
        yield Reason(ReasonCode.ROOT_KIND, "root_kind", kind, claims.root_kind)
    # (2) No variant can ask for debug.
    if claims.debug:
        yield Reason(ReasonCode.DEBUG, "debug", "false", "true")


def _measurements(claims: Claims, variant: AttestationVariant) -> Iterator[Reason]:
    # (3) Each listed register holds one of its values; a register we do not know holds none.
    for name, allowed in variant.measurements.items():
        actual = claims.measurements.get(name)
        if actual is None or actual not in allowed:
            expected = " or ".join(value.hex() for value in allowed) or "no value"
            shown = "absent" if actual is None else actual.hex()
            yield Reason(ReasonCode.MEASUREMENT_UNKNOWN, name, expected, shown)


def _attributes(claims: Claims, variant: AttestationVariant) -> Iterator[Reason]:
    # (4) Each listed attribute has one of its values; where the policy is silent, a safe one.
    expected: Mapping[str, tuple[Scalar, ...]] = {
        **FAMILIES[variant.family].defaults,
        **variant.attributes,
    }
    for name, allowed in expected.items():
        actual = claims.attributes.get(name)
        # True is not 1 here, though Python takes them for equal.
        if not any(type(actual) is type(value) and actual == value for value in allowed):
            wanted = " or ".join(map(json.dumps, allowed)) or "no value"
            yield Reason(ReasonCode.ATTRIBUTE_UNEXPECTED, name, wanted, _shown(actual))
    # (5) Each number reaches its least value.
    for name, least in variant.minimums.items():
        number = claims.attributes.get(name)
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            yield Reason(ReasonCode.BELOW_MINIMUM, name, f"at least {least}", _shown(number))


def _shown(value: Scalar | None) -> str:
    return "absent" if value is None else json.dumps(value)


def _tcb(claims: Claims, variant: AttestationVariant, now: datetime) -> Iterator[Reason]:
    # (6) The state of the platform, where the vendor rates it.
    if not FAMILIES[variant.family].has_tcb_status:
        return
    status, grace = claims.tcb_status, variant.tcb_grace.get(claims.tcb_status)
    tolerated = " or ".join(variant.tcb_statuses)
    if status not in variant.tcb_statuses and grace is None:
        yield Reason(ReasonCode.TCB_STATUS, "tcb_status", tolerated, status)
    elif grace is not None and now > grace:
        expected = f"{tolerated} after {format_time(grace)}"
        yield Reason(ReasonCode.TCB_GRACE_OVER, "tcb_status", expected, status)
    least = variant.min_tcb_evaluation_number
    number = -1 if claims.tcb is None else claims.tcb.evaluation_number
    if number < least:
        wanted = f"at least {least}"
        yield Reason(ReasonCode.TCB_EVALUATION, "tcb_evaluation_number", wanted, str(number))
    open_to = () if claims.tcb is None else claims.tcb.advisories
    for advisory in open_to:
        if advisory in variant.rejected_advisories:
            yield Reason(ReasonCode.ADVISORY_REJECTED, "advisories", f"not {advisory}", advisory)


def _instance(claims: Claims, variant: AttestationVariant) -> Iterator[Reason]:
    # (7) The machine. One that hides which it is (zeros) is on no list, and could be on any.
    allowed, denied = variant.allowed_instances, variant.denied_instances
    instance, code = claims.instance_id, ReasonCode.INSTANCE_UNKNOWN
    shown = instance.hex() or "absent"
    if (allowed or denied) and not any(instance):
        yield Reason(code, "instance_id", "an identity", shown)
    elif allowed and instance not in allowed:
        yield Reason(code, "instance_id", " or ".join(value.hex() for value in allowed), shown)
    if instance in denied:
        yield Reason(ReasonCode.INSTANCE_DENIED, "instance_id", f"not {shown}", shown)


def _components(claims: Claims, variant: AttestationVariant) -> Iterator[Reason]:
    # (8) Every component is admitted by a rule.
    if not variant.components:
        return
    if not claims.components:
        yield Reason(ReasonCode.COMPONENT_MISSING, "components", "at least one", "none")
    # A log can have 100,000 entries and a policy 10,000 rules: not each is tried with each.
    # A rule is what a component has of the properties that the rule names, of 24 choices.
    rules = set(map(_named, variant.components))
    choices = {tuple(value is not None for value in rule) for rule in rules}
    expected, more = f"admitted by one of {len(variant.components)} rules", 0
    for index, item in enumerate(claims.components):
        has = _named(item)
        if not any(
            tuple(value if wanted else None for value, wanted in zip(has, choice, strict=True))
            in rules
            for choice in choices
        ):
            more += 1
            if more <= MAX_COMPONENT_REASONS:
                code, shown = ReasonCode.COMPONENT_UNKNOWN, _component(item)
                yield Reason(code, f"components[{index}]", expected, shown)
    if more > MAX_COMPONENT_REASONS:
        shown = f"{more - MAX_COMPONENT_REASONS} more that are not"
        yield Reason(ReasonCode.COMPONENT_UNKNOWN, "components", expected, shown)


def _named(item: ComponentRule | Component) -> tuple[bytes | str | None, ...]:
    return item.digest, item.signer, item.kind, item.name, item.version


def _component(component: Component) -> str:
    words = [json.dumps(text) for text in (component.kind, component.name) if text]
    signer = f" signed by {component.signer.hex()}" if component.signer else ""
    return " ".join([*words, f"with digest {component.digest.hex()}{signer}"])


def _collateral(claims: Claims, now: datetime) -> Iterator[Reason]:
    # (9) The proof still holds.
    expires = claims.collateral_expires
    if expires is not None and now > expires:
        expected, actual = f"{format_time(now)} or later", format_time(expires)
        yield Reason(ReasonCode.COLLATERAL_EXPIRED, "collateral_expires", expected, actual)
