# SPDX-License-Identifier: Apache-2.0
"""What a policy says about hardware: attestation variants."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    canonical_json,
    format_time,
    parse_name,
    sha256,
)
from accord.errors import MalformedError
from accord.policy._components import ComponentRule, hex_octets, unique
from accord.policy.families import FAMILIES, Family, FamilyFields, Scalar

T = TypeVar("T")

TCB_STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
)
"""Statuses a policy may tolerate (Intel PCS API v4, Intel QVL); ``Revoked`` never is."""

ADVISORY = re.compile(r"INTEL-SA-[0-9]{5}|ACCORD-SIM-[0-9]{4}")
"""How TCB info names advisories: Intel's, which alone rates platforms, and a simulation's."""

_SIGNERS = frozenset({"mrsigner", "id_key_digest"})
"""Measurements that name who vouches for the code. Zeros mean that nobody does."""

PARTS = frozenset({Family.TPM, Family.NVIDIA})
"""What can be attested as a part of another environment: its vTPM and its GPUs."""

WHOLE = "cpu"
"""What the environment itself is called beside its parts; no part has this name."""

_TYPE_NAMES = {bool: "true or false", int: "an integer"}

_LARGEST = 2**53 - 1
"""Up to here a number is the same in every reader of JSON."""


def _nothing() -> Mapping[str, T]:
    return MappingProxyType({})


@dataclass(frozen=True)
class AttestationVariant:
    """One acceptable environment: every factor named here must hold.

    ``measurements`` and ``attributes`` list, per field, the values of which one must be found;
    ``minimums`` the least value of a number. A field that is not listed is not compared,
    except that attributes with a safe default (`FamilyFields.defaults`) must have it.
    ``components`` admits what the environment loaded, one rule per component.
    ``simulated`` says whether evidence under a test root is acceptable *instead of* hardware;
    it is never acceptable as well. ``tcb_grace`` tolerates a status until a moment.
    ``parts`` demands attested parts (vTPM, GPUs) by name. Only what `from_fields` read is
    known to be free of contradictions.
    """

    family: Family
    simulated: bool
    measurements: Mapping[str, tuple[bytes, ...]]
    tcb_statuses: tuple[str, ...]
    min_tcb_evaluation_number: int
    tcb_grace: Mapping[str, datetime] = field(default_factory=_nothing)
    rejected_advisories: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[Scalar, ...]] = field(default_factory=_nothing)
    minimums: Mapping[str, int] = field(default_factory=_nothing)
    components: tuple[ComponentRule, ...] = ()
    allowed_instances: tuple[bytes, ...] = ()
    denied_instances: tuple[bytes, ...] = ()
    parts: Mapping[str, AttestationVariant] = field(default_factory=_nothing)

    @classmethod
    def from_fields(cls, fields: Fields) -> AttestationVariant:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        return _read(fields, part=False)

    def to_json(self) -> JSONValue:
        """Fields that say nothing beyond the oldest five are left out: digests stay stable."""
        written: dict[str, JSONValue] = {
            "family": self.family.value,
            "simulated": self.simulated,
            "measurements": {
                name: [value.hex() for value in values]
                for name, values in self.measurements.items()
            },
        }
        if FAMILIES[self.family].has_tcb_status:
            written["tcb_statuses"] = list(self.tcb_statuses)
            written["min_tcb_evaluation_number"] = self.min_tcb_evaluation_number
        optional: dict[str, JSONValue] = {
            "tcb_grace": {name: format_time(until) for name, until in self.tcb_grace.items()},
            "rejected_advisories": list(self.rejected_advisories),
            "attributes": {name: list(values) for name, values in self.attributes.items()},
            "minimums": dict(self.minimums),
            "components": [rule.to_json() for rule in self.components],
            "allowed_instances": [value.hex() for value in self.allowed_instances],
            "denied_instances": [value.hex() for value in self.denied_instances],
            "parts": {name: part.to_json() for name, part in self.parts.items()},
        }
        return written | {name: value for name, value in optional.items() if value}

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of its canonical JSON."""
        return sha256(canonical_json(self.to_json()))


