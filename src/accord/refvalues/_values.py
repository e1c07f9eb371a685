# SPDX-License-Identifier: Apache-2.0
"""Reference values on their way into a policy."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from accord.encoding import Fields, JSONValue
from accord.errors import MalformedError
from accord.policy import AttestationVariant, ComponentRule, Family, Scalar

T = TypeVar("T")

_LINE = 1 << 16
"""No value is broken into lines."""


def _nothing() -> Mapping[str, T]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ReferenceValues:
    """What a policy can name of one environment.

    ``caveats`` say what the values do not prove, and what was left out: whoever uses them
    should have read these.
    """

    family: Family
    measurements: Mapping[str, tuple[bytes, ...]] = field(default_factory=_nothing)
    attributes: Mapping[str, tuple[Scalar, ...]] = field(default_factory=_nothing)
    minimums: Mapping[str, int] = field(default_factory=_nothing)
    components: tuple[ComponentRule, ...] = ()
    caveats: tuple[str, ...] = ()

    def variant(self) -> dict[str, JSONValue]:
        """An attestation variant, as a policy writes it. It may lack what a policy must name."""
        written: dict[str, JSONValue] = {"family": self.family.value}
        optional: dict[str, JSONValue] = {
            "measurements": {
                name: [value.hex() for value in values]
                for name, values in self.measurements.items()
            },
            "attributes": {name: list(values) for name, values in self.attributes.items()},
            "minimums": dict(self.minimums),
            "components": [rule.to_json() for rule in self.components],
        }
        return written | {name: value for name, value in optional.items() if value}

    @property
    def missing(self) -> str:
        """What a policy would refuse the variant for; empty where it is complete."""
        try:
            AttestationVariant.from_fields(Fields(self.variant(), "variant"))
        except MalformedError as exc:
            return str(exc)
        return ""

    def to_json(self) -> JSONValue:
        return {
            "attestation": [self.variant()],
            "missing": self.missing,
            "caveats": list(self.caveats),
        }


def variants_yaml(values: Iterable[ReferenceValues]) -> str:
    """The variants as they stand in a service of a policy."""
    from ruamel.yaml import YAML

    yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = _LINE
    yaml.dump({"attestation": [item.variant() for item in values]}, stream)
    return stream.getvalue()