def _read(fields: Fields, *, part: bool) -> AttestationVariant:
    family = fields.choice("family", Family)
    if part and family not in PARTS:
        raise MalformedError(what=fields.where, detail=f"{family} cannot be a part")
    known = FAMILIES[family]
    variant = AttestationVariant(
        family=family,
        simulated=fields.flag("simulated") if fields.has("simulated") else False,
        measurements=_measurements(fields, family),
        tcb_statuses=_tcb_statuses(fields, known),
        min_tcb_evaluation_number=_evaluation_number(fields, known),
        tcb_grace=_grace(fields, known),
        rejected_advisories=_advisories(fields, known),
        attributes=_attributes(fields, family),
        minimums=_minimums(fields, family),
        components=_components(fields),
        allowed_instances=_instances(fields, known, "allowed_instances"),
        denied_instances=_instances(fields, known, "denied_instances"),
        parts=_nothing() if part else _parts(fields),
    )
    fields.end()
    _check_names_code(variant, known, fields.where)
    _check_contradictions(variant, fields.where)
    return variant


def _check_contradictions(variant: AttestationVariant, where: str) -> None:
    """Two settings of which one says nothing: whoever wrote them believed something else."""
    for status in variant.tcb_grace:
        if status in variant.tcb_statuses:
            raise MalformedError(what=where, detail=f"{status} is tolerated with and without end")
    for instance in variant.allowed_instances:
        if instance in variant.denied_instances:
            detail = f"instance {instance.hex()} is both allowed and denied"
            raise MalformedError(what=where, detail=detail)
    for name in variant.minimums:
        if name in variant.attributes:
            raise MalformedError(what=where, detail=f"{name} has both values and a minimum")


def _check_names_code(variant: AttestationVariant, known: FamilyFields, where: str) -> None:
    """A variant that named no code would admit any program."""
    named = {*variant.minimums}
    named |= {"components"} if variant.components else set()
    # A flag that may be false demands nothing, and a signer that may be nobody names none.
    named |= {
        name
        for name, values in variant.attributes.items()
        if known.attributes[name] is not bool or values == (True,)
    }
    named |= {
        name
        for name, values in variant.measurements.items()
        if name.rpartition(".")[2] not in _SIGNERS or all(map(any, values))
    }
    if not any(alternative <= named for alternative in known.required):
        shown = " or ".join(" and ".join(sorted(names)) for names in known.required[:3])
        raise MalformedError(what=where, detail=f"{shown} is missing")


def _lists(
    fields: Fields, name: str, read: Callable[[Fields, str], tuple[T, ...]]
) -> Mapping[str, tuple[T, ...]]:
    """A mapping whose values are lists that are not empty, of values that differ."""
    if not fields.has(name):
        return _nothing()
    listed = fields.object(name)
    found = {}
    for key in listed.names():
        where = listed.path(key)
        found[key] = unique(read(listed, key), where)
        if not found[key]:
            raise MalformedError(what=where, detail="allows no value at all")
    return MappingProxyType(found)


def _named(fields: Fields, name: str) -> Fields:
    """The object in a field that is left out rather than empty."""
    listed = fields.object(name)
    if not listed.names():
        raise MalformedError(what=listed.where, detail="is there, but empty")
    return listed


def _measurements(fields: Fields, family: Family) -> Mapping[str, tuple[bytes, ...]]:
    sizes = FAMILIES[family].measurements

    def read(listed: Fields, name: str) -> tuple[bytes, ...]:
        if name not in sizes:
            raise MalformedError(what=listed.where, detail=f"{family} has no measurement {name}")
        values = tuple(hex_octets(value, where) for where, value in listed.items(name))
        for value in values:
            if len(value) not in sizes[name]:
                allowed = " or ".join(str(2 * size) for size in sizes[name])
                raise MalformedError(
                    what=listed.path(name), detail=f"expected {allowed} lower-case hex digits"
                )
        return values

    return _lists(fields, "measurements", read)


def _attributes(fields: Fields, family: Family) -> Mapping[str, tuple[Scalar, ...]]:
    types = FAMILIES[family].attributes

    def read(listed: Fields, name: str) -> tuple[Scalar, ...]:
        if name not in types:
            raise MalformedError(what=listed.where, detail=f"{family} has no attribute {name}")
        if types[name] is str:
            return listed.texts(name)
        values: list[Scalar] = []
        for where, value in listed.items(name):
            # A flag is no number here, though Python counts it as one.
            if not isinstance(value, int) or type(value) is not types[name]:
                raise MalformedError(what=where, detail=f"expected {_TYPE_NAMES[types[name]]}")
            if not 0 <= value <= _LARGEST:
                raise MalformedError(what=where, detail=f"{value} is not within 0 to {_LARGEST}")
            values.append(value)
        return tuple(values)

    return _lists(fields, "attributes", read)


def _minimums(fields: Fields, family: Family) -> Mapping[str, int]:
    if not fields.has("minimums"):
        return _nothing()
    types, listed = FAMILIES[family].attributes, _named(fields, "minimums")
    found = {}
    for name in listed.names():
        if types.get(name) is not int:
            raise MalformedError(what=listed.where, detail=f"{family} has no number {name}")
        found[name] = listed.integer(name, minimum=0)
    return MappingProxyType(found)


def _tcb_statuses(fields: Fields, known: FamilyFields) -> tuple[str, ...]:
    if not known.has_tcb_status:
        return ()  # the field is then unknown, and refused as such
    statuses = fields.optional("tcb_statuses", fields.texts)
    if statuses is None:
        return ("UpToDate",)
    for status in statuses:
        _check_status(status, fields.path("tcb_statuses"))
    if not statuses:
        raise MalformedError(what=fields.path("tcb_statuses"), detail="allows no status")
    return unique(statuses, fields.path("tcb_statuses"))


def _check_status(status: str, where: str) -> None:
    if status not in TCB_STATUSES:
        raise MalformedError(what=where, detail=f"{status} cannot be tolerated")


def _evaluation_number(fields: Fields, known: FamilyFields) -> int:
    if known.has_tcb_status and fields.has("min_tcb_evaluation_number"):
        return fields.integer("min_tcb_evaluation_number", minimum=0)
    return 0


def _grace(fields: Fields, known: FamilyFields) -> Mapping[str, datetime]:
    if not known.has_tcb_status or not fields.has("tcb_grace"):
        return _nothing()
    listed = _named(fields, "tcb_grace")
    found = {}
    for status in listed.names():
        _check_status(status, listed.where)
        found[status] = listed.time(status)
    return MappingProxyType(found)


def _advisories(fields: Fields, known: FamilyFields) -> tuple[str, ...]:
    if not known.has_tcb_status or not fields.has("rejected_advisories"):
        return ()
    found = fields.texts("rejected_advisories")
    for advisory in found:
        if not ADVISORY.fullmatch(advisory):  # any other would never be found
            detail = f"{advisory!r} is not of the form INTEL-SA-00000"
            raise MalformedError(what=fields.path("rejected_advisories"), detail=detail)
    return _listed(found, fields.path("rejected_advisories"))


def _components(fields: Fields) -> tuple[ComponentRule, ...]:
    if not fields.has("components"):
        return ()
    rules = tuple(map(ComponentRule.from_fields, fields.objects("components")))
    return _listed(rules, fields.path("components"))


def _instances(fields: Fields, known: FamilyFields, name: str) -> tuple[bytes, ...]:
    """Machines by the whole of their names: part of one would deny nobody, and say nothing."""
    if not fields.has(name):
        return ()
    found = tuple(hex_octets(value, where) for where, value in fields.items(name))
    for instance in found:
        if len(instance) not in known.instance_sizes or not any(instance):
            sizes = sorted({known.instance_sizes[0], known.instance_sizes[-1]})
            shown = (" to " if isinstance(known.instance_sizes, range) else " or ").join(
                map(str, sizes)
            )
            detail = f"{instance.hex()} names no machine: expected {shown} bytes, not all zeros"
            raise MalformedError(what=fields.path(name), detail=detail)
    return _listed(found, fields.path(name))


def _listed(values: tuple[T, ...], where: str) -> tuple[T, ...]:
    """A list that differs from a field left out: an allow-list of nobody is a mistake."""
    if not values:
        raise MalformedError(what=where, detail="is there, but empty")
    return unique(values, where)


def _parts(fields: Fields) -> Mapping[str, AttestationVariant]:
    if not fields.has("parts"):
        return _nothing()
    listed = _named(fields, "parts")
    found = {}
    for name in listed.names():
        if parse_name(name, what=listed.where) == WHOLE:
            raise MalformedError(what=listed.where, detail=f"{WHOLE} is the whole, not a part")
        found[name] = _read(listed.object(name), part=True)
    return MappingProxyType(found)
